#!/usr/bin/python3
"""Rows 2 and 3 of the fault matrix: bpftrace always ends at once; it is not there."""

import os
import pathlib
import shutil
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import process_figures as figures  # noqa: E402
import scenario  # noqa: E402
from daemon import Bare  # noqa: E402
from fakes import Fakes, Real, passed  # noqa: E402
from fault_matrix import LONG, row  # noqa: E402


class Restart(Fakes):
    def test_row_2_it_always_ends_at_once(self):
        seconds = 120 if LONG else 30
        with row(2) as report:
            self.add("fails", "//fake fail code=1 text=ERROR: no luck\n",
                     prints="")
            self.add("exits1", "//fake exit at=0 code=1\n", prints="")
            self.add("exits0", "//fake exit at=0 code=0\n", prints="")
            self.start(until_printed=False,
                       graphite={"interval": Bare("15s")},
                       slots={"resolution": Bare("15s")})
            self.daemon.wait_for_log("3 traces")
            cpu = figures.cpu_seconds(self.pid)
            passed(seconds)
            cpu = figures.cpu_seconds(self.pid) - cpu
            starts = {name: len(self.pids(name)) for name in self.traces}
            lines = {name: sum(f'"{name}"' in line for line
                               in self.daemon.log().splitlines())
                     for name in self.traces}
            log = self.daemon.log()
            self.assertEqual(0, self.daemon.stop())
            report.figure(f"starts in {seconds} s, at most",
                          max(starts.values()), at_most=25)
            report.figure("our CPU", 100 * cpu / seconds, "%", below=1)
            # Each end is told once, and once that it is failing.
            report.figure("log lines each, at most", max(lines.values()),
                          at_most=max(2, seconds // 30))
            for name, count in starts.items():
                self.assertGreaterEqual(count, 1, name)
                self.assertLessEqual(count, 25, name)
            self.assertIn("failing", log)
            self.assertIn("no luck", log)


class RealRestart(Real):
    def test_row_3_the_program_is_gone_for_ten_seconds(self):
        with row(3, "real bpftrace") as report:
            program = self.path("bin/bpftrace")
            os.mkdir(self.path("bin"))
            shutil.copy2(shutil.which("bpftrace"), program)
            daemon = self.start({"one": self.trace("one", program=program)})
            [pid] = daemon.descendants("bpftrace")
            os.rename(program, program + ".old")
            os.kill(pid, signal.SIGKILL)
            daemon.wait_for_log("bin/bpftrace is no program")
            passed(10)
            os.rename(program + ".old", program)
            back = time.monotonic()
            scenario.wait_until(lambda: daemon.descendants("bpftrace"), 60,
                                "bpftrace runs again")
            report.figure("running after its return after",
                          time.monotonic() - back, "s", at_most=30)
            fresh = time.time()
            scenario.wait_until(
                lambda: any(line.timestamp > fresh
                            for line in self.receiver.taken()), 30,
                "fresh values")
            self.assertEqual(0, daemon.stop())



if __name__ == "__main__":
    scenario.main()
