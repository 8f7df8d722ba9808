#!/usr/bin/python3
"""Rows 12 and 19: Graphite refuses for a long time; for longer than the buffer
lasts."""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
from daemon import Bare  # noqa: E402
from fault_matrix import LONG, row  # noqa: E402
from network import Network  # noqa: E402
from oracle import Fault, Issued, descriptors, rss_mib, wait_seconds  # noqa: E402
from receiver import Receiver  # noqa: E402

# What came while the long outage's batches left waits still, at the end.
FLUSH = 300 if LONG else 20


class Refuse(Fault):
    def test_all_waits_and_leaves_soon_after_the_return(self):
        with row(12) as report:
            network = self.must_end(Network())
            receiver = self.must_end(Receiver(create=network.socket))
            trace = Issued(self, "t")
            daemon = self.start([trace], receiver.port,
                                prefix=network.prefix(), stop={
                                    "flush-timeout": Bare(f"{FLUSH}s")})
            scenario.wait_until(lambda: receiver.clean >= 2, 30,
                                "first batches")
            before = descriptors(daemon.process.pid)
            receiver.refuse()
            network.count_connects(receiver.port)
            begun = time.monotonic()
            wait_seconds(600 if LONG else 25)
            attempts = network.connects() * 60 / (time.monotonic() - begun)
            returned = time.time()
            receiver.listen()
            # What waited goes first: 600 batches in the long form.
            first, fresh = self.fresh(receiver, returned, 400 if LONG else 60)
            report.figure("attempts", round(attempts, 1), "/min", at_most=40)
            report.figure("first delivery after the return", round(first, 2),
                          "s", at_most=5)
            report.figure("fresh value after the return", round(fresh, 2), "s")
            report.figure("largest RSS",
                          rss_mib(daemon.process.pid, "VmHWM"), "MiB")
            status, more = self.no_leftovers(daemon, before, network,
                                             receiver.port, FLUSH + 20)
            report.figure("descriptors more", more)
            self.assertEqual(0, status)
            verdict = self.judge_receiver(receiver, [trace])
            report.figure("lost", verdict.lost, exactly=0)
            report.figure("duplicates", verdict.duplicates)
            self.assertGreater(attempts, 0)
            self.assertLess(first, 15)

    def test_what_does_not_fit_is_dropped_oldest_first_and_counted(self):
        with row(19) as report:
            receiver = self.must_end(Receiver())
            receiver.refuse()
            trace = Issued(self, "wide", keys=100)
            daemon = self.start([trace], receiver.port,
                                graphite={"buffer": "64KiB" if LONG
                                          else "16KiB"})
            # About 4 KiB a second: several times what fits.
            trace.wait_for_prints(90 if LONG else 15, 150)
            returned = time.time()
            receiver.listen()
            first, _ = self.fresh(receiver, returned)
            report.figure("largest RSS",
                          rss_mib(daemon.process.pid, "VmHWM"), "MiB")
            self.assertEqual(0, daemon.stop(30))
            verdict = self.judge_receiver(receiver, [trace], may_lose=True)
            books = daemon.ledger()
            sent = len(receiver.values())
            report.figure("first delivery after the return", round(first, 2),
                          "s")
            report.figure("issued points", books["points"])
            report.figure("sent", sent)
            report.figure("dropped, counted", books["dropped_buffer"],
                          at_least=1)
            report.figure("sent + dropped - issued",
                          sent + books["dropped_buffer"] - books["points"],
                          exactly=0)
            report.figure("duplicates", verdict.duplicates)
            self.assertEqual(len(trace.prints()) * 100, books["read"], books)
            self.assertGreater(books["dropped_buffer"], 0, books)
            self.assertEqual(books["points"], sent + books["dropped_buffer"])
            self.assertEqual(books["accepted"], sent)
            # The oldest are missing and no other. Only the batch under way,
            # the oldest of all, is never dropped: it may be there already.
            slots = sorted({slot for _, slot in receiver.values()})[1:]
            self.assertEqual(list(range(slots[0], slots[-1] + 1)), slots)


if __name__ == "__main__":
    scenario.main()
