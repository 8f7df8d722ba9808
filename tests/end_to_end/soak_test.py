#!/usr/bin/python3
"""Many traces, faults at random from a seed, for as long as told: nothing is
lost, nothing is doubled, nothing grows, fresh values arrive after each fault.

BPF2GRAPHITE_SOAK_SECONDS: how long (30). BPF2GRAPHITE_SOAK_SEED: which faults
(1 in the short form, from 300 s on another one each time).
"""

import os
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
import truth  # noqa: E402
from daemon import Daemon  # noqa: E402
from receiver import Receiver  # noqa: E402

SECONDS = float(os.environ.get("BPF2GRAPHITE_SOAK_SECONDS", "30"))
# The short form is to say the same each time; the long one looks for more.
SEED = int(os.environ.get("BPF2GRAPHITE_SOAK_SEED", "0")) or \
    (1 if SECONDS < 300 else random.randrange(1, 1 << 31))
TRACES = 20 if SECONDS < 300 else 100
# Beyond what a freed allocator and a full buffer explain.
GROWTH_MIB_MAX = 32


def rss_mib(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file
                    if line.startswith("VmRSS"))


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Soak(scenario.Scenario):
    def trace(self, chance, name):
        """A trace that prints, and ends or misbehaves at a random time."""
        fault = chance.choice([
            "", "", "//fake die at={at} signal=9\n",
            "//fake exit at={at} code=1 cut=yes\n",
            "//fake exit at={at} dump=yes\n", "//fake lost at={at} events=3\n",
            "//fake garbage at={at} bytes=5000\n",
            "//fake line at={at} bytes=200000\n"])
        return {"program": scenario.program("fake_bpftrace"),
                "script": self.write(
                    f"{name}.bt", f"//fake record path={self.path(name)}\n"
                    "//fake hist map=@u values=8:1,64:2,4096:7 "
                    f"every={chance.choice([200, 500, 1000])} vary=5\n"
                    "//fake count map=@c value=3 keys=a,d;b,c every=500 "
                    "kind=cumulative vary=3\n"
                    + fault.format(at=chance.randrange(2000, 9000))
                    + "interval:ms:500 { @u = hist(8); @c[comm, \"x\"] = count(); "
                    "print(@u); clear(@u); print(@c); }\n")}

    def test_faults_at_random(self):
        print(f"BPF2GRAPHITE_SOAK_SEED={SEED}", file=sys.stderr)
        chance = random.Random(SEED)
        receiver = self.must_end(Receiver())
        traces = {f"t{n}": self.trace(chance, f"t{n}") for n in range(TRACES)}
        daemon = self.must_end(Daemon(self.folder, traces, receiver.port,
                                      log={"level": "info"}))
        daemon.start()
        scenario.wait_until(lambda: receiver.clean >= 2, 30, "first batches")
        begun = time.monotonic()
        rss = fds = 0
        while time.monotonic() - begun < SECONDS:
            fault = chance.choice(["refuse", "freeze", "close", "reset",
                                   "drop"])
            after = time.monotonic() + chance.uniform(0.2, 4)
            if fault == "refuse":
                receiver.refuse()
            elif fault == "freeze":
                receiver.freeze()
            elif fault == "drop":
                receiver.drop_connections()
            else:
                receiver.cut_after(chance.randrange(1, 3000), fault)
            scenario.wait_until(lambda: time.monotonic() > after, 10, "a pause")
            if fault == "refuse":
                receiver.listen()
            elif fault == "freeze":
                receiver.thaw()
            fresh = time.time()
            scenario.wait_until(
                lambda: any(line.arrived > fresh and line.timestamp >= fresh - 2
                            for line in receiver.taken()[-5000:]), 20,
                f"fresh values after {fault}")
            if rss == 0 and time.monotonic() - begun > SECONDS / 3:
                rss = rss_mib(daemon.process.pid)
                fds = descriptors(daemon.process.pid)
        self.assertLess(rss_mib(daemon.process.pid), rss + GROWTH_MIB_MAX)
        # Between two restarts of all bpftrace there may be none or all of
        # their pipes; a leak is one more each time.
        self.assertLess(descriptors(daemon.process.pid), fds + 5 * TRACES)
        self.assertEqual(0, daemon.stop(40))
        self.assertEqual([], receiver.bad)
        self.assertEqual({}, receiver.conflicts())
        expected = {}
        for name in traces:
            lives, how = truth.lives_of_fake(self.path(name))
            expected |= truth.paths(truth.total(
                lives, [m for m in how if how[m] == "cumulative"]), name)
        self.same_sums(receiver.sums(), expected, f"seed {SEED}")


if __name__ == "__main__":
    scenario.main()
