#!/usr/bin/python3
"""Row 30 of the fault matrix: SIGKILL of the daemon at random moments. Nothing
that it started outlives it, no slot that Graphite has is touched again by the
next one, and what is lost is the slots that were open or not accepted.

BPF2GRAPHITE_KILL_SEED: which moments (30).
"""

import os
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
import truth  # noqa: E402
from daemon import alive  # noqa: E402
from fakes import Fakes  # noqa: E402
from fault_matrix import LONG, row  # noqa: E402

KILLS = 200 if LONG else 25
SEED = int(os.environ.get("BPF2GRAPHITE_KILL_SEED", "30"))
TRACES = 3
EVERY_MS = 100


class Round:
    """One life of the daemon, and what is known of it after."""

    def __init__(self, lost, bound, window, orphans):
        self.lost = lost        # values printed that did not arrive
        self.bound = bound      # values of slots open or not accepted
        self.window = window    # seconds from the last slot's begin to the kill
        self.orphans = orphans  # after one second


class Killed(Fakes):
    def kill_at(self, seconds):
        """Starts a daemon, kills it after that long, waits for what is on its
        way, and compares. One value a print, and that value is 1."""
        for name in self.traces:
            pathlib.Path(self.record(name)).unlink(missing_ok=True)
        before = len(self.receiver.taken())
        self.start(until_printed=False)
        # Not from the program's start: that takes its time on a busy machine.
        scenario.wait_until(lambda: all(self.pids(name)
                                        for name in self.traces), 40, "starts")
        moment = time.monotonic() + seconds
        scenario.wait_until(lambda: time.monotonic() >= moment, seconds + 30,
                            "the moment")
        below = self.daemon.descendants()
        self.daemon.kill()
        killed, wall = time.monotonic(), time.time()
        scenario.wait_until(
            lambda: not any(alive(pid) for pid in below)
            or time.monotonic() > killed + 1, 5, "a second")
        orphans = [pid for pid in below if alive(pid)]
        # What the kernel has of it is read to the end.
        scenario.wait_until(lambda: not self.receiver.open_connections(), 10,
                            "the receiver has read all")
        lines = self.receiver.taken()[before:]
        return self.compare(lines, wall, orphans)

    def compare(self, lines, wall, orphans):
        lost = bound = 0
        window = 0.0
        for name in self.traces:
            path = f"bpf.testhost.{name}.n"
            points = {line.timestamp: line.value for line in lines
                      if line.path == path}
            printed = [event["at"] / 1000
                       for event in truth.events_of(self.record(name))
                       if event["event"] == "done"]
            newest = max(points, default=0)
            # Slot `newest` was closed: all before it is, too, and what was
            # printed before it began can be in no later one.
            due = sum(at < newest for at in printed)
            arrived = sum(points.values())
            self.assertGreaterEqual(arrived, due, f"{name}: a closed slot has "
                                    "less than was printed before its end")
            self.assertLessEqual(arrived, len(printed), f"{name}: invented")
            lost += len(printed) - arrived
            bound += sum(at >= newest for at in printed)
            if newest:
                window = max(window, wall - newest)
        return Round(lost, bound, window, orphans)

    def test_row_30_killed_at_random_moments(self):
        print(f"BPF2GRAPHITE_KILL_SEED={SEED}", file=sys.stderr)
        with row(30, "under no systemd") as report:
            chance = random.Random(SEED)
            for n in range(TRACES):
                self.add(f"t{n}", prints="//fake count map=@n value=1 "
                         "every={every}\n", every=EVERY_MS,
                         code="interval:ms:{every} {{ @n = count(); "
                         "print(@n); clear(@n); }}\n")
            rounds = [self.kill_at(chance.uniform(0, 4)) for _ in range(KILLS)]
            orphans = sum(len(one.orphans) for one in rounds)
            worst = max(rounds, key=lambda one: one.lost)
            beyond = max(one.lost - one.bound for one in rounds)
            report.figure("kills", len(rounds))
            report.figure("orphans after 1 s", orphans, exactly=0)
            report.figure("most values lost by one kill", worst.lost)
            report.figure("... printed in slots not accepted yet", worst.bound)
            report.figure("oldest slot lost began before the kill",
                          max(one.window for one in rounds), "s")
            report.figure("lost beyond these", max(beyond, 0), exactly=0)
            report.figure("slots sent with two values",
                          len(self.receiver.conflicts()), exactly=0)
            self.assertEqual(0, orphans)
            self.assertLessEqual(beyond, 0)
            self.assertEqual({}, self.receiver.conflicts())
            self.assertGreater(len(self.receiver.values()), 0,
                               "no round lived long enough to send")


if __name__ == "__main__":
    scenario.main()
