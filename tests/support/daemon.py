"""The daemon under test: its configuration, its process, its words."""

import ctypes
import os
import re
import signal
import subprocess
import time

from scenario import program, wait_until


class Bare(str):
    """Written into the configuration without quotes: a duration."""


def _value(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, Bare)):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _block(name, settings, indent=""):
    lines = [f"{indent}{name} {{"]
    for key, value in settings.items():
        if isinstance(value, dict):
            lines.append(_block(key, value, indent + "  "))
        else:
            lines.append(f"{indent}  {key} = {_value(value)}")
    return "\n".join(lines + [indent + "}"])


def configuration(traces, folder, port, **groups):
    """The text of a configuration for tests: slots of 1 s, no splay, nothing of
    our own among the metrics. `traces`: {name: {key: value}}; `groups`:
    settings over the defaults, for example graphite={"resend": Bare("0s")}."""
    whole = {
        "graphite": {"server": "127.0.0.1", "port": port,
                     "interval": Bare("1s"), "splay": False},
        "naming": {"host": "testhost"},
        "slots": {"resolution": Bare("1s")},
        "bpftrace": {"stop-timeout": Bare("5s")},
        "own-metrics": {"enabled": False},
        "status": {"runtime-directory": os.path.join(folder, "runtime")},
        "log": {"level": "debug", "format": "text"},
        "stop": {"flush-timeout": Bare("10s")},
    }
    for name, settings in groups.items():
        group = whole.setdefault(name.replace("_", "-"), {})
        group.update(settings)
    if "destinations" in whole["graphite"]:
        del whole["graphite"]["server"], whole["graphite"]["port"]
    blocks = [_block(name, settings) for name, settings in whole.items()]
    blocks.append(_block("traces", traces))
    return "\n".join(blocks) + "\n"


def _dies_with_us():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _processes():
    """{pid: (parent's pid, name)} of all that are no zombies."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            # The name of a process may hold any byte.
            with open(f"/proc/{entry}/stat", errors="replace") as file:
                pid, rest = file.read().split(" (", 1)
        except (FileNotFoundError, ProcessLookupError):
            continue
        name, fields = rest.rsplit(") ", 1)
        state, parent = fields.split()[:2]
        if state != "Z":
            found[int(pid)] = (int(parent), name)
    return found


def alive(pid):
    """True while a process of that id runs."""
    return pid in _processes()


class Daemon:
    """bpf2graphite with a configuration. `arguments` come after --config FILE.
    `environment` is added to a small fixed one. `prefix`: a command that ends
    in exec, such as nsenter, to run it by."""

    def __init__(self, folder, traces, port=1, arguments=(), environment=None,
                 prefix=(), **groups):
        os.makedirs(os.path.join(folder, "runtime"), exist_ok=True)
        self.folder = folder
        self.config = os.path.join(folder, "bpf2graphite.conf")
        self.arguments = list(arguments)
        self.environment = environment or {}
        self.prefix = list(prefix)
        with open(self.config, "w") as file:
            file.write(configuration(traces, folder, port, **groups))
        os.chmod(self.config, 0o644)
        self.process = None
        self._log = os.path.join(folder, "daemon.log")
        self._out = os.path.join(folder, "daemon.out")

    def __str__(self):
        return "the daemon's log"

    def start(self):
        with open(self._log, "ab") as log, open(self._out, "ab") as out:
            self.process = subprocess.Popen(
                self.prefix + [program("binary"), "--config", self.config]
                + self.arguments,
                stdin=subprocess.DEVNULL, stdout=out, stderr=log,
                start_new_session=True, preexec_fn=_dies_with_us,
                cwd=self.folder,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                     "LC_ALL": "C.UTF-8",
                     **{name: value for name, value in os.environ.items()
                        if name.endswith("SAN_OPTIONS")
                        or name == "LD_LIBRARY_PATH"},
                     **self.environment})
        return self

    # ---- what it says --------------------------------------------------------
    def log(self):
        """Standard error since the first start."""
        with open(self._log, errors="replace") as file:
            return file.read()

    def output(self):
        """Standard output since the first start."""
        with open(self._out, errors="replace") as file:
            return file.read()

    def wait_for_log(self, pattern, seconds=20):
        return wait_until(lambda: re.search(pattern, self.log()), seconds,
                          f"the log says {pattern!r}")

    def ledger(self):
        """The last `ledger: name=number ...` in the log, as numbers."""
        lines = re.findall(r"ledger: (.*)", self.log())
        if not lines:
            raise AssertionError("the log has no ledger")
        return {name: int(number) for name, number
                in re.findall(r"([A-Za-z_-]+)=(\d+)", lines[-1])}

    # ---- its processes -------------------------------------------------------
    def descendants(self, name=None):
        """Ids of all processes below it, of that name if one is given."""
        everything = _processes()
        found, new = [], [self.process.pid]
        while new:
            new = [pid for pid, (parent, _) in everything.items()
                   if parent in new]
            found += new
        return [pid for pid in found
                if name is None or everything[pid][1] == name[:15]]

    def alive(self):
        return self.process is not None and self.process.poll() is None

    # ---- its end -------------------------------------------------------------
    def send(self, number):
        self.process.send_signal(number)

    def stop(self, seconds=20, number=signal.SIGTERM):
        """Asks it to end; returns its exit status. AssertionError when it does
        not end in time or leaves a process behind."""
        below = self.descendants()
        begun = time.monotonic()
        self.send(number)
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it runs {seconds} s after signal "
                                 f"{number}") from None
        self.stop_seconds = time.monotonic() - begun
        running = _processes()
        left = [pid for pid in below if pid in running]
        if left:
            raise AssertionError(f"it left processes behind: {left}")
        return status

    def kill(self):
        """SIGKILL, for the end of a test."""
        if self.alive():
            self.process.kill()
            self.process.wait()
