#!/usr/bin/python3
"""`printf-metrics`: what real bpftrace's printf writes arrives as points, text
and JSON: gauges, decimals, labels, counters, lines in pieces; lines that are no
metric are counted and nothing of them is sent."""

import collections
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
from daemon import Daemon  # noqa: E402
from receiver import Receiver  # noqa: E402

# Every tick adds 2 to the counter, and 3 are counted anew.
SCRIPT = """
BEGIN { printf("Tracing... Hit Ctrl-C to end.\\n"); }
interval:ms:250 {
  @ticks++;
  printf("level %d\\n", 40 + @ticks % 3);
  printf("net.load %d.%02d\\n", 1, 25);
  printf("total %d\\n", 2 * @ticks);
  printf("each{cpu=%d,side=\\"left %d\\"} %d\\n", 1, 2, 3);
  printf("pieces{a="); printf("%d", 7); printf("} "); printf("-%d\\n", 9);
  printf("bad nan\\n"); printf("bad 0x%x\\n", 5); printf("bad 1e%d\\n", 3);
}
"""
ACCUMULATE = {"total": "cumulative", "each": "cleared", "net_load": "max"}


class PrintfMetrics(scenario.Scenario):
    def setUp(self):
        super().setUp()
        scenario.needs_bpftrace()

    def test_lines_of_printf_become_points(self):
        receiver = self.must_end(Receiver())
        traces = {form: {"script": self.write(f"{form}.bt", SCRIPT),
                         "printf-metrics": True, "format": form,
                         "print-every": "off",
                         "accumulate": ACCUMULATE}
                  for form in ("json", "text")}
        daemon = self.must_end(Daemon(self.folder, traces, receiver.port))
        daemon.start()

        def slots(path):
            return len({line.timestamp for line in receiver.taken()
                        if line.path == path})

        scenario.wait_until(
            lambda: min(slots(f"bpf.testhost.{form}.level")
                        for form in traces) >= 6, 40, "six slots of both")
        self.assertEqual(0, daemon.stop())
        self.assertEqual([], receiver.bad)
        self.assertEqual({}, receiver.conflicts())
        values = collections.defaultdict(list)
        for (path, _), value in sorted(receiver.values().items()):
            values[path.removeprefix("bpf.testhost.")].append(value)
        for form in traces:
            names = {name.removeprefix(form + ".") for name in values
                     if name.startswith(form + ".")}
            print(f"{form}: {sorted(names)}")
            self.assertEqual({"level", "net.load", "total", "each.1.left_2",
                              "pieces.7"}, names)
            self.assertLessEqual(set(values[form + ".level"]), {40, 41, 42})
            self.assertEqual({1.25}, set(values[form + ".net.load"]))
            self.assertEqual({-9}, set(values[form + ".pieces.7"]))
            ticks = sum(values[form + ".each.1.left_2"]) // 3
            self.assertGreaterEqual(ticks, 6 * 2)
            # A counter and the sum of parts agree to the unit.
            self.assertEqual(2 * ticks, sum(values[form + ".total"]))
            self.assertEqual(3 * ticks, sum(values[form + ".each.1.left_2"]))
        print("in both:", {name: values[name][:3] for name in sorted(values)})

    def test_check_says_what_each_printf_becomes(self):
        config = self.write("c.conf", f"""
            traces {{ p {{ script = "{self.write('p.bt', SCRIPT)}"
              printf-metrics = true
              accumulate {{ total = "cumulative" }} }} }}""")
        done = subprocess.run(
            [scenario.program("binary"), "check", "--config", config],
            capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(0, done.returncode, done.stderr)
        for words in ("printf, line 2: no metric",
                      "metric level, last", "p.net.load",
                      "metric total, cumulative",
                      "metric each{cpu,side}, last",
                      "p.each.KEY.KEY"):
            self.assertIn(words, done.stdout)

    def test_check_refuses_a_metric_that_is_called_like_a_map(self):
        script = self.write("x.bt", "interval:s:1 { @x = count(); print(@x);"
                                    ' printf("x %d\\n", 1); }')
        config = self.write("c.conf", f"""
            traces {{ p {{ script = "{script}", printf-metrics = true }} }}""")
        done = subprocess.run(
            [scenario.program("binary"), "check", "--config", config],
            capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(78, done.returncode)
        self.assertIn("metric x and", done.stderr)


if __name__ == "__main__":
    scenario.main()
