#!/usr/bin/python3
"""Each bpftrace is killed twice: it is started again, the other trace has no
gap, and what was printed before a kill arrives."""

import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
import truth  # noqa: E402
from carbon import Carbon  # noqa: E402
from daemon import Daemon  # noqa: E402
from fault_matrix import row  # noqa: E402
from receiver import Receiver  # noqa: E402

SCRIPT = """
interval:s:1 {
  @usecs = hist(5); @usecs = hist(70); @calls = count();
  print(@usecs); clear(@usecs); print(@calls);
}
"""


class Killed(scenario.Scenario):
    def check(self, sink, port, sums, points, report):
        """Two traces of the real bpftrace; first the one, then the other is
        killed twice. `sink` has begun; `sums` and `points` read it."""
        names = ("one", "two")
        traces = {name: {"script": self.write(
            f"{name}.bt", f"//tee {self.path(name)}\n" + SCRIPT)}
                  for name in names}
        daemon = self.must_end(Daemon(
            self.folder, traces, port,
            bpftrace={"program": scenario.program("tee_bpftrace")}))
        daemon.start()

        def lives(name):
            return truth.lives_of_tee(self.path(name))

        def running(name):
            """The bpftrace process of that trace."""
            for pid in daemon.descendants("bpftrace"):
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    if f"{name}.bt".encode() in file.read():
                        return pid
            return None

        scenario.wait_until(lambda: all(lives(name) and len(lives(name)[0]) >= 2
                                        for name in names), 20, "first prints")
        undisturbed = {}
        first = []  # seconds from the first kill of each to its new process
        for name, other in (names, names[::-1]):
            before = len(lives(other))
            for kill in range(2):
                life = len(lives(name))
                scenario.wait_until(
                    lambda n=name: lives(n) and len(lives(n)[-1]) >= 5, 20,
                    f"prints of {name}")
                killed = running(name)
                os.kill(killed, signal.SIGKILL)
                begun = time.monotonic()
                scenario.wait_until(
                    lambda n=name, k=killed, count=life:
                    running(n) not in (None, k) and len(lives(n)) > count, 20,
                    f"{name} is started again")
                if kill == 0:
                    first.append(time.monotonic() - begun)
            undisturbed[other] = len(lives(other)) - before
        scenario.wait_until(lambda: lives("two") and len(lives("two")[-1]) >= 5,
                            20, "prints after the last kill")
        self.assertEqual({"one": 0, "two": 0}, undisturbed,
                         "a kill restarted the other trace, too")
        self.assertEqual(0, daemon.stop())
        expected = {}
        for name in names:
            self.assertEqual(3, len(lives(name)))
            expected |= truth.paths(truth.total(lives(name), ("@calls",)),
                                    name)
        sink()
        arrived = sums()
        # The bpftrace that the tee starts runs when it does: its own start
        # (a version, a compiler) is in the figure.
        report.figure("new bpftrace, first time, after", max(first), "s",
                      at_most=0.5)
        report.figure("values lost", sum(expected.values())
                      - sum(arrived.get(path, 0) for path in expected),
                      exactly=0)
        self.same_sums(arrived, expected)
        # The first two kills hit trace one: trace two has no gap until its
        # own first death, which its own prints tell.
        prints = sum(one.map == "@calls" for one in lives("two")[0])
        stamps = sorted(points("bpf.testhost.two.calls"))[:prints - 1]
        report.figure("slots missing in the other",
                      stamps[-1] - stamps[0] + 1 - len(stamps), exactly=0)
        self.assertEqual(list(range(stamps[0], stamps[0] + len(stamps))),
                         stamps, "the other trace has a gap")

    def test_with_a_real_carbon(self):
        scenario.needs_bpftrace()
        scenario.needs_carbon()
        carbon = self.must_end(Carbon(self.path("carbon")))
        carbon.start()
        with row(1, "real bpftrace and carbon-cache") as report:
            self.check(carbon.end, carbon.port,
                       lambda: carbon.sums("bpf.testhost."), carbon.points,
                       report)


class KilledOften(scenario.Scenario):
    def test_values_before_each_kill_arrive_and_other_traces_see_nothing(self):
        receiver = self.must_end(Receiver())
        record = self.path("dies"), self.path("lives")
        dies = self.write("dies.bt", f"//fake record path={record[0]}\n"
                          "//fake hist map=@u values=8:1,64:2 every=100\n"
                          "//fake count map=@c every=100 kind=cumulative\n"
                          "//fake die prints=7 signal=9\n"
                          "interval:ms:100 { @u = hist(8); @c = count(); "
                          "print(@u); clear(@u); print(@c); }\n")
        steady = self.write("lives.bt", f"//fake record path={record[1]}\n"
                            "//fake hist map=@u values=8:1,64:2 every=250\n"
                            "interval:s:1 { @u = hist(8); print(@u); "
                            "clear(@u); }\n")
        daemon = self.must_end(Daemon(
            self.folder, {"dies": {"script": dies},
                          "steady": {"script": steady}}, receiver.port,
            bpftrace={"program": scenario.program("fake_bpftrace")}))
        daemon.start()
        scenario.wait_until(
            lambda: len(truth.lives_of_fake(record[0])[0]) >= 5, 30,
            "five lives")
        self.assertEqual(0, daemon.stop())
        expected = {}
        for name, path in (("dies", record[0]), ("steady", record[1])):
            lives, how = truth.lives_of_fake(path)
            expected |= truth.paths(truth.total(
                lives, [m for m in how if how[m] == "cumulative"]), name)
        self.assertEqual(1, len(truth.lives_of_fake(record[1])[0]))
        self.same_sums(receiver.sums(), expected)
        stamps = sorted(timestamp for path, timestamp in receiver.values()
                        if path == "bpf.testhost.steady.u.64")
        self.assertEqual(list(range(stamps[0], stamps[0] + len(stamps))),
                         stamps, "the steady trace has a gap")


if __name__ == "__main__":
    scenario.main()
