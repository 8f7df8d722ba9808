#!/usr/bin/python3
"""A stop is graceful: the last values arrive, nothing is left behind, and when
Graphite is away it ends in time and says what is lost."""

import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
from fault_matrix import row  # noqa: E402
import truth  # noqa: E402
from daemon import Bare, Daemon, alive  # noqa: E402
from receiver import Receiver  # noqa: E402

SCRIPT = ("//fake hist map=@u values=8:1,64:2 every=200 rest=3\n"
          "//fake count map=@c every=200 kind=cumulative rest=2\n"
          "interval:ms:200 { @u = hist(8); @c = count(); print(@u); clear(@u); "
          "print(@c); }\n")


class Stop(scenario.Scenario):
    def start(self, receiver, directives="", traces=3, environment=None,
              **groups):
        """Traces t0, t1, ... of the fake; waits until each has printed."""
        self.names = [f"t{n}" for n in range(traces)]
        daemon = self.must_end(Daemon(
            self.folder, {name: {"script": self.write(
                f"{name}.bt", f"//fake record path={self.path(name)}\n"
                + directives + SCRIPT)} for name in self.names},
            receiver.port, environment=environment, **{
                "bpftrace": {"program": scenario.program("fake_bpftrace"),
                             "stop-timeout": Bare("2s")}, **groups}))
        daemon.start()
        scenario.wait_until(
            lambda: all(sum(len(life) for life in
                            truth.lives_of_fake(self.path(name))[0]) >= 10
                        for name in self.names), 20, "prints of each trace")
        return daemon

    def expected(self):
        whole = {}
        for name in self.names:
            lives, how = truth.lives_of_fake(self.path(name))
            whole |= truth.paths(truth.total(
                lives, [m for m in how if how[m] == "cumulative"]), name)
        return whole

    def test_the_last_values_arrive(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=number):
                for name in getattr(self, "names", []):
                    pathlib.Path(self.path(name)).unlink()
                receiver = self.must_end(Receiver())
                daemon = self.start(receiver)
                self.assertEqual(0, daemon.stop(10, number))
                for name in self.names:
                    events = truth.events_of(self.path(name))
                    self.assertEqual(
                        1, sum(e["event"] == "signal" for e in events),
                        f"{name} got more than one signal")
                    self.assertEqual("end", events[-1]["event"])
                self.same_sums(receiver.sums(), self.expected())
                self.assertEqual({}, receiver.conflicts())

    def test_with_graphite_down_it_ends_in_time_and_says_the_loss(self):
        receiver = self.must_end(Receiver())
        receiver.refuse()
        daemon = self.start(receiver, stop={"flush-timeout": Bare("2s")})
        daemon.stop(2 + 2 + 3)
        books = daemon.ledger()
        self.assertGreater(books["dropped_stop"], 0, books)
        self.assertEqual(books["points"], books["accepted"]
                         + books["dropped_buffer"] + books["dropped_stop"]
                         + books["parked"], books)

    def test_many_that_are_down_cost_no_more_time_than_one(self):
        receivers = [self.must_end(Receiver()) for _ in range(5)]
        for one in receivers:
            one.refuse()
        daemon = self.start(receivers[0], stop={"flush-timeout": Bare("3s")},
                            graphite={"destinations": [
                                f"127.0.0.1:{one.port}" for one in receivers]})
        daemon.stop(2 + 3 + 5)  # one after the other they would take 15
        self.assertGreater(daemon.ledger()["dropped_stop"], 0)

    def test_with_graphite_frozen_it_ends_in_time(self):
        receiver = self.must_end(Receiver())
        receiver.freeze()
        daemon = self.start(receiver, stop={"flush-timeout": Bare("2s")})
        daemon.stop(2 + 2 + 3)
        self.assertGreater(daemon.ledger()["dropped_stop"], 0)

    def test_a_bpftrace_that_ignores_signals_is_killed(self):
        receiver = self.must_end(Receiver())
        daemon = self.start(receiver, "//fake ignore signals=INT,TERM\n",
                            traces=10)
        self.assertEqual(0, daemon.stop(2 + 3))

    def test_a_second_signal_ends_it_at_once(self):
        receiver = self.must_end(Receiver())
        receiver.freeze()
        daemon = self.start(receiver, "//fake ignore signals=INT,TERM\n")
        below = daemon.descendants()
        self.assertEqual(3, len(below))
        daemon.send(signal.SIGTERM)
        daemon.wait_for_log(r"(?i)stop|signal", 5)
        begun = time.monotonic()
        daemon.send(signal.SIGTERM)
        daemon.process.wait(5)
        took = time.monotonic() - begun
        orphans = [pid for pid in below if alive(pid)]
        print(f"row 29: {took:.3f} s from the second signal to the end (0.5 "
              f"allowed), {len(orphans)} orphans", flush=True)
        with row(29) as told:
            told.figure("end after the second signal", took, "s", at_most=0.5)
            told.figure("orphans", len(orphans), exactly=0)
        self.assertLess(took, 2.0)  # with slack for a loaded machine
        scenario.wait_until(lambda: not any(alive(pid) for pid in below), 1,
                            "no orphan is left")

    def test_killed_it_leaves_no_orphan(self):
        receiver = self.must_end(Receiver())
        daemon = self.start(receiver, "//fake ignore signals=INT,TERM\n",
                            traces=10)
        below = daemon.descendants()
        self.assertEqual(10, len(below))
        daemon.kill()
        scenario.wait_until(lambda: not any(alive(pid) for pid in below), 2,
                            "no orphan is left")

    def test_a_second_copy_exits_75_and_disturbs_nothing(self):
        receiver = self.must_end(Receiver())
        first = self.start(receiver, traces=1)
        second = self.must_end(Daemon(self.path("second"), {
            "t0": {"script": self.path("t0.bt")}}, receiver.port,
            bpftrace={"program": scenario.program("fake_bpftrace")},
            status={"runtime-directory": self.path("runtime")}))
        begun = time.monotonic()
        second.start()
        self.assertEqual(75, second.process.wait(10), second.log())
        print(f"row 32: the second copy left with 75 after "
              f"{time.monotonic() - begun:.3f} s", flush=True)
        with row(32) as told:
            told.figure("exit status", second.process.returncode, exactly=75)
            told.figure("after", time.monotonic() - begun, "s")
        self.assertIn(f"(pid {first.process.pid})", second.log())
        self.assertEqual(0, first.stop())
        self.assertEqual(1, len(truth.lives_of_fake(self.path("t0"))[0]))
        self.same_sums(receiver.sums(), self.expected())


if __name__ == "__main__":
    scenario.main()
