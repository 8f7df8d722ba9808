#!/usr/bin/python3
"""config/original.conf, run as it is shipped, gives the lines of 2019: the
histograms behind the example output of that year's README go in, its lines come
out (tests/golden/seed-2019-lines.txt)."""

import collections
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
import truth  # noqa: E402
from daemon import Daemon  # noqa: E402
from receiver import Receiver  # noqa: E402

# The script of 2019 printed and cleared its map each second.
SCRIPT_2019 = """tracepoint:sched:sched_switch { @usecs = hist(nsecs); }
interval:s:1 { print(@usecs); clear(@usecs); }
"""
ATTEMPTS = 3


def golden():
    """[(second after the first, path, value)], in the order of 2019."""
    lines = []
    name = scenario.TOP / "tests" / "golden" / "seed-2019-lines.txt"
    for line in name.read_text().splitlines():
        path, value, second = line.split()
        lines.append((int(second), path, float(value)))
    first = lines[0][0]
    return [(second - first, path, value) for second, path, value in lines]


def lower_bound(path):
    """1000 stands for 1K, which is 1024."""
    bound = int(path.rsplit(".", 1)[1])
    return bound if bound < 1000 else bound // 1000 * 1024


class OriginalConf(scenario.Scenario):
    def run_daemon(self, folder, script, cumulative):
        """One run; returns (lines, the record's prints)."""
        seconds = collections.defaultdict(dict)
        for second, path, value in golden():
            seconds[second][lower_bound(path)] = int(value)
        record = self.path(f"{folder}/record")
        directives = [f"//fake record path={record}", "//fake align ms=0"]
        total = collections.Counter()
        for second, rows in sorted(seconds.items()):
            total.update(rows)
            shown = total if cumulative else rows
            values = ",".join(f"{low}:{n}" for low, n in sorted(shown.items())
                              if n > 0)
            directives.append(f"//fake hist map=@usecs values={values} "
                              f"start={(second + 1) * 1000} limit=1")
        self.write(f"{folder}/traces/cpu_latency.bt",
                   "\n".join(directives) + "\n" + script)
        # As shipped, but for what a test must not touch: the program, this
        # machine's name and the folder under /run.
        text = (scenario.TOP / "config" / "original.conf").read_text()
        shipped = text.replace("naming {", "naming {\n  host = \"tuxgrid.com\"")
        self.assertNotEqual(text, shipped)
        receiver = self.must_end(Receiver())
        daemon = self.must_end(Daemon(self.path(folder), {}, environment={
            "BPF2GRAPHITE_SERVER": "127.0.0.1",
            "BPF2GRAPHITE_PORT": str(receiver.port)}))
        with open(daemon.config, "w") as file:
            file.write(shipped + "\nbpftrace {\n  program = \""
                       + scenario.program("fake_bpftrace") + "\"\n}\n"
                       "own-metrics {\n  enabled = false\n}\n"
                       "status {\n  runtime-directory = \""
                       + self.path(f"{folder}/runtime") + "\"\n}\n"
                       "log {\n  format = \"text\"\n}\n")
        daemon.start()
        scenario.wait_until(
            lambda: sum(map(len, truth.lives_of_fake(record)[0]))
            == len(seconds), 45, "all prints of 2019")
        self.assertEqual(0, daemon.stop())
        self.assertEqual([], receiver.bad)
        self.assertEqual({}, receiver.conflicts())
        return receiver.taken()

    def test_the_lines_of_2019(self):
        expected = golden()
        for attempt in range(ATTEMPTS):
            lines = self.run_daemon(f"run{attempt}", SCRIPT_2019, False)
            # Names, values and their order hold whatever the machine does.
            self.assertEqual([(path, value) for _, path, value in expected],
                             [(line.path, line.value) for line in lines])
            first = lines[0].timestamp
            times = [line.timestamp - first for line in lines]
            if times == [second for second, _, _ in expected]:
                print(f"\n{len(lines)} lines of 2019, same names, values, order"
                      f" and times, attempt {attempt + 1}")
                return
            print(f"attempt {attempt + 1}: the machine is late: {times}")
        self.fail(f"the times differ in each of {ATTEMPTS} attempts: "
                  f"{[second for second, _, _ in expected]} expected")

    def test_the_shipped_script_gives_the_same_counts_and_names(self):
        shipped = (scenario.TOP / "config" / "traces"
                   / "cpu_latency.bt").read_text()
        lines = self.run_daemon("run", shipped, True)
        sums = collections.Counter()
        for line in lines:
            sums[line.path] += line.value
        expected = collections.Counter()
        for _, path, value in golden():
            expected[path] += int(value)
        self.assertEqual({path: n for path, n in expected.items() if n > 0},
                         {path: n for path, n in sums.items() if n > 0})
        self.assertLessEqual(set(sums), set(expected))
        print(f"\nshipped script: {len(lines)} lines, sums as in 2019")


if __name__ == "__main__":
    scenario.main()
