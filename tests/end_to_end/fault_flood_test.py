#!/usr/bin/python3
"""Rows 6 to 8 of the fault matrix: more output than we take, than is allowed, than
a line may hold."""

import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import process_figures as figures  # noqa: E402
import scenario  # noqa: E402
import truth  # noqa: E402
from fakes import Fakes, passed, unlimited  # noqa: E402
from fault_matrix import LONG, row  # noqa: E402


class Flood(Fakes):
    def test_row_6_we_are_slow(self):
        with row(6) as report:
            # 80 KB a print, a hundred prints, as fast as they are taken.
            keys = ";".join(f"some_process_{n},{n}" for n in range(400))
            self.add("busy", "//fake hist map=@h values=8:1,64:2 every=1 "
                     f"start=3000 limit=100 keys={keys}\n", prints="",
                     code="interval:ms:10 {{ @h[comm, pid] = hist(8); "
                     "print(@h); clear(@h); }}\n",
                     **{"max-series": 20000})
            self.start(until_printed=False, bpftrace=unlimited(),
                       environment={"BPF2GRAPHITE_TEST_SLOW":
                                    "normalizer:busy:60"})
            self.wait_for_life("busy", 1)
            before = figures.forget_peak(self.pid)
            self.wait_for_prints(100, "busy", seconds=60)
            grown = figures.peak_mib(self.pid) - before
            took = [event["at"] for event in truth.events_of(self.record("busy"))
                    if event["event"] == "done"]
            self.assertEqual(0, self.daemon.stop(40))
            report.figure("printed", os.path.getsize(self.record("busy"))
                          // 1024, "KiB")
            held = (took[-1] - took[0]) / 1000
            report.figure("held back for", held, "s")
            report.figure("RSS growth", grown, "MiB", below=5)
            self.judge(report)
            # A hundred prints, one a millisecond, if nobody were slow.
            self.assertGreater(held, 1, "nothing was slow: no test hooks?")

    def test_row_7_a_flood(self):
        seconds = 60 if LONG else 18
        with row(7) as report:
            good = [self.add(f"good{n}") for n in range(9)]
            self.add("flood", "//fake flood at=9000 text=water\n", prints="")
            self.start(until_printed=False)
            # What is usual: the points of some batches.
            scenario.wait_until(
                lambda: len({line.timestamp for line
                             in self.receiver.taken()}) >= 4, 30, "batches")
            begun = time.time()
            before = figures.forget_peak(self.pid)
            cpu = figures.cpu_seconds(self.pid)
            usual = self.lateness(good, 0, begun)
            self.daemon.wait_for_log('"flood".*more output than', seconds + 20)
            passed(max(0.0, seconds - (time.time() - begun)))
            late = self.lateness(good, begun, time.time())
            grown = figures.peak_mib(self.pid) - before
            cpu = figures.cpu_seconds(self.pid) - cpu
            self.wait_for_prints(4, *good)
            self.assertEqual(0, self.daemon.stop(40))
            report.figure("others later than before by", late - usual, "s",
                          below=1)
            report.figure("RSS growth", grown, "MiB", below=16)
            report.figure("our CPU", 100 * cpu / (time.time() - begun), "%")
            report.figure("starts of the flood", len(self.pids("flood")))
            report.figure("restarts of others", self.restarts(*good),
                          exactly=0)
            self.judge(report, *good)
            self.assertEqual(0, self.restarts(*good))

    def test_row_8_a_line_without_an_end(self):
        size = 1 << 30
        for form in ("json", "text"):
            with self.subTest(form=form), row(8, form) as report:
                self.traces.clear()
                name = self.add(
                    f"endless_{form}", f"//fake line at=4000 bytes={size}\n",
                    every=500, format=form)
                self.start(bpftrace=unlimited())
                self.wait_for_prints(4, name)
                before = figures.forget_peak(self.pid)
                cpu = figures.cpu_seconds(self.pid)
                begun = time.monotonic()

                def read():
                    with open(f"/proc/{self.pid}/io") as file:
                        return int(file.readline().split()[1])
                target = read() + size
                scenario.wait_until(lambda: read() >= target, 120, "1 GiB read")
                took = time.monotonic() - begun
                self.wait_for_prints(6, name)
                grown = figures.peak_mib(self.pid) - before
                cpu = figures.cpu_seconds(self.pid) - cpu
                self.assertEqual(0, self.daemon.stop())
                report.figure("RSS growth", grown, "MiB", below=1)
                report.figure("read in", took, "s")
                report.figure("our CPU", cpu, "s")
                report.figure("restarts", self.restarts(name), exactly=0)
                self.judge(report, what="values lost before and after it")
                self.assertEqual(0, self.restarts(name))



if __name__ == "__main__":
    scenario.main()
