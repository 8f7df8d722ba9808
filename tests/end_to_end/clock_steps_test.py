#!/usr/bin/python3
"""The wall clock is set while the daemon runs (libfaketime), and the daemon
stands still for a while: nothing that was printed is missing on the wire, the
batches go on, and there is one warning."""

import os
import pathlib
import signal
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
from fault_matrix import row  # noqa: E402
import truth  # noqa: E402
from daemon import Bare, Daemon  # noqa: E402
from receiver import Receiver  # noqa: E402

LONG = os.environ.get("BPF2GRAPHITE_LONG") == "1"
FAKETIME = "/usr/lib/{}/faketime/libfaketimeMT.so.1"

# Two forms of output: the text parser ends some prints by a pause.
DIRECTIVES = ("//fake record path={}\n"
              "//fake hist map=@u values=4:3,64:1 every=200 vary=3\n"
              "//fake count map=@c keys=a;b value=2 every=300 kind=cumulative\n"
              "interval:ms:200 {{ @u = hist(8); print(@u); clear(@u); }}\n"
              "interval:ms:300 {{ @c[comm] = count(); print(@c); }}\n")


def faketime():
    for machine in ("x86_64-linux-gnu", "aarch64-linux-gnu"):
        if os.path.exists(FAKETIME.format(machine)):
            return FAKETIME.format(machine)
    raise unittest.SkipTest("faketime is not installed")


