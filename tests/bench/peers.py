"""Who is measured: the daemon and what it is compared with, each as a process
that starts its own generators (tests/support/bench_bpftrace.cpp)."""

import ctypes
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
SLOT = 15  # seconds, of all peers that have slots
COLLECTD = "/usr/sbin/collectd"


def _dies_with_us():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def wait_for(condition, seconds, what, pause=0.05):
    """Polls, seldom: what is measured runs beside us."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: not within {seconds} s: {what}")
        time.sleep(pause)


class Work:
    """What the generators of one run print; see bench_bpftrace.cpp."""

    def __init__(self, traces=1, shape="hist", form="json", kind="cumulative",
                 writes="own", every=1000, prints=0, keys=10, rows=20,
                 tell=False):
        self.traces, self.form, self.kind = traces, form, kind
        self.shape, self.writes, self.every = shape, writes, every
        self.prints, self.keys, self.rows = prints, keys, rows
        self.tell = tell

    def script(self, folder, index):
        # The second line is for the daemon, which finds out from the script
        # what a print means.
        clear = " clear(@u);" if self.kind == "cleared" else ""
        key = "[comm]" if self.shape in ("keyed", "counts") else ""
        value = "count()" if self.shape == "counts" else "hist(nsecs)"
        return (f"//bench folder={folder} index={index} shape={self.shape} "
                f"kind={self.kind} writes={self.writes} every={self.every} "
                f"prints={self.prints} keys={self.keys} rows={self.rows} "
                f"tell={int(self.tell)}\n"
                f"interval:ms:1000 {{ @u{key} = {value}; print(@u);{clear} }}\n")


class Peer:
    """One process under measurement with a folder of its own. A subclass gives
    `command()`; `word` is its name in the tables."""

    word = ""
    has_slots = True
    form = None  # of the generator's output, if it takes no other

    def __init__(self, lab, work, port, folder):
        self.lab, self.work, self.port = lab, work, port
        self.folder = folder
        os.makedirs(folder)
        os.chmod(folder, 0o755)
        self.said = self.add_said("said")  # by the generators
        for n in range(work.traces):
            self.write_script(n, self.said)
        self.process = None
        self.log = f"{folder}/log"

    def add_said(self, name):
        """A folder with a gate, for what generators say."""
        said = f"{self.folder}/{name}"
        os.makedirs(said)
        os.chmod(said, 0o777)  # collectd's are nobody's
        os.mkfifo(f"{said}/gate")
        os.chmod(f"{said}/gate", 0o644)
        return said

    def write_script(self, index, said):
        with open(f"{self.folder}/t{index}.bt", "w") as file:
            file.write(self.work.script(said, index))
        os.chmod(f"{self.folder}/t{index}.bt", 0o644)

    def command(self):
        raise NotImplementedError

    def environment(self):
        return {}

    def generator(self):
        return [self.lab.generator, "-f", self.form or self.work.form,
                f"{self.folder}/t%d.bt"]

    def start(self):
        command = self.command()
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=_dies_with_us, start_new_session=True,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                     "LC_ALL": "C.UTF-8", **self.environment()})
        self._clock = (~self.process.pid << 3) | 2  # clock_getcpuclockid(3)
        return self

    # ---- its generators ------------------------------------------------------
    def _left(self, what, said=None):
        return [name for name in os.listdir(said or self.said)
                if name.startswith(what) and name[len(what):].isdigit()]

    def wait_ready(self, seconds=120):
        def ready():
            if self.process.poll() is not None:
                with open(self.log, errors="replace") as file:
                    raise SystemExit(f"bench: {self.word} ended: "
                                     + file.read()[-2000:])
            return len(self._left("ready.")) >= self.work.traces
        wait_for(ready, seconds, f"all {self.work.traces} generators of "
                 f"{self.word} are ready")

    def open_gate(self):
        return os.open(f"{self.said}/gate", os.O_WRONLY)

    def wait_done(self, seconds=120):
        """Until all that is to be printed has been written to the pipes."""
        wait_for(lambda: len(self._left("done.")) >= self.work.traces, seconds,
                 f"{self.word} takes all that was printed")

    def hush(self):
        """The generators print no more."""
        for name in self._left("ready."):
            with open(f"{self.said}/{name}") as file:
                os.kill(int(file.read()), signal.SIGUSR1)
        wait_for(lambda: len(self._left("truth.")) >= self.work.traces, 60,
                 f"the generators of {self.word} are quiet")

    # ---- what it costs: the process itself, without its generators -----------
    def cpu(self):
        """Seconds, to the nanosecond, of all threads that it had."""
        return time.clock_gettime(self._clock)

    def _status(self, name, of="status"):
        with open(f"/proc/{self.process.pid}/{of}") as file:
            return int(re.search(rf"^{name}:\s+(\d+)", file.read(),
                                 re.M).group(1))

    def threads(self):
        return self._status("Threads")

    def rss_mb(self):
        return self._status("VmRSS") / 1024

    def pss_mb(self):
        return self._status("Pss", "smaps_rollup") / 1024

    def wakeups(self):
        """Voluntary context switches of all threads that it has."""
        total = 0
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            try:
                with open(f"/proc/{self.process.pid}/task/{task}/status") \
                        as file:
                    total += int(re.search(
                        r"^voluntary_ctxt_switches:\s+(\d+)", file.read(),
                        re.M).group(1))
            except FileNotFoundError:
                pass  # a thread that ended
        return total

    # ---- its end -------------------------------------------------------------
    def stop(self, seconds=60):
        """Ends it in order; returns the CPU seconds that it took in all."""
        self.process.terminate()
        deadline = time.monotonic() + seconds
        while os.waitid(os.P_PID, self.process.pid,
                        os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            if time.monotonic() > deadline:
                self.process.kill()
                self.process.wait()
                raise SystemExit(f"bench: {self.word} does not end")
            time.sleep(0.01)
        whole = self.cpu()  # of what has ended, but was not waited for
        self.process.wait()
        return whole

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    # ---- what it has delivered -----------------------------------------------
    def path(self, index, key, low):
        levels = [f"bpf.testhost.t{index}.u"] + [
            level for level in (key, low) if level != "-"]
        return ".".join(levels)

    def sums_arrive(self):
        """Points are to be added up; else the last one is what was printed."""
        return True

    def truth(self):
        """({path: total}, prints, rows) of all generators."""
        series, prints, rows = {}, 0, 0
        for name in self._left("truth."):
            index = name.partition(".")[2]
            with open(f"{self.said}/{name}") as file:
                head, *lines = file.read().splitlines()
            prints += int(head.split()[0])
            rows += int(head.split()[1])
            for line in lines:
                key, low, total = line.split()
                series[self.path(index, key, low)] = int(total)
        return series, prints, rows

    def complaints(self):
        """What it says itself of late or lost values, as words."""
        return []


class Daemon(Peer):
    """bpf2graphite as it ships; `watched`: as under systemd's watchdog of the
    unit (30 s), else with neither that nor own metrics."""

    word = "bpf2graphite"

    def __init__(self, *where, watched=True):
        super().__init__(*where)
        self.watched = watched
        self.config = f"{self.folder}/bench.conf"
        self.runtime = f"{self.folder}/runtime"
        os.mkdir(self.runtime)
        self.configure(range(self.work.traces))

    def configure(self, indices):
        """Writes the configuration with these traces."""
        traces = "".join(f'  t{n} {{\n    script = "{self.folder}/t{n}.bt"\n  }}\n'
                         for n in indices)
        own = "" if self.watched else "own-metrics {\n  enabled = false\n}\n"
        # Only a test prints more than 8 MiB a second.
        budget = '  output-budget = "0"\n' if self.work.every == 0 else ""
        with open(self.config, "w") as file:
            file.write(
                f'graphite {{\n  server = "127.0.0.1"\n  port = {self.port}\n}}\n'
                f'naming {{\n  host = "testhost"\n}}\n'
                f'bpftrace {{\n  program = "{self.lab.generator}"\n'
                # Generators compile nothing that has to be spread.
                f'  format = "{self.work.form}"\n  starts-at-once = 64\n'
                f'{budget}}}\n'
                f'status {{\n  runtime-directory = "{self.runtime}"\n}}\n{own}'
                f'log {{\n  format = "text"\n}}\ntraces {{\n{traces}}}\n')
        os.chmod(self.config, 0o644)

    def command(self):
        return [self.lab.daemon, "--config", self.config]

    def environment(self):
        if not self.watched:
            return {}
        return {"NOTIFY_SOCKET": self.lab.notify.path,
                "WATCHDOG_USEC": "30000000"}

    def complaints(self):
        with open(self.log, errors="replace") as file:
            books = re.findall(r"ledger: (.*)", file.read())
        if not books:
            return ["no ledger"]
        return [f"{name} {number}" for name, number in re.findall(
            r"([a-z_]+)=(\d+)", books[-1])
            if int(number) > 0 and (name in ("late", "inconsistent", "crash",
                                             "rejected", "lost_events",
                                             "restarts", "parked", "resent",
                                             "refused")
                                    or name.startswith("dropped"))]


class BareDaemon(Daemon):
    """Without what wakes it up when nothing happens."""

    word = "bpf2graphite, no own metrics, no watchdog"

    def __init__(self, *where):
        super().__init__(*where, watched=False)


class Life(Daemon):
    """The daemon as shipped, from start to end: it is reloaded with a hundredth
    of its traces taken out, as many changed (another process) and as many
    new."""

    def __init__(self, *where):
        super().__init__(*where)
        self.moved = max(1, self.work.traces // 100)
        self.gone = range(self.moved)
        self.changed = range(self.moved, 2 * self.moved)
        self.new = range(self.work.traces, self.work.traces + self.moved)
        # What runs from the reload on speaks of itself here.
        self.later = self.add_said("later")
        self.gates = []

    def let_print(self):
        """From now on whoever starts prints at once."""
        self.gates = [os.open(f"{said}/gate", os.O_RDWR)
                      for said in (self.said, self.later)]

    def wait_printed(self, seconds=120):
        wait_for(lambda: len(self._left("printed.")) >= self.work.traces,
                 seconds, "all traces have printed")

    def reload(self):
        """Seconds until the daemon says that it is ready, until the new and the
        changed ones have printed and those taken out have ended."""
        for index in (*self.changed, *self.new):
            self.write_script(index, self.later)
        self.configure(range(self.moved, self.work.traces + self.moved))
        before = len(self.lab.notify.messages())
        begun = time.monotonic()
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: any("READY=1" in text for text
                             in self.lab.notify.messages()[before:]),
                 60, "READY after the reload")
        ready = time.monotonic() - begun
        wait_for(lambda: len(self._left("printed.", self.later))
                 >= 2 * self.moved
                 and len(self._left("truth.")) >= 2 * self.moved, 60,
                 "the reload is done")
        return ready, time.monotonic() - begun

    def status(self):
        """(seconds, bytes, names of the traces that run) of `status --json`."""
        begun = time.monotonic()
        ran = subprocess.run(
            [self.lab.daemon, "--config", self.config, "status", "--json"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
        passed = time.monotonic() - begun
        return passed, len(ran.stdout), {
            one["name"] for one in json.loads(ran.stdout)["traces"]
            if one["state"] == "running"}

    def stop(self, seconds=60):
        used = super().stop(seconds)
        for gate in self.gates:
            os.close(gate)
        return used

    def truth(self):
        # A trace that was changed had two processes, which both count.
        series, prints, rows = super().truth()
        of_first, self.said = self.said, self.later
        try:
            more, *numbers = super().truth()
        finally:
            self.said = of_first
        for path, total in more.items():
            series[path] = series.get(path, 0) + total
        return series, prints + numbers[0], rows + numbers[1]


class BareLoop(Peer):
    """tests/bench/bare_loop.cpp: each row a Graphite line at once."""

    word = "bare loop"
    has_slots = False
    how = "rows"

    def command(self):
        return [self.lab.bare_loop, "127.0.0.1", str(self.port),
                str(self.work.traces), self.how] + self.generator()

    def sums_arrive(self):
        return self.work.kind == "cleared"


class BareSlots(BareLoop):
    """The same with slots."""

    word = "bare loop, slots"
    has_slots = True

    @property
    def how(self):
        return "slots" if self.work.kind == "cleared" else "slots-cumulative"

    def sums_arrive(self):
        return True


class CountedLoop(BareLoop):
    """The same under callgrind."""

    def command(self):
        return ["valgrind", "--tool=callgrind", "--callgrind-out-file="
                f"{self.folder}/callgrind"] + super().command()

    def instructions(self):
        return callgrind_costs(f"{self.folder}/callgrind")[0]


class Python(Peer):
    """tests/bench/python_pipeline.py."""

    word = "Python pipeline"

    def command(self):
        return ["/usr/bin/python3", "-B",
                str(TOP / "tests" / "bench" / "python_pipeline.py"),
                "127.0.0.1", str(self.port), str(self.work.traces),
                self.work.kind] + self.generator()


class Collectd(Peer):
    """collectd with its exec and write_graphite plugins. The generators speak
    its own language (PUTVAL): what would have to translate bpftrace's output is
    left out of its figures."""

    word = "collectd"
    has_slots = False
    form = "putval"

    @staticmethod
    def installed():
        return os.path.exists(COLLECTD)

    def command(self):
        execs = "".join(
            f'  Exec "nobody:nogroup" "{self.lab.generator}" "-f" "putval" '
            f'"{self.folder}/t{n}.bt"\n' for n in range(self.work.traces))
        config = f"{self.folder}/collectd.conf"
        with open(config, "w") as file:
            file.write(
                f'BaseDir "{self.folder}"\nPIDFile "{self.folder}/pid"\n'
                'Hostname "testhost"\nFQDNLookup false\nInterval 1\n'
                'TypesDB "/usr/share/collectd/types.db"\n'
                'LoadPlugin exec\nLoadPlugin write_graphite\n'
                f'<Plugin exec>\n{execs}</Plugin>\n'
                '<Plugin write_graphite>\n  <Node "bench">\n'
                f'    Host "127.0.0.1"\n    Port "{self.port}"\n'
                '    Protocol "tcp"\n    StoreRates false\n'
                '    EscapeCharacter "_"\n  </Node>\n</Plugin>\n')
        return [COLLECTD, "-f", "-C", config]

    def path(self, index, key, low):
        key = "" if key == "-" else key
        return f"testhost.t{index}-u{key}.gauge-{low}"

    def sums_arrive(self):
        return self.work.kind == "cleared"

    def stop(self, seconds=60):
        # It reads no more when it ends: what was printed has to be read first.
        self.hush()
        time.sleep(1)
        return super().stop(seconds)


def callgrind_costs(path):
    """(all instructions, {function: its own}) of callgrind's output file.
    Source: valgrind's manual, "Callgrind Format Specification"."""
    names, own, function, total, called = {}, {}, "", 0, False
    with open(path, errors="replace") as file:
        for line in file:
            if line.startswith("fn="):
                number, _, name = line[3:].strip().partition(" ")
                if name:
                    names[number] = name
                function = names[number]
            elif line.startswith(("cfn=", "cfi=", "cob=", "calls=")):
                if line.startswith("cfn="):
                    number, _, name = line[4:].strip().partition(" ")
                    if name:
                        names[number] = name
                called = line.startswith("calls=")
            elif line[0] in "0123456789+-*":
                if not called:  # else: what the callee took
                    cost = int(line.split()[1])
                    own[function] = own.get(function, 0) + cost
                    total += cost
                called = False
    return total, own


