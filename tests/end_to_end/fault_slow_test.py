#!/usr/bin/python3
"""Row 18: a link of 256 kbit/s, with less and with more than it takes."""

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

KILOBITS = 256


class Slow(Fault):
    def start_slow(self, traces, **graphite):
        network = self.must_end(Network())
        receiver = self.must_end(Receiver(create=network.socket))
        network.slow(KILOBITS)
        daemon = self.start(traces, receiver.port, prefix=network.prefix(),
                            graphite=graphite, stop={
                                "flush-timeout": Bare("30s")})
        scenario.wait_until(lambda: receiver.clean >= 2, 30, "first batches")
        return network, receiver, daemon

    def test_what_the_link_can_carry_arrives(self):
        with row(18, "less than it takes") as report:
            # Some 40 bytes a line: 10 of 32 KB a second.
            trace = Issued(self, "t", keys=250)
            network, receiver, daemon = self.start_slow([trace])
            before = descriptors(daemon.process.pid)
            trace.wait_for_prints(120 if LONG else 12, 200)
            late = max(line.arrived - line.timestamp - 1
                       for line in receiver.taken()[-1000:])
            status, more = self.no_leftovers(daemon, before, network,
                                             receiver.port)
            self.assertEqual(0, status)
            verdict = self.judge_receiver(receiver, [trace])
            report.figure("lost", verdict.lost, exactly=0)
            report.figure("duplicates", verdict.duplicates)
            report.figure("lateness of a slot", round(late, 2), "s")
            report.figure("connections at one time, most", receiver.open_most)
            report.figure("descriptors more", more)

    def test_what_it_cannot_carry_is_counted(self):
        with row(18, "more than it takes") as report:
            traces = [Issued(self, f"t{n}", keys=900) for n in (1, 2)]
            network, receiver, daemon = self.start_slow(traces,
                                                        buffer="128KiB")
            before = descriptors(daemon.process.pid)
            scenario.wait_until(lambda: daemon.alive()
                                and len(traces[0].prints())
                                >= (120 if LONG else 12), 200, "enough prints")
            memory = rss_mib(daemon.process.pid, "VmHWM")
            status, more = self.no_leftovers(daemon, before, network,
                                             receiver.port)
            self.assertEqual(0, status)
            books = daemon.ledger()
            sent = len(receiver.values())
            verdict = self.judge_receiver(receiver, traces, may_lose=True)
            report.figure("issued points", books["points"])
            report.figure("sent", sent)
            report.figure("dropped, counted", books["dropped_buffer"],
                          at_least=1)
            report.figure("sent + dropped - issued",
                          sent + books["dropped_buffer"] - books["points"],
                          exactly=0)
            report.figure("duplicates", verdict.duplicates)
            report.figure("largest RSS", memory, "MiB")
            report.figure("descriptors more", more)
            self.assertGreater(books["dropped_buffer"], 0, books)
            self.assertEqual(books["points"], sent + books["dropped_buffer"],
                             books)


if __name__ == "__main__":
    scenario.main()
