#!/usr/bin/python3
"""Row 14: the server's kernel takes all, and nobody reads it."""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
from daemon import Bare  # noqa: E402
from fault_matrix import LONG, row  # noqa: E402
from network import Network  # noqa: E402
from oracle import Fault, Issued, descriptors, rss_mib  # noqa: E402
from receiver import Receiver  # noqa: E402


class NeverReads(Fault):
    def test_it_is_not_accepted_and_nothing_piles_up_there(self):
        with row(14, "one server") as report:
            network = self.must_end(Network())
            receiver = self.must_end(Receiver(create=network.socket))
            trace = Issued(self, "t")
            daemon = self.start(
                [trace], receiver.port, prefix=network.prefix(),
                graphite={"confirm-timeout": Bare("60s" if LONG else "6s")})
            scenario.wait_until(lambda: receiver.clean >= 2, 30,
                                "first batches")
            before = descriptors(daemon.process.pid)
            receiver.freeze()
            most = 0
            begun = time.monotonic()

            def over():
                nonlocal most
                most = max(most, sum(number != 0 for number, _ in
                                     network.sockets(receiver.port)))
                return time.monotonic() - begun > (150 if LONG else 14)
            scenario.wait_until(over, 200, "two times the limit")
            thawed = time.time()
            receiver.thaw()
            first, _ = self.fresh(receiver, thawed, 60)
            report.figure("connections at one time, most", most, exactly=1)
            report.figure("first delivery after the thaw", round(first, 2), "s")
            report.figure("largest RSS",
                          rss_mib(daemon.process.pid, "VmHWM"), "MiB")
            status, more = self.no_leftovers(daemon, before, network,
                                             receiver.port)
            report.figure("descriptors more", more)
            self.assertEqual(0, status)
            verdict = self.judge_receiver(receiver, [trace])
            report.figure("lost", verdict.lost, exactly=0)
            report.figure("duplicates", verdict.duplicates)
            self.assertEqual(1, most)

    def test_the_other_one_takes_over(self):
        with row(14, "failover") as report:
            first = self.must_end(Receiver())
            second = self.must_end(Receiver())
            trace = Issued(self, "t")
            daemon = self.start([trace], 1, graphite={
                "destinations": [f"127.0.0.1:{one.port}"
                                 for one in (first, second)],
                "routing": "failover",
                "confirm-timeout": Bare("60s" if LONG else "5s")})
            scenario.wait_until(lambda: first.clean >= 2, 30, "first batches")
            self.assertEqual([], second.taken())
            frozen = time.time()
            first.freeze()
            taken_over, _ = self.fresh(second, frozen, 100)
            trace.wait_for_prints(3)
            # What lies in its kernel is read by nobody any more.
            first.refuse()
            trace.wait_for_prints(3)
            self.assertEqual(0, daemon.stop(30))
            lines = first.taken() + second.taken()
            values = {(line.path, line.timestamp): line.value
                      for line in lines}
            self.assertEqual(len(values), len(
                {(line.path, line.timestamp, line.value) for line in lines}))
            verdict = self.judge(trace, values, len(lines) - len(values))
            report.figure("taken over after", round(taken_over, 1), "s")
            report.figure("lost", verdict.lost, exactly=0)
            report.figure("duplicates", verdict.duplicates)


if __name__ == "__main__":
    scenario.main()
