#!/usr/bin/python3
"""Row 20: the server hangs up on one line."""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
from fault_matrix import LONG, row  # noqa: E402
from oracle import Fault, Issued, descriptors  # noqa: E402
from receiver import Receiver  # noqa: E402

HOW = ("close", "reset", "fin")


class Poison(Fault):
    def test_one_line_is_left_out_and_all_others_arrive(self):
        with row(20) as report:
            keys = 900 if LONG else 100
            trace = Issued(self, "t", keys=keys)
            receivers = [self.must_end(Receiver()) for _ in HOW]
            daemon = self.start([trace], 1, graphite={
                "destinations": [f"127.0.0.1:{one.port}"
                                 for one in receivers]})
            scenario.wait_until(lambda: all(one.clean >= 2
                                            for one in receivers), 30,
                                "first batches")
            before = descriptors(daemon.process.pid)
            poison = int(time.time()) + 3
            for one, how in zip(receivers, HOW):
                one.hang_up_on(rf"\.key042 \d+ {poison}$", how)
            took = []
            begun = {}

            def over():
                for one in receivers:
                    if one.cut > 0:
                        begun.setdefault(one, time.time())
                return all(one in begun and any(
                    line.timestamp > poison for line in one.taken()[-keys:])
                    for one in receivers)
            scenario.wait_until(over, 90, "the batches after it arrive")
            for one in receivers:
                took.append(min(line.arrived for line in one.taken()
                                if line.timestamp > poison) - begun[one])
            report.figure("until it was left out", round(max(took), 1), "s",
                          at_most=60)
            report.figure("refusals of one server, most",
                          max(one.cut for one in receivers))
            status, more = self.no_leftovers(daemon, before)
            self.assertEqual(0, status)
            books = daemon.ledger()
            found = [self.judge_receiver(one, [trace], may_lose=True)
                     for one in receivers]
            report.figure("lost of each server", max(one.lost
                                                     for one in found),
                          exactly=1)
            report.figure("counted as parked", books["parked"],
                          exactly=len(receivers))
            report.figure("duplicates", sum(one.duplicates for one in found))
            report.figure("descriptors more", more)
            self.assertEqual([1, 1, 1], [one.lost for one in found])
            self.assertEqual(len(receivers), books["parked"], books)
            self.assertRegex(daemon.log(), rf"key042 \d+ {poison}")
            self.assertLess(max(took), 120)


if __name__ == "__main__":
    scenario.main()
