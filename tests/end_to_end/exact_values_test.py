#!/usr/bin/python3
"""Every value that a real bpftrace prints is in a real carbon's files, to the
unit: keyed and unkeyed histograms, a count, stats; cleared and cumulative; the
run queue trace; and over two restarts of the daemon within one slot."""

import pathlib
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
import truth  # noqa: E402
from carbon import Carbon  # noqa: E402
from daemon import Bare, Daemon  # noqa: E402
from receiver import Receiver  # noqa: E402

# Between two prints exactly this is added; the names of the maps are the same
# in both scripts, only the clears differ.
ADD = """
    @usecs = hist(5); @usecs = hist(70); @usecs = hist(70); @usecs = hist(-1);
    @by["bash", 7] = hist(3); @by["tmux: server", 8] = hist(3000);
    @calls = count(); @calls = count(); @calls = count();
    @size = stats(10); @size = stats(31);
"""
MAPS = ("@usecs", "@by", "@calls", "@size")
ADDED = {
    ("@usecs", "", "-inf"): 1, ("@usecs", "", "4"): 1, ("@usecs", "", "64"): 2,
    ("@by", "bash,7", "2"): 1, ("@by", "tmux: server,8", "2048"): 1,
    ("@calls", "", ""): 3,
    ("@size", "", "samples"): 2, ("@size", "", "total"): 41}


def script(kept, clear, period="s:1"):
    prints = "".join(f"print({name});" + (f" clear({name});" if clear else "")
                     for name in MAPS)
    return f"//tee {kept}\ninterval:{period} {{ {ADD} {prints} }}\n"


def nonzero(totals):
    return {leaf: value for leaf, value in totals.items() if value != 0}


def without_average(sums):
    """stats also have an average, which cannot be added up."""
    return {path: value for path, value in sums.items()
            if not path.endswith(".average")}


class ExactValues(scenario.Scenario):
    def setUp(self):
        super().setUp()
        scenario.needs_bpftrace()

    def lives(self, name):
        lives = truth.lives_of_tee(self.path(name))
        self.assertTrue(lives and all(lives), f"{name} printed nothing")
        return lives

    def run_queue_script(self):
        """The shipped script, with the recorder's comment."""
        shipped = scenario.TOP / "config" / "traces" / "cpu_latency.bt"
        return (f"//tee {self.path('queue')}\n" + shipped.read_text()
                .removeprefix("#!/usr/bin/env bpftrace\n"))

    def test_every_value_reaches_whisper(self):
        scenario.needs_carbon()
        slots = 12
        carbon = self.must_end(Carbon(self.path("carbon")))
        carbon.start()
        traces = {
            "cleared": {"script": self.write(
                "cleared.bt", script(self.path("cleared"), True))},
            "cumulative": {"script": self.write(
                "cumulative.bt", script(self.path("cumulative"), False))},
            "queue": {"script": self.write(
                "queue.bt", self.run_queue_script())}}
        daemon = self.must_end(Daemon(
            self.folder, traces, carbon.port,
            bpftrace={"program": scenario.program("tee_bpftrace")}))
        daemon.start()
        scenario.wait_until(
            lambda: len(carbon.series("bpf.testhost.cumulative.calls")) == 1
            and len(carbon.points("bpf.testhost.cumulative.calls")) >= slots,
            45, f"{slots} slots in carbon")
        self.assertEqual(0, daemon.stop())
        carbon.end()
        sums = without_average(carbon.sums("bpf.testhost."))
        self.assertEqual(0, carbon.own("cache.overflow"))

        # What is known in advance: the recorder itself is right.
        cleared = self.lives("cleared")
        for one in cleared[0]:
            if nonzero(one.values): # the last dump shows the cleared count as 0
                self.assertEqual({leaf: n for leaf, n in ADDED.items()
                                  if leaf[0] == one.map}, nonzero(one.values))
        expected = {}
        for name, cumulative in (("cleared", ()), ("cumulative", MAPS)):
            totals = truth.total(self.lives(name), cumulative)
            # All maps are printed together, so each part fits the others.
            rounds = totals["@calls", "", ""] // 3
            self.assertEqual({leaf: n * rounds for leaf, n in ADDED.items()},
                             nonzero(totals))
            self.assertGreaterEqual(rounds, slots - 1)
            expected |= truth.paths(totals, name)
        self.same_sums({path: value for path, value in sums.items()
                        if not path.startswith("bpf.testhost.queue.")},
                       expected)

        queue = self.lives("queue")
        printed = re.findall(r"print\((@\w*)", self.run_queue_script())
        is_cleared = re.search(r"\b(clear|zero)\(" + printed[0],
                               self.run_queue_script()) if printed else None
        totals = truth.total(queue, () if is_cleared else ("@usecs",))
        totals = {leaf: value for leaf, value in totals.items()
                  if leaf[0] == "@usecs"}
        self.same_sums({path: value for path, value in sums.items()
                        if path.startswith("bpf.testhost.queue.")},
                       truth.paths(totals, "queue"), "run queue latency")

    def test_two_restarts_within_one_slot_lose_and_double_nothing(self):
        resolution = 10
        receiver = self.must_end(Receiver())
        traces = {name: {"script": self.write(
            f"{name}.bt", script(self.path(name), clear, "ms:200"))}
                  for name, clear in (("cleared", True), ("cumulative", False))}
        daemon = self.must_end(Daemon(
            self.folder, traces, receiver.port,
            bpftrace={"program": scenario.program("tee_bpftrace")},
            graphite={"interval": Bare("2s")},
            slots={"resolution": Bare(f"{resolution}s")}))
        into_slot = lambda: time.time() % resolution  # noqa: E731
        scenario.wait_until(lambda: 0.5 < into_slot() < 1, resolution + 1,
                            "a slot begins")
        slot = time.time() // resolution

        def prints():
            return [sum(len(life) for life in
                        truth.lives_of_tee(self.path(name))) for name in traces]

        for run in range(3):
            before = prints()
            daemon.start()
            scenario.wait_until(
                lambda before=before: min(
                    now - then for now, then in zip(prints(), before)) >= 12,
                15, "three prints of each map")
            if run < 2: # the last one ends in a later slot
                self.assertEqual(0, daemon.stop())
        self.assertEqual(slot, time.time() // resolution,
                         "too slow: the restarts were not in one slot")
        scenario.wait_until(lambda: time.time() // resolution > slot,
                            resolution + 1, "the next slot begins")
        self.assertEqual(0, daemon.stop())
        self.assertEqual([], receiver.bad)
        self.assertEqual({}, receiver.conflicts(),
                         "a series and time stamp was sent with two values")
        expected = {}
        for name, cumulative in (("cleared", ()), ("cumulative", MAPS)):
            lives = self.lives(name)
            self.assertEqual(3, len(lives))
            expected |= truth.paths(truth.total(lives, cumulative), name)
        self.same_sums(without_average(receiver.sums()), expected)


if __name__ == "__main__":
    scenario.main()
