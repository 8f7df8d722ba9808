#!/usr/bin/python3
"""A hundred traces, faults at random from a seed, for as long as told. Row 35 of
the fault matrix: nothing is lost, nothing is invented, fresh values arrive
after each fault, nothing grows and nothing is left over.

BPF2GRAPHITE_SOAK_SECONDS: how long (120). BPF2GRAPHITE_SOAK_SEED: which faults
(1 in the short form, from 300 s on another one each time).
"""

import collections
import os
import pathlib
import random
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import process_figures as figures  # noqa: E402
import scenario  # noqa: E402
from daemon import Bare, alive  # noqa: E402
from fakes import Fakes  # noqa: E402
from fault_matrix import row  # noqa: E402

SECONDS = float(os.environ.get("BPF2GRAPHITE_SOAK_SECONDS", "120"))
IS_LONG = SECONDS >= 300
# The short form is to say the same each time; the long one looks for more.
SEED = int(os.environ.get("BPF2GRAPHITE_SOAK_SEED", "0")) or \
    (random.randrange(1, 1 << 31) if IS_LONG else 1)
TRACES = 100
# Beyond what a freed allocator and a full buffer explain.
GROWTH_MIB_MAX = 32

# What befalls a bpftrace by itself, in each of its lives.
OWN_FAULTS = ("", "", "", "//fake die at={at} signal=9\n",
              "//fake exit at={at} code=1 cut=yes\n",
              "//fake exit at={at} dump=yes\n",
              "//fake lost at={at} events=3\n",
              "//fake garbage at={at} bytes=5000\n",
              "//fake line at={at} bytes=200000\n",
              "//fake stderr at={at} text=a word\n")


class Soak(Fakes):
    def faults(self, chance):
        """Name: (begin, end) of each fault that we cause; end may be None."""
        victims = sorted(self.traces)

        def send(number):
            def begin():
                pids = self.pids(chance.choice(victims))
                if pids and alive(pids[-1]):
                    os.kill(pids[-1], number)
                    self.struck = pids[-1]
            return begin

        def go_on():
            if self.struck and alive(self.struck):
                os.kill(self.struck, signal.SIGCONT)

        def cut(how):
            return lambda: self.receiver.cut_after(chance.randrange(1, 30000),
                                                   how)

        def stop_us():
            os.kill(self.pid, signal.SIGSTOP)

        def continue_us():
            os.kill(self.pid, signal.SIGCONT)

        receiver = self.receiver
        return {
            "refuse": (receiver.refuse, receiver.listen),
            "freeze": (receiver.freeze, receiver.thaw),
            "drop": (receiver.drop_connections, None),
            "close": (cut("close"), None),
            "reset": (cut("reset"), None),
            "kill": (send(signal.SIGKILL), None),
            "crash": (send(signal.SIGSEGV), None),
            "stall": (send(signal.SIGSTOP), go_on),
            "suspend": (stop_us, continue_us),
        }

    def sample(self):
        # Each bpftrace takes three: two pipes and the handle of the process.
        own = figures.descriptors(self.pid) - 3 * len(self.daemon.descendants())
        self.samples.append((time.monotonic(), figures.rss_mib(self.pid), own))

    def pause(self, seconds):
        end = time.monotonic() + seconds

        def over():
            if time.monotonic() - self.samples[-1][0] > 1:
                self.sample()
            return time.monotonic() >= end
        scenario.wait_until(over, seconds + 60, "a pause")

    def test_faults_at_random(self):
        print(f"BPF2GRAPHITE_SOAK_SEED={SEED}", file=sys.stderr)
        with row(35) as report:
            self.soak(report)

    def soak(self, report):
        chance = random.Random(SEED)
        for n in range(TRACES):
            own = chance.choice(OWN_FAULTS)
            every = chance.choice([200, 500, 1000])
            self.add(f"t{n}", own.format(at=chance.randrange(2000, 20000)),
                     every=every)
        # A loss marks what was accepted within `resend`, and to be accepted
        # anew begins that time anew. With a loss every few seconds and the
        # default of 60 s nothing would ever be let go (but for `buffer`): the
        # memory of that is no leak, and would hide one.
        self.start(until_printed=False, graphite={"resend": Bare("2s")})
        scenario.wait_until(lambda: self.receiver.clean >= 2, 60,
                            "first batches")
        self.struck = None
        self.samples = []
        self.sample()
        faults = self.faults(chance)
        done = collections.Counter()
        recoveries = []
        cpu = figures.cpu_seconds(self.pid)
        begun = time.monotonic()
        while time.monotonic() - begun < SECONDS:
            name = chance.choice(sorted(faults))
            begin, end = faults[name]
            begin()
            self.pause(chance.uniform(0.2, 4))
            if end:
                end()
            done[name] += 1
            fresh, over = time.time(), time.monotonic()
            scenario.wait_until(
                lambda: any(line.arrived > fresh and line.timestamp >= fresh - 2
                            for line in self.receiver.newest(2000)), 60,
                f"fresh values after {name}")
            recoveries.append(time.monotonic() - over)
            self.pause(chance.uniform(0, 1))
        lasted = time.monotonic() - begun
        cpu = figures.cpu_seconds(self.pid) - cpu
        steady = [one for one in self.samples if one[0] > begun + lasted / 3]
        below = self.daemon.descendants()
        self.assertEqual(0, self.daemon.stop(60))
        left = [pid for pid in below if alive(pid)]
        self.assertEqual([], left)
        kept = sorted(os.listdir(self.path("runtime")))
        report.figure(f"{sum(done.values())} faults in", lasted, "s")
        report.figure("seed", SEED)
        report.figure("fresh values after at most", max(recoveries), "s")
        hours = 3600
        growth = figures.slope([(at, rss) for at, rss, _ in steady]) * hours
        fds = figures.slope([(at, count) for at, _, count in steady]) * hours
        # Two minutes tell no slope: told, not judged.
        report.figure("RSS slope", growth, "MiB/h",
                      **({"below": 1} if IS_LONG else {}))
        report.figure("descriptor slope", fds, "/h",
                      **({"below": 10} if IS_LONG else {}))
        report.figure("RSS", steady[-1][1], "MiB")
        report.figure("descriptors but those of children", steady[-1][2])
        report.figure("our CPU", 100 * cpu / lasted, "%")
        report.figure("left over", ", ".join(kept) or "nothing")
        print("faults: " + ", ".join(f"{name} {count}" for name, count
                                     in sorted(done.items())), file=sys.stderr)
        self.judge(report)
        self.assertEqual([], [name for name in kept
                              if name not in ("lock", "last-slot")])
        self.assertLess(steady[-1][1], steady[0][1] + GROWTH_MIB_MAX)
        # One that ends at this moment may be counted in halves.
        self.assertLess(steady[-1][2], steady[0][2] + TRACES)


if __name__ == "__main__":
    scenario.main()
