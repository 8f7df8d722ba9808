"""The four assertions about a fault, made with the record of fake_bpftrace (what
was issued, when) and the lines of a Receiver (what arrived):

    conservation   every point that was issued arrived
    integrity      only issued values arrived, in their slots, in order, and
                   never two values for one path and slot
    liveness       a fresh value arrives after the fault ends
    no leftovers   no process, descriptor, connection or port stays behind
"""

import collections
import os
import time

import scenario
import truth
from daemon import Daemon

PROBE = "bpf.testhost.bpf2graphite.probe"

Verdict = collections.namedtuple(
    "Verdict", "issued lost duplicates latest earliest")


class Issued:
    """A trace `name` that counts: `keys` series, a print each `every` ms, of
    which no two show the same numbers (print n of key i shows n * i)."""

    def __init__(self, test, name, keys=10, every=1000):
        self.name = name
        self.record = test.path(name + ".record")
        names = ";".join(f"key{n:03}" for n in range(1, keys + 1))
        self.keys = [f"bpf.testhost.{name}.c.key{n:03}"
                     for n in range(1, keys + 1)]
        self.settings = {
            "program": scenario.program("fake_bpftrace"),
            "script": test.write(
                f"{name}.bt", f"//fake record path={self.record}\n"
                f"//fake count map=@c keys={names} every={every} vary=100000\n"
                f"interval:ms:{every} {{ @c[comm] = count(); print(@c); "
                "clear(@c); }\n")}

    def prints(self):
        """[(seconds since the epoch, number of key 1)], whole prints only."""
        pending, whole = {}, []
        for event in truth.events_of(self.record):
            if event["event"] == "print":
                pending[event["n"]] = (event["at"] / 1000,
                                       event["values"]["key001"])
            elif event["event"] == "done":
                whole.append(pending.pop(event["n"]))
        return whole

    def wait_for_prints(self, more, seconds=60):
        upto = len(self.prints()) + more
        scenario.wait_until(lambda: len(self.prints()) >= upto, seconds,
                            f"{more} more prints of {self.name}")


class Fault(scenario.Scenario):
    """A scenario with the four assertions."""

    def start(self, traces, port, **options):
        """A daemon with these traces (of Issued)."""
        daemon = self.must_end(Daemon(
            self.folder, {one.name: one.settings for one in traces}, port,
            **options))
        return daemon.start()

    def judge(self, trace, values, duplicates=0, may_lose=False, resolution=1,
              keys=None):
        """Conservation and integrity of a trace, when the daemon has ended.
        `values`: {(path, slot): value} that arrived. Each series has to be the
        prints in their order, each in one slot, some added. With `may_lose`
        prints may be missing between two points and at the end; a point is
        then compared with prints of its own time only. Returns how many values of prints are lost,
        and how far from its slot a print was: its time less the slot's start,
        which is half a gap of prints to that and a slot."""
        prints = trace.prints()
        self.assertGreater(len(prints), 0, "nothing was printed")
        by_path = collections.defaultdict(list)
        for (path, slot), value in sorted(values.items()):
            by_path[path].append((slot, value))
        lost, offsets = 0, []
        for factor, path in enumerate(trace.keys, 1):
            if keys is not None and factor > keys:
                break
            series = by_path.pop(path, [])
            if not may_lose:
                self.assertTrue(series, f"nothing arrived of {path}")
            left = collections.deque(prints)
            for slot, value in series:
                while may_lose and left and left[0][0] < slot - resolution:
                    left.popleft()
                    lost += 1
                lost += self._take(left, factor, path, slot, value, offsets,
                                   may_lose)
            lost += len(left)
        if not may_lose:
            self.assertEqual(0, lost, f"lost of {trace.name}")
        verdict = Verdict(len(prints) * len(trace.keys), lost, duplicates,
                          max(offsets, default=0), min(offsets, default=0))
        # One interval either way, and what a busy machine reads late.
        self.assertGreaterEqual(verdict.earliest, -resolution, verdict)
        self.assertLess(verdict.latest, 3 * resolution + 2, verdict)
        return verdict

    def _take(self, left, factor, path, slot, value, offsets, may_lose):
        """Takes the prints of one point off the front of `left`; returns how
        many had to be left out before them."""
        if value == 0:
            return 0
        skipped = 0
        while left:
            total, count = 0, 0
            for at, number in left:
                if total >= value:
                    break
                total += factor * number
                count += 1
            if total == value:
                for _ in range(count):
                    offsets.append(left.popleft()[0] - slot)
                return skipped
            if not may_lose:
                break
            left.popleft()
            skipped += 1
        self.fail(f"{path} {value} {slot} is no sum of the next prints "
                  f"{[n * factor for _, n in list(left)[:5]]}")

    def judge_receiver(self, receiver, traces, **how):
        """The same for all that a receiver has taken."""
        self.assertEqual([], receiver.bad)
        self.assertEqual({}, {where: found for where, found
                              in receiver.conflicts().items()
                              if where[0] != PROBE})
        values = receiver.values()
        known = {path for one in traces for path in one.keys}
        self.assertEqual(set(), {path for path, _ in values}
                         - known - {PROBE}, "series that nobody issued")
        found = [self.judge(one, {where: value for where, value
                                  in values.items()
                                  if where[0] in set(one.keys)}, **how)
                 for one in traces]
        return Verdict(sum(one.issued for one in found),
                       sum(one.lost for one in found), receiver.duplicates(),
                       max(one.latest for one in found),
                       min(one.earliest for one in found))

    def fresh(self, receiver, since, seconds=30):
        """Liveness: waits for a line of a slot that ends after `since`;
        returns how long after `since` the first line of any slot came, and the
        first fresh one."""
        known = receiver.taken

        def lines():
            return [line for line in known() if line.arrived >= since]
        scenario.wait_until(
            lambda: any(line.timestamp >= since - 1 for line in lines()),
            seconds, "a fresh value after the fault")
        return (min(line.arrived for line in lines()) - since,
                min(line.arrived for line in lines()
                    if line.timestamp >= since - 1) - since)

    def no_leftovers(self, daemon, before, network=None, port=None,
                     stop_seconds=40):
        """After the fault, before the stop: no more descriptors than `before`
        the fault, at most one connection. Then stops it: no process, no
        connection. Returns (exit status, descriptors more)."""
        allowed = before + 2  # a socket that is closing, a look-up
        now = scenario.wait_until(
            lambda: (descriptors(daemon.process.pid) <= allowed
                     and [descriptors(daemon.process.pid)]), 15,
            f"at most {allowed} descriptors")[0]
        if network is not None:
            scenario.wait_until(lambda: len(network.sockets(port)) <= 1, 15,
                                "at most one connection")
        status = daemon.stop(stop_seconds)
        if network is not None:
            scenario.wait_until(lambda: network.sockets(port) == [], 10,
                                "no connection")
        return status, max(0, now - before)


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def rss_mib(pid, which="VmRSS"):
    """VmRSS, or VmHWM for the largest so far."""
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file
                    if line.startswith(which))


def wait_seconds(seconds):
    """A part of a test that lasts so long, however long a thing takes."""
    begun = time.monotonic()
    scenario.wait_until(lambda: time.monotonic() - begun >= seconds,
                        seconds + 10, f"{seconds} s are over")