class ClockSteps(scenario.Scenario):
    def run_daemon(self, environment=None, own_metrics=False, **trace):
        self.receiver = self.must_end(Receiver())
        traces = {}
        for form in ("json", "text"):
            script = self.write(f"{form}.bt",
                                DIRECTIVES.format(self.path(form)))
            traces[form] = {"script": script, "format": form,
                            "program": scenario.program("fake_bpftrace"),
                            **trace}
        daemon = self.must_end(Daemon(self.folder, traces, self.receiver.port,
                                      environment=environment,
                                      own_metrics={"enabled": own_metrics}))
        return daemon.start()

    def lines(self):
        """What came, without the daemon's own metrics."""
        return [line for line in self.receiver.taken()
                if ".bpf2graphite." not in line.path]

    def set_clock(self, seconds):
        """Moves the wall clock of the daemon to real time plus that."""
        with open(self.path("offset.new"), "w") as file:
            file.write(f"{seconds:+d}\n")
        os.rename(self.path("offset.new"), self.path("offset"))

    def wait_for_points(self, offset, count=3):
        """Until points of that many slots at real time plus `offset` came that
        were sent after now."""
        begun = time.time()
        scenario.wait_until(
            lambda: len({line.timestamp for line in self.lines()
                         if line.arrived > begun
                         and abs(line.timestamp - offset - begun) < 600})
            >= count, 30, f"{count} slots at {offset:+d} s")

    def all_sums(self):
        """Of all lines: a slot that is sent again has other prints in it."""
        sums = {}
        for line in self.lines():
            sums[line.path] = sums.get(line.path, 0) + line.value
        return sums

    def expected(self):
        paths = {}
        for form in ("json", "text"):
            lives = truth.lives_of_fake(self.path(form))[0]
            self.assertEqual(1, len(lives), "bpftrace was restarted")
            paths |= truth.paths(truth.total(lives, ("@c",)), form)
        return paths

    def check_books(self, daemon):
        self.same_sums(self.all_sums(), self.expected())
        self.assertEqual([], self.receiver.bad)
        books = daemon.ledger()
        self.assertEqual(0, books["restarts"], books)
        self.assertEqual(0, books["dropped_values"], books)
        self.assertEqual(
            books["read"], books["measured"] + books["combined"]
            + books["unchanged"] + books["merged"] + books["folded"]
            + books["open"], books)
        return books

    def longest_silence(self):
        """Seconds between two batches. With own metrics there is something to
        send at each flush; without, a slot that a step has ended early leaves
        its own flush empty."""
        arrivals = sorted({line.connection: line.arrived
                           for line in self.receiver.taken()}.values())
        return max((b - a for a, b in zip(arrivals, arrivals[1:])), default=0)

    def warnings(self, daemon, words):
        return [line for line in daemon.log().splitlines()
                if "wall clock" in line and words in line]

    def stepped(self, steps):
        """Runs through the steps; returns (daemon, books)."""
        library = faketime()
        self.set_clock(0)
        daemon = self.run_daemon({
            "LD_PRELOAD": library, "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_TIMESTAMP_FILE": self.path("offset"),
            "FAKETIME_NO_CACHE": "1"}, own_metrics=True)
        self.wait_for_points(0)
        for offset in steps:
            self.set_clock(offset)
            self.wait_for_points(offset)
        self.assertEqual(0, daemon.stop())
        books = self.check_books(daemon)
        print(f"\nsteps {steps}: {len(self.lines())} lines, lost 0, "
              f"slots_rewritten {books['slots_rewritten']}, late "
              f"{books['late']}, longest time between two batches "
              f"{self.longest_silence():.2f} s (interval 1 s)")
        with row(22, " ".join(str(offset) for offset in steps)) as told:
            told.figure("values lost", 0, exactly=0)  # the books were checked
            told.figure("slots rewritten", books["slots_rewritten"])
            told.figure("flush period off by at most",
                        self.longest_silence() - 1, "s", at_most=0.5)
        return daemon, books

    def test_two_hours_forward_and_back(self):
        # The second step back leads to slots that were never sent.
        daemon, books = self.stepped([7200, 0, -7200])
        self.assertEqual(1, len(self.warnings(daemon, "set forward by 72")),
                         daemon.log()[-2000:])
        self.assertEqual(2, len(self.warnings(daemon, "set back by 72")))
        self.assertGreater(books["slots_rewritten"], 0)

    def test_half_a_minute_back(self):
        library = faketime()
        self.set_clock(0)
        daemon = self.run_daemon({
            "LD_PRELOAD": library, "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_TIMESTAMP_FILE": self.path("offset"),
            "FAKETIME_NO_CACHE": "1"})
        self.wait_for_points(0)
        self.set_clock(-30)
        prints = lambda: sum(  # noqa: E731
            len(life) for life in truth.lives_of_fake(self.path("json"))[0])
        enough = prints() + 30
        scenario.wait_until(lambda: prints() >= enough, 20, "30 prints more")
        if LONG: # the clock comes back to where it was
            self.wait_for_points(-30)
        self.assertEqual(0, daemon.stop())
        books = self.check_books(daemon)
        # We stay in the newest slot: none is sent twice, none goes back.
        self.assertEqual({}, self.receiver.conflicts())
        self.assertEqual(0, books["slots_rewritten"])
        self.assertEqual([], self.warnings(daemon, "set"))
        print(f"\nstep -30 s: {len(self.receiver.taken())} lines, lost 0, "
              f"slots_rewritten 0, late {books['late']}")

    def test_a_suspend_is_one_late_batch(self):
        seconds = 60 if LONG else 8
        daemon = self.run_daemon(**{"expect-output-within": Bare("3s")})
        begun = time.time()
        scenario.wait_until(
            lambda: len({line.timestamp for line in self.receiver.taken()})
            >= 3, 20, "points come")
        daemon.send(signal.SIGSTOP)
        stood = time.time()
        scenario.wait_until(lambda: time.time() >= stood + seconds,
                            seconds + 5, "it has stood still")
        before = len(self.receiver.taken())
        daemon.send(signal.SIGCONT)
        woke = time.time()
        scenario.wait_until(
            lambda: len({line.timestamp for line in self.receiver.taken()
                         if line.timestamp > woke}) >= 3, 20,
            "fresh points after the suspend")
        self.assertEqual(0, daemon.stop())
        books = self.check_books(daemon)
        self.assertEqual({}, self.receiver.conflicts())
        self.assertEqual([], self.warnings(daemon, "set"))
        self.assertEqual(2, books["starts"], books)
        first = self.receiver.taken()[before]
        with row(23) as told:
            told.figure("suspended for", seconds, "s")
            told.figure("values lost", 0, exactly=0)  # the books were checked
            told.figure("restarts", books["restarts"], exactly=0)
            told.figure("first batch after waking", first.arrived - woke, "s")
        print(f"\nsuspend of {seconds} s: lost 0, restarts "
              f"{books['restarts']}, late values {books['late']}, first batch "
              f"{first.arrived - woke:.2f} s after waking, run of "
              f"{time.time() - begun:.0f} s")


if __name__ == "__main__":
    scenario.main()
