"""Scenarios with many traces: of fake_bpftrace, whose sums are judged, and of
bpftrace itself."""

import time

import scenario
import truth
from daemon import Bare, Daemon
from receiver import Receiver

# One hist that is cleared, one count that grows.
PRINTS = ("//fake hist map=@u values=8:1,64:2 every={every} vary=3 rest=3\n"
          "//fake count map=@c every={every} kind=cumulative rest=2\n")
CODE = ("interval:ms:{every} {{ @u = hist(8); @c = count(); print(@u); "
        "clear(@u); print(@c); }}\n")


class Fakes(scenario.Scenario):
    """`self.traces` {name: settings}, `self.receiver`, `self.daemon`."""

    def setUp(self):
        super().setUp()
        self.traces = {}
        self.receiver = self.must_end(Receiver())
        self.daemon = None

    def record(self, name):
        return self.path(f"{name}.record")

    def add(self, name, directives="", prints=PRINTS, every=500, code=CODE,
            **settings):
        """A trace of the fake. With prints="" only the directives print."""
        self.traces[name] = {
            "program": scenario.program("fake_bpftrace"),
            "script": self.write(
                f"{name}.bt", f"//fake record path={self.record(name)}\n"
                + directives + prints.format(every=every)
                + code.format(every=every)), **settings}
        return name

    def start(self, environment=None, until_printed=True, **groups):
        """Starts the daemon; returns when each trace has printed."""
        groups.setdefault("log", {"level": "info"})
        self.daemon = self.must_end(Daemon(
            self.folder, self.traces, self.receiver.port,
            environment=environment, **groups))
        self.daemon.start()
        if until_printed:
            self.wait_for_prints(2, *self.traces)
        return self.daemon

    @property
    def pid(self):
        return self.daemon.process.pid

    # ---- what the fakes say --------------------------------------------------
    def lives(self, name):
        return truth.lives_of_fake(self.record(name))[0]

    def prints(self, name):
        return sum(len(life) for life in self.lives(name))

    def pids(self, name):
        """Of each life of the trace."""
        return [event["pid"] for event in truth.events_of(self.record(name))
                if event["event"] == "start"]

    def wait_for_prints(self, more, *names, seconds=40):
        """Until each of the traces has printed `more` maps from now on."""
        enough = {name: self.prints(name) + more for name in names}
        scenario.wait_until(
            lambda: all(self.prints(name) >= enough[name] for name in names),
            seconds, f"{more} more prints of {', '.join(names)}")

    def wait_for_life(self, name, count, seconds=40):
        """Until the trace has had so many processes; returns their ids."""
        return scenario.wait_until(
            lambda: len(self.pids(name)) >= count and self.pids(name), seconds,
            f"life {count} of {name}")

    # ---- what arrived --------------------------------------------------------
    def expected(self, *names):
        whole = {}
        for name in names or self.traces:
            lives, how = truth.lives_of_fake(self.record(name))
            whole |= truth.paths(truth.total(
                lives, [m for m in how if how[m] == "cumulative"]), name)
        return whole

    def lost(self, *names):
        """Values that were printed and did not arrive, of all or some traces,
        and those that arrived and were never printed: (lost, invented)."""
        printed = self.expected(*names)
        prefixes = tuple(f"bpf.testhost.{name}."
                         for name in names or self.traces)
        arrived = {path: total for path, total in self.receiver.sums().items()
                   if path.startswith(prefixes)}
        lost = invented = 0
        for path in set(printed) | set(arrived):
            missing = printed.get(path, 0) - arrived.get(path, 0)
            lost += max(missing, 0)
            invented += max(-missing, 0)
        return lost, invented

    def judge(self, report, *names, what="values lost"):
        """After the daemon ended: conservation and integrity."""
        lost, invented = self.lost(*names)
        report.figure(what, lost, exactly=0)
        if invented:
            report.figure("values invented", invented, exactly=0)
        self.assertGreater(sum(self.expected(*names).values()), 0,
                           "nothing was printed: the test tests nothing")
        self.assertEqual((0, 0), (lost, invented), self.daemon.log()[-3000:])
        self.assertEqual({}, self.receiver.conflicts())
        self.assertEqual([], self.receiver.bad)

    def gaps(self, name):
        """Seconds without a point between the trace's first and last one."""
        stamps = {line.timestamp for line in self.receiver.taken()
                  if line.path.startswith(f"bpf.testhost.{name}.")}
        return max(stamps) - min(stamps) + 1 - len(stamps) if stamps else 0

    def lateness(self, names, since, until):
        """How long after its slot's begin a point arrived: the largest, of
        those traces and of points that arrived between the two times."""
        prefixes = tuple(f"bpf.testhost.{name}." for name in names)
        return max((line.arrived - line.timestamp
                    for line in self.receiver.taken()
                    if since <= line.arrived <= until
                    and line.path.startswith(prefixes)), default=0.0)

    def restarts(self, *names):
        return sum(len(self.pids(name)) - 1 for name in names)


def unlimited(budget="0"):
    """The bpftrace group without an output budget."""
    return {"output-budget": budget, "stop-timeout": Bare("10s")}


def passed(seconds):
    """Lets time pass: for what has to be observed for so long."""
    end = time.monotonic() + seconds
    scenario.wait_until(lambda: time.monotonic() >= end, seconds + 60, "time")


class Real(scenario.Scenario):
    """Traces of bpftrace itself."""

    def setUp(self):
        super().setUp()
        scenario.needs_bpftrace()
        self.receiver = self.must_end(Receiver())

    def start(self, traces, until_printed=True, **groups):
        daemon = self.must_end(Daemon(self.folder, traces, self.receiver.port,
                                      **groups))
        daemon.start()
        if until_printed:
            scenario.wait_until(lambda: all(
                any(line.path.startswith(f"bpf.testhost.{name}.")
                    for line in self.receiver.taken()) for name in traces),
                                90, "points of each trace")
        return daemon

    def trace(self, name, **settings):
        return {"script": self.write(
            f"{name}.bt", "interval:ms:500 { @n = count(); print(@n); }\n"),
                "program": "bpftrace", **settings}
