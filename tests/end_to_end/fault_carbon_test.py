#!/usr/bin/python3
"""Row 21: real servers are killed under load, each in its own order of three
faults drawn from a fixed seed:

    unread     stopped by SIGSTOP until a batch lies in its kernel, then killed
    unstored   killed with what it had read and not stored, and down for two
               intervals
    between    killed after a batch was accepted, and back at once

One daemon feeds all: carbon-cache as Debian sets it up, carbon-cache without
limits, and carbon-c-relay before a Receiver.
"""

import pathlib
import random
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
from carbon import Carbon, Relay  # noqa: E402
from daemon import Bare  # noqa: E402
from fault_matrix import LONG, row  # noqa: E402
from oracle import Fault, Issued, descriptors, rss_mib, wait_seconds  # noqa: E402
from receiver import Receiver  # noqa: E402

SEED = 21
# Of each: twelve in all in the short form, since carbon needs seconds to start.
KILLS = 50 if LONG else 4
# In the long form carbon is back before the next batch.
INTERVAL = 5 if LONG else 1  # seconds
# What is to be sent once more has to leave before the end: after a kill each
# quarter of a minute that is most of the last ten minutes.
FLUSH = 300 if LONG else 20
# As many updates a second as Debian allows, and more: its cache never empties.
SERIES = 600


class Killer(threading.Thread):
    """Kills and starts one server, so often. `latest()`: the newest slot that
    has reached the server's far end, on disk or sent on. `clog(yes)`: has the
    server keep what it reads, or not any more."""

    def __init__(self, name, server, kills, seed, latest, clog=None):
        super().__init__(name=name, daemon=True)
        self.server = server
        self.kills = {"unread": 0, "unstored": 0, "between": 0}
        self.recovered = []
        self.failure = None
        self.done = threading.Event()
        self._over = threading.Event()
        self._chance = random.Random(seed)
        self._order = (sorted(self.kills) * kills)[:kills]
        self._chance.shuffle(self._order)
        self._latest = latest
        self._clog = clog or (lambda yes: None)

    def run(self):
        try:
            for kind in self._order:
                self._fault(kind)
        except BaseException as error:  # told by the test
            self.failure = error
        self.done.set()
        # The kernel kills a server when the thread that began it ends.
        self._over.wait()

    def kill(self):
        self._over.set()
        self.server.kill()

    def _fault(self, kind):
        wait_seconds(self._chance.uniform(0, INTERVAL))
        if kind == "unread":
            self.server.freeze()
            wait_seconds(INTERVAL + 0.7)
            self.server.kill()
        elif kind == "unstored":
            self._clog(True)
            wait_seconds(INTERVAL)
            self.server.kill()
            self._clog(False)
            wait_seconds(2 * INTERVAL)
        else:
            self.server.kill()
        self.kills[kind] += 1
        back = time.time()
        self.server.start()
        listens = time.time()
        # Of a slot that was not over then.
        scenario.wait_until(lambda: self._latest() > back - 1, 60,
                            f"a fresh value in {self.name} after {kind}")
        self.recovered.append(time.time() - listens)


class KilledServers(Fault):
    def latest_in(self, carbon, path):
        return max(carbon.points(path, 60), default=0)

    def latest_of(self, receiver):
        return max((line.timestamp for line in
                    receiver.taken(max(0, len(receiver.lines) - 2 * SERIES))),
                   default=0)

    def clog(self, receiver):
        """The relay can send nothing on, so that it has to keep it all."""
        return lambda yes: receiver.freeze() if yes else (
            receiver.drop_connections(), receiver.thaw())

    def test_nothing_is_lost_that_was_accepted_within_resend(self):
        scenario.needs_carbon()
        trace = Issued(self, "t", keys=SERIES)
        debian = self.must_end(Carbon(self.path("debian"),
                                      debian_limits=True))
        plain = self.must_end(Carbon(self.path("plain")))
        receiver = self.must_end(Receiver())
        relay = self.must_end(Relay(self.path("relay"), receiver.port))
        killers = []
        for number, (name, server, latest) in enumerate((
                ("carbon-cache, Debian's limits", debian,
                 lambda: self.latest_in(debian, trace.keys[0])),
                ("carbon-cache, no limits", plain,
                 lambda: self.latest_in(plain, trace.keys[0])),
                ("carbon-c-relay", relay,
                 lambda: self.latest_of(receiver)))):
            if server is not relay:
                server.create(trace.keys)
            server.start()
            killers.append(self.must_end(
                Killer(name, server, KILLS, SEED + number, latest,
                       self.clog(receiver) if server is relay else None)))
        daemon = self.start(
            [trace], 1, graphite={
                "destinations": [f"127.0.0.1:{one.server.port}"
                                 for one in killers],
                "interval": Bare(f"{INTERVAL}s")},
            stop={"flush-timeout": Bare(f"{FLUSH}s")})
        scenario.wait_until(lambda: all(one._latest() for one in killers), 60,
                            "values in all servers")
        before = descriptors(daemon.process.pid)
        for one in killers:
            one.start()
        for one in killers:
            self.assertTrue(one.done.wait(60 * KILLS), one.name)
            if one.failure:
                raise one.failure
        memory = rss_mib(daemon.process.pid, "VmHWM")
        status, more = self.no_leftovers(daemon, before,
                                         stop_seconds=FLUSH + 20)
        self.assertEqual(0, status)
        books = daemon.ledger()
        lasted = int(time.time() - trace.prints()[0][0]) + 60
        relay.end()
        lost = {}
        for one in killers:
            with row(21, one.name) as report:
                if one.server is relay:
                    verdict = self.judge_receiver(receiver, [trace],
                                                  may_lose=True)
                else:
                    one.server.end()
                    values = {(path, slot): int(value) for path in trace.keys
                              for slot, value in
                              one.server.points(path, lasted).items()}
                    verdict = self.judge(trace, values, may_lose=True)
                report.figure("kills", ", ".join(
                    f"{count} {kind}" for kind, count in one.kills.items()))
                report.figure("issued", verdict.issued)
                report.figure("lost", verdict.lost, exactly=0)
                report.figure("fresh value after the return, longest", round(max(one.recovered), 1),
                              "s")
                report.figure("sent again, all servers", books["resent"])
                if one.server is not relay:
                    report.figure("droppedCreates",
                                  int(one.server.own("droppedCreates")))
                    report.figure("cache/overflow",
                                  int(one.server.own("cache.overflow")))
                report.figure("largest RSS", memory, "MiB")
                report.figure("descriptors more", more)
                lost[one.name] = verdict.lost
        # The caches were never as old as `resend`, 60 s: each server stores or
        # sends on within seconds what it has.
        self.assertEqual({}, {name: n for name, n in lost.items() if n})
        self.assertEqual((0, 0), (books["parked"], books["dropped_buffer"]),
                         books)


if __name__ == "__main__":
    scenario.main()
