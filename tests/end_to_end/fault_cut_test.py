#!/usr/bin/python3
"""Rows 15 and 16: the server ends each connection after k bytes; after each
batch."""

import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
from daemon import Bare  # noqa: E402
from fault_matrix import LONG, row  # noqa: E402
from oracle import Fault, Issued, descriptors  # noqa: E402
from receiver import Receiver  # noqa: E402

HOW = ("close", "reset", "fin")


class Cut(Fault):
    def start_many(self, count, trace, **graphite):
        """A daemon with so many destinations, each with all the data."""
        receivers = [self.must_end(Receiver()) for _ in range(count)]
        daemon = self.start([trace], 1, graphite={
            "destinations": [f"127.0.0.1:{one.port}" for one in receivers],
            **graphite})
        return receivers, daemon

    def test_each_batch_that_was_cut_is_sent_once_more(self):
        with row(15) as report:
            trace = Issued(self, "t", keys=3)
            # Without resend what comes twice is the batch that was cut.
            receivers, daemon = self.start_many(9, trace, resend=Bare("0s"))
            scenario.wait_until(
                lambda: all(one.taken() for one in receivers), 30,
                "first batches")
            line = receivers[0].taken()[0]
            batch = 3 * len(f"{line.path} 1234 {line.timestamp}\n")
            sweep = [(k, how) for k in range(1, batch + 1) for how in HOW]
            if not LONG:
                sweep = sweep[::2]
            for number, one in enumerate(receivers):
                one.cut_every_other(sweep[number::len(receivers)])
            scenario.wait_until(lambda: all(one.cuts_left() == 0
                                            for one in receivers),
                                30 + 4 * len(sweep) / len(receivers),
                                "all cuts are made")
            ended = time.time()
            recovered = max(self.fresh(one, ended)[0] for one in receivers)
            self.assertEqual(0, daemon.stop(30))
            books = daemon.ledger()
            found = [self.judge_receiver(one, [trace]) for one in receivers]
            cut = sum(one.cut for one in receivers)
            # A connection that was cut has its lines from the same batch as
            # the next one, which was not cut.
            attempts = []
            for one in receivers:
                by_slot = {}
                for line in one.taken():
                    by_slot.setdefault(line.timestamp, set()).add(
                        line.connection)
                attempts += [len(of) for of in by_slot.values()]
            report.figure("cuts", cut, at_least=len(sweep) * 0.9)
            report.figure("bytes", f"1 to {batch}")
            report.figure("a batch begun so often, most", max(attempts),
                          exactly=2)
            report.figure("lost", sum(one.lost for one in found), exactly=0)
            report.figure("duplicates", sum(one.duplicates for one in found))
            report.figure("parked", books["parked"], exactly=0)
            report.figure("recovery", round(recovered, 2), "s")
            self.assertEqual(0, books["parked"], books)
            self.assertGreater(cut, 0)

    def test_a_batch_is_not_lost_in_a_connection_that_the_server_ended(self):
        chance = random.Random(16)
        with row(16) as report:
            trace = Issued(self, "t", keys=3)
            receivers, daemon = self.start_many(6, trace)
            scenario.wait_until(
                lambda: all(one.clean >= 1 for one in receivers), 30,
                "first batches")
            # Some end what is quiet for so long: the connection that waits for
            # the next batch. The daemon learns that and opens none ahead. The
            # others end it now and then, in the moment when a batch leaves.
            for number, one in enumerate(receivers[:2]):
                one.close_quiet(0.6 + number * 0.1, HOW[number])
            batches = 1000 if LONG else 120
            second = 0

            def over():
                nonlocal second
                now = time.time()
                if round(now) != second and abs(now - round(now)) < 0.04:
                    second = round(now)
                    for number, one in enumerate(receivers[2:]):
                        if chance.random() < 0.3:
                            one.end_idle(HOW[number % 3])
                return sum(len({line.timestamp for line in one.taken()})
                           for one in receivers) >= batches
            scenario.wait_until(over, 20 + batches / 2, f"{batches} batches")
            before = descriptors(daemon.process.pid)
            ended = time.time()
            for one in receivers:
                one.close_quiet(None)
            recovered = max(self.fresh(one, ended)[0] for one in receivers)
            status, more = self.no_leftovers(daemon, before)
            self.assertEqual(0, status)
            books = daemon.ledger()
            found = [self.judge_receiver(one, [trace]) for one in receivers]
            report.figure("batches", batches)
            report.figure("ended by the server",
                          sum(one.cut for one in receivers), at_least=1)
            report.figure("refused", books["refusals"])
            report.figure("lost", sum(one.lost for one in found), exactly=0)
            report.figure("duplicates", sum(one.duplicates for one in found))
            report.figure("recovery", round(recovered, 2), "s")
            report.figure("descriptors more", more)
            self.assertEqual(0, books["parked"], books)


if __name__ == "__main__":
    scenario.main()