class Receiver:
    """tests/support/bench_receiver.cpp with so many ports."""

    def __init__(self, lab, ports):
        self.files = [f"{lab.folder}/received.{lab.next()}"
                      for _ in range(ports)]
        self.process = subprocess.Popen(
            [lab.receiver, str(SLOT)] + self.files, stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL, preexec_fn=_dies_with_us)
        self.ports = [int(self.process.stdout.readline()) for _ in self.files]

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()

    def lines(self):
        """How many lines have come on each port."""
        for name in self.files:
            if os.path.exists(name):
                os.unlink(name)
        self.process.send_signal(signal.SIGUSR1)
        wait_for(lambda: all(map(os.path.exists, self.files)), 30,
                 "the receiver says what came")
        counts = []
        for name in self.files:
            with open(name) as file:
                counts.append(int(file.readline().split()[1]))
        return counts

    def received(self, number):
        """(head as {word: number}, {path: (points, slots, first, last,
        backwards, sum, value)}) of one port, after stop()."""
        with open(self.files[number]) as file:
            words = file.readline().split()
            head = dict(zip(words[::2], map(int, words[1::2])))
            series = {}
            for line in file:
                path, *numbers = line.split()
                series[path] = tuple(map(int, numbers))
        return head, series


class Lab:
    """A scratch folder and the programs of one build."""

    def __init__(self, folder, build, notify):
        self.folder, self.notify = folder, notify
        self._number = 0
        self.build = build = pathlib.Path(build)
        self.daemon = str(build / "bpf2graphite")
        self.generator = f"{folder}/bench_bpftrace"
        # Where collectd's nobody may reach it.
        shutil.copy(build / "tests" / "bench_bpftrace", self.generator)
        os.chmod(self.generator, 0o755)
        self.receiver = str(build / "tests" / "bench_receiver")
        self.stage_work = str(build / "tests" / "stage_work")
        self.bare_loop = str(build / "tests" / "bare_loop")
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))

    def next(self):
        self._number += 1
        return self._number

    def peer(self, kind, work, port):
        return kind(self, work, port, f"{self.folder}/peer.{self.next()}")

    def micro_benchmarks(self, stages):
        """[(stage, program)] of the micro-benchmarks that were built. By name:
        an old build folder may hold others."""
        programs = [(stage, self.build / "tests" / f"micro_{stage}")
                    for stage in sorted(stages)]
        return [(stage, str(path)) for stage, path in programs
                if path.is_file() and os.access(path, os.X_OK)]


def judge(peer, head, series):
    """What is wrong with what arrived of a peer that has ended: a list of
    words, empty when every value is there, once and in its slots."""
    truth, _, _ = peer.truth()
    wrong = []
    place = 5 if peer.sums_arrive() else 6
    missing = sum(1 for path, total in truth.items()
                  if total > 0 and (path not in series
                                    or series[path][place] != total))
    if missing:
        wrong.append(f"{missing} of {len(truth)} series wrong")
    strange = [path for path in series if path not in truth
               and not path.startswith("bpf.testhost.bpf2graphite.")]
    if strange:
        wrong.append(f"{len(strange)} unknown series, such as {strange[0]}")
    if head["bad"]:
        wrong.append(f"{head['bad']} bad lines")
    if peer.has_slots:
        gaps = twice = 0
        for path in truth:
            if path in series:
                points, slots, first, last, _, _, _ = series[path]
                gaps += (last - first) // SLOT + 1 - slots
                twice += points - slots
        if gaps:
            wrong.append(f"{gaps} slots missing")
        if twice:
            wrong.append(f"{twice} slots sent twice")
    backwards = sum(one[4] for one in series.values())
    if backwards:
        wrong.append(f"{backwards} points out of order")
    return wrong + peer.complaints()
