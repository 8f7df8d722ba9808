#!/usr/bin/python3
"""Row 11 of the fault matrix: a hundred thousand names do not become as many
series, and their sums stay exact."""

import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import process_figures as figures  # noqa: E402
import scenario  # noqa: E402
import truth  # noqa: E402
from fakes import Fakes, Real  # noqa: E402
from fault_matrix import row  # noqa: E402


class Names(Fakes):
    def test_row_11_a_hundred_thousand_names(self):
        with row(11, "fake") as report:
            cap = 500
            self.add("bomb", "//fake count map=@n every=50 start=3000 "
                     "limit=100 fresh=1000\n", prints="",
                     code="interval:ms:50 {{ @n[comm] = count(); print(@n); "
                     "clear(@n); }}\n", **{"max-series": cap})
            self.add("good")
            self.start(until_printed=False)
            self.wait_for_prints(4, "good")
            before = figures.forget_peak(self.pid)
            self.wait_for_prints(100, "bomb", seconds=60)
            grown = figures.peak_mib(self.pid) - before
            self.assertEqual(0, self.daemon.stop())
            sums = self.receiver.sums("bpf.testhost.bomb.")
            printed = self.expected("bomb")
            report.figure("names", len(printed))
            report.figure("series sent", len(sums), at_most=cap)
            report.figure("printed but not in a sum",
                          sum(printed.values()) - sum(sums.values()), exactly=0)
            report.figure("RSS growth", grown, "MiB", below=32)
            self.judge(report, "good", what="values of the other lost")
            self.assertGreaterEqual(len(printed), 100_000)
            self.assertLessEqual(len(sums), cap)
            self.assertEqual(sum(printed.values()), sum(sums.values()))


# As row 11 asks for it: processes rename themselves as fast as they can.
RENAME = """
import random
chance = random.Random({seed})
with open("/proc/self/comm", "w") as name:
    for n in range({count}):
        name.write("%08x-%05d" % (chance.randrange(1 << 32), n))
        name.flush()
        name.seek(0)
"""


class RealNames(Real):
    def test_row_11_processes_that_rename_themselves(self):
        with row(11, "real bpftrace") as report:
            cap, count = 500, 100_000
            trace = {"script": self.write(
                "bomb.bt", f"//tee {self.path('bomb')}\n"
                "tracepoint:task:task_rename "
                "{ @n[args->newcomm] = count(); }\n"
                "interval:s:1 { @beat = count(); print(@beat); "
                "print(@n); clear(@n); }\n"), "max-series": cap,
                     "environment": {"BPFTRACE_MAP_KEYS_MAX": "150000"},
                     "program": scenario.program("tee_bpftrace")}
            daemon = self.start({"bomb": trace})
            before = figures.forget_peak(daemon.process.pid)
            subprocess.run([sys.executable, "-c",
                            RENAME.format(seed=11, count=count)], check=True)

            def seen():
                return sum(one.map == "@n" for life in
                           truth.lives_of_tee(self.path("bomb"))
                           for one in life)
            prints = seen()
            scenario.wait_until(lambda: seen() >= prints + 3, 60, "prints")
            grown = figures.peak_mib(daemon.process.pid) - before
            self.assertEqual(0, daemon.stop(40))
            totals = truth.total(truth.lives_of_tee(self.path("bomb")),
                                 ("@beat",))
            names = {leaf: value for leaf, value in totals.items()
                     if leaf[0] == "@n"}
            sums = self.receiver.sums("bpf.testhost.bomb.n.")
            series = len(self.receiver.sums("bpf.testhost.bomb."))
            missing = sum(names.values()) - sum(sums.values())
            report.figure("names that bpftrace printed", len(names))
            report.figure("series sent", series, at_most=cap)
            report.figure("printed but not in a sum", missing, exactly=0)
            report.figure("RSS growth", grown, "MiB", below=32)
            self.assertGreater(len(names), cap)
            self.assertLessEqual(series, cap)
            self.assertEqual(0, missing, daemon.log()[-2000:])



if __name__ == "__main__":
    scenario.main()
