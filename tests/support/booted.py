"""A booted systemd for tests: process 1 of its own namespaces, on an overlay of
this machine's own root (see boot.sh). Ended, it leaves nothing behind."""

import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from scenario import SUPPORT, TOP, program, wait_until

CGROUPS = pathlib.Path("/sys/fs/cgroup")
CLONE_NEWNET = 0x40000000


def _dies_with_us():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _our_cgroups(name):
    """Folders of the cgroups b2g-`name`, in every hierarchy."""
    return [*CGROUPS.glob(f"b2g-{name}"), *CGROUPS.glob(f"*/b2g-{name}")]


def _remove_cgroups(name):
    """Those that are empty; their processes may take a moment to be gone."""
    def gone():
        for top in _our_cgroups(name):
            for folder, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
        return not _our_cgroups(name)
    wait_until(gone, 20, f"the cgroups b2g-{name} are empty")


def _sweep():
    """What a test that was killed left: cgroups named after its process."""
    for top in _our_cgroups("[0-9]*-*"):
        owner = top.name.split("-")[1]
        if not os.path.exists(f"/proc/{owner}"):
            with contextlib.suppress(AssertionError):
                _remove_cgroups(top.name.removeprefix("b2g-"))


class Booted:
    """A system that runs from the end of __init__ to close(). Skips the test
    where the machine does not allow one."""

    _number = 0

    def __init__(self):
        if os.geteuid() != 0:
            raise unittest.SkipTest("booting a systemd needs root")
        _sweep()
        Booted._number += 1
        self.name = f"{os.getpid()}-{Booted._number}"
        self.folder = tempfile.mkdtemp(prefix="bpf2graphite-booted-")
        self._words = os.path.join(self.folder + ".log")
        self.leader = None
        begun = time.monotonic()
        with open(self._words, "wb") as words:
            self._unshare = subprocess.Popen(
                [SUPPORT / "boot.sh", self.name, self.folder],
                stdin=subprocess.DEVNULL, stdout=words, stderr=words,
                start_new_session=True, preexec_fn=_dies_with_us)
        try:
            self.leader = wait_until(self._find_leader, 30, "systemd started")
            self._namespace = os.readlink(f"/proc/{self.leader}/ns/pid")
            state = wait_until(self._booted, 90, "systemd has booted")
            print(f"booted in {time.monotonic() - begun:.1f} s: {state}",
                  flush=True)
        except BaseException:
            print(self._said(), file=sys.stderr)
            self.close()
            raise

    def _said(self):
        with open(self._words, errors="replace") as words:
            return words.read()

    def _still_there(self):
        status = self._unshare.poll()
        if status is None:
            return
        if status == 77:
            reason = self._said().strip().splitlines()[-1]
            raise unittest.SkipTest(reason)
        raise AssertionError(f"the booted system ended with {status}: "
                             + self._said()[-2000:])

    def _find_leader(self):
        self._still_there()
        parent = self._unshare.pid
        try:
            with open(f"/proc/{parent}/task/{parent}/children") as file:
                children = file.read().split()
            for child in children:
                with open(f"/proc/{child}/comm") as file:
                    if file.read() == "systemd\n":
                        return int(child)
        except (FileNotFoundError, ProcessLookupError):
            pass
        return None

    def _booted(self):
        self._still_there()
        state = self.run("systemctl", "is-system-running",
                         check=False).stdout.strip()
        # Something of the machine's own may fail in here; that is not our test.
        return state if state in ("running", "degraded") else None

    # ---- inside --------------------------------------------------------------
    def command(self, *words, environment=None):
        """The argument vector that runs `words` inside, in a small fixed
        environment."""
        fixed = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root",
                 "LC_ALL": "C.UTF-8", "TERM": "dumb", "SYSTEMD_PAGER": "",
                 "DEBIAN_FRONTEND": "noninteractive", **(environment or {})}
        return ["nsenter", "-t", str(self.leader), "-m", "-p", "-u", "-i", "-n",
                "-C", "env", "-i",
                *(f"{name}={value}" for name, value in fixed.items()),
                *map(str, words)]

    def run(self, *words, check=True, seconds=120, input=None, cwd=None,
            environment=None):
        """Runs a command inside, output as text. AssertionError with all of
        it when `check` and it fails."""
        if cwd is not None:
            words = ("env", "-C", cwd, *words)
        done = subprocess.run(
            self.command(*words, environment=environment), text=True,
            capture_output=True, timeout=seconds, check=False,
            errors="replace", input="" if input is None else input)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, words))} ended with "
                                 f"{done.returncode}:\n{done.stdout}"
                                 f"{done.stderr}")
        return done

    def write(self, path, text, mode=0o644):
        """A file inside, of root, with this text or these bytes."""
        whole = text if isinstance(text, bytes) else text.encode()
        subprocess.run(
            self.command("sh", "-c", 'mkdir -p "$(dirname "$1")" && cat > "$1" '
                         '&& chmod "$2" "$1"', "_", path, f"{mode:o}"),
            input=whole, check=True, timeout=60)

    def put(self, source, path, mode=0o644):
        """A copy inside of a file of this machine."""
        self.write(path, pathlib.Path(source).read_bytes(), mode)

    def put_tree(self, source, path):
        """A copy inside of a folder of this machine."""
        packed = subprocess.run(
            ["tar", "-C", source, "--owner=0", "--group=0", "--mode=go-w",
             "-cf", "-", "."], capture_output=True, check=True).stdout
        subprocess.run(self.command("sh", "-c", 'mkdir -p "$1" && '
                                    'tar -C "$1" -xf -', "_", path),
                       input=packed, check=True, timeout=60)

    def read(self, path):
        return self.run("cat", path).stdout

    def exists(self, path):
        return self.run("test", "-e", path, check=False).returncode == 0

    def additions(self):
        """Paths of the root file system that this machine does not have. What
        is in memory (/run, /tmp, /dev) is not among them."""
        found = self.run("find", "/run/b2g-changes", "-mindepth", "1",
                         "!", "-type", "c", "-printf", "/%P\\n").stdout
        return {path for path in found.splitlines()
                if not os.path.lexists(path)}

    @contextlib.contextmanager
    def network(self):
        """In here, this thread makes its sockets inside."""
        libc = ctypes.CDLL(None, use_errno=True)

        def enter(path):
            with open(path) as file:
                if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
        with open("/proc/thread-self/ns/net") as here:
            enter(f"/proc/{self.leader}/ns/net")
            try:
                yield
            finally:
                if libc.setns(here.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns back")

    # ---- systemd ---------------------------------------------------------------
    def systemctl(self, *words, **options):
        return self.run("systemctl", *words, **options)

    def show(self, unit, name):
        """A property of a unit, as text."""
        return self.systemctl("show", "-P", name, unit).stdout.strip()

    def main_pid(self, unit):
        """As seen inside; 0 when there is none."""
        return int(self.show(unit, "MainPID"))

    def journal(self, *words):
        """Messages of the journal, by journalctl's options."""
        return self.run("journalctl", "--no-pager", "-o", "cat", *words).stdout

    def wait_active(self, unit, seconds=60, state="active"):
        try:
            wait_until(lambda: self.show(unit, "ActiveState") == state,
                       seconds, f"{unit} is {state}")
        except AssertionError:
            print(self.systemctl("status", unit, check=False).stdout,
                  self.journal("-u", unit)[-4000:], file=sys.stderr)
            raise

    # ---- processes ---------------------------------------------------------------
    def processes(self, name=None):
        """{pid of this machine: pid inside} of what runs there."""
        found = {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                if os.readlink(f"/proc/{entry}/ns/pid") != self._namespace:
                    continue
                with open(f"/proc/{entry}/status") as file:
                    fields = dict(line.rstrip("\n").split(":\t", 1)
                                  for line in file if ":\t" in line)
            except OSError:  # it ended, or is none of our business
                continue
            if fields["State"].startswith("Z"):
                continue
            if name is None or fields["Name"] == name:
                found[int(entry)] = int(fields["NSpid"].split()[-1])
        return found

    # ---- the end -----------------------------------------------------------------
    def close(self):
        """Kills process 1, and with it everything inside; removes the rest."""
        if self._unshare.poll() is None:
            self._unshare.kill()  # --kill-child takes systemd along
            self._unshare.wait()
        if self.leader is not None:
            wait_until(lambda: not os.path.exists(f"/proc/{self.leader}"), 20,
                       "process 1 is gone")
        _remove_cgroups(self.name)
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._words)

    kill = close


def install_by_hand(system, unit="bpf2graphite.service"):
    """The binary that is tested, unit and traces as `make install` would."""
    system.put(program("binary"), "/usr/sbin/bpf2graphite", 0o755)
    system.put(TOP / "config" / unit, f"/etc/systemd/system/{unit}")
    system.put_tree(TOP / "config/traces", "/usr/share/bpf2graphite/traces")
    system.put_tree(TOP / "config/systemd", "/usr/share/bpf2graphite/systemd")
    system.systemctl("daemon-reload")
