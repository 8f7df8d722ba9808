#!/usr/bin/python3
"""Rows 24 to 26 of the fault matrix: no descriptors, no memory, no processes.
What runs goes on; what cannot start is tried again."""

import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import process_figures as figures  # noqa: E402
import scenario  # noqa: E402
from fakes import Fakes  # noqa: E402
from fault_matrix import row  # noqa: E402


class Cgroup:
    """A control group of one controller, in either hierarchy."""

    def __init__(self, controller):
        self.folder = None
        if os.geteuid() != 0:
            raise unittest.SkipTest("control groups need root")
        old = f"/sys/fs/cgroup/{controller}"
        if os.path.exists(old + "/cgroup.procs"):
            self.unified, base = False, old
        elif controller in self._read("/sys/fs/cgroup/cgroup.controllers"):
            self.unified, base = True, "/sys/fs/cgroup"
            self._write("/sys/fs/cgroup/cgroup.subtree_control",
                        f"+{controller}")
        else:
            raise unittest.SkipTest(f"no {controller} control group here")
        folder = f"{base}/bpf2graphite-test-{os.getpid()}-{controller}"
        try:
            os.mkdir(folder)
        except OSError as error:
            raise unittest.SkipTest(f"{folder}: {error}") from None
        self.folder = folder

    @staticmethod
    def _read(path):
        try:
            with open(path) as file:
                return file.read()
        except OSError:
            return ""

    @staticmethod
    def _write(path, text):
        try:
            with open(path, "w") as file:
                file.write(str(text))
        except OSError as error:
            raise unittest.SkipTest(f"{path}: {error}") from None

    def set(self, old_name, unified_name, value):
        name = unified_name if self.unified else old_name
        self._write(os.path.join(self.folder, name), value)

    def get(self, name):
        return self._read(os.path.join(self.folder, name))

    def take(self, *pids):
        for pid in pids:
            self._write(os.path.join(self.folder, "cgroup.procs"), pid)

    def kill(self):
        """Removes it, when all in it has ended."""
        if self.folder:
            for pid in self.get("cgroup.procs").split():
                os.kill(int(pid), signal.SIGKILL)
            scenario.wait_until(lambda: not self.get("cgroup.procs").strip(),
                                10, "the control group is empty")
            os.rmdir(self.folder)
            self.folder = None


class Limits(Fakes):
    def forbid_descriptors(self):
        """Not one more than the daemon has now. Returns the limit before."""
        used = {int(fd) for fd in os.listdir(f"/proc/{self.pid}/fd")}
        few = next(fd for fd in range(len(used) + 1) if fd not in used)
        soft, hard = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (few, hard))
        return soft, hard

    def status(self):
        """What the verb prints, asked while the daemon runs."""
        return subprocess.run(
            [scenario.program("binary"), "--config", self.daemon.config,
             "status"], capture_output=True, text=True, timeout=30,
            check=False)

    def test_row_24_no_descriptor_is_left(self):
        with row(24) as report:
            notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.addCleanup(notified.close)
            notified.bind(self.path("notify"))
            notified.settimeout(20)
            for n in range(5):
                self.add(f"t{n}")
            self.start(environment={"NOTIFY_SOCKET": self.path("notify")})
            self.assertIn(b"READY=1", notified.recv(4096))
            self.wait_for_prints(4, *self.traces)
            before = self.forbid_descriptors()
            os.kill(self.pids("t0")[-1], signal.SIGKILL)
            self.daemon.wait_for_log('"t0".*[Tt]oo many open files')
            # What it had for t0 is taken away, too.
            self.forbid_descriptors()
            told = self.status()
            self.assertEqual(0, told.returncode, told.stderr)
            self.assertIn("t0", told.stdout)
            self.wait_for_prints(20, "t1", "t2", "t3", "t4")
            tries = len(re.findall("[Tt]oo many open files",
                                   self.daemon.log()))
            cpu = figures.cpu_seconds(self.pid)
            begun = time.monotonic()
            self.wait_for_prints(12, "t1", "t2", "t3", "t4")
            cpu = (figures.cpu_seconds(self.pid) - cpu) / \
                (time.monotonic() - begun)
            self.assertTrue(self.daemon.alive())
            resource.prlimit(self.pid, resource.RLIMIT_NOFILE, before)
            freed = time.monotonic()
            self.wait_for_life("t0", 2)
            report.figure("log lines of it", tries)
            report.figure("our CPU meanwhile", 100 * cpu, "%")
            report.figure("running after it was lifted after",
                          time.monotonic() - freed, "s")
            self.wait_for_prints(4, *self.traces)
            # The end is told although there is none left again.
            self.forbid_descriptors()
            self.daemon.send(signal.SIGTERM)
            told = b""
            while b"STOPPING=1" not in told:
                told = notified.recv(4096)
            # Each batch may need a connection of its own.
            resource.prlimit(self.pid, resource.RLIMIT_NOFILE, before)
            self.assertEqual(0, self.daemon.process.wait(30))
            report.figure("restarts of others",
                          self.restarts("t1", "t2", "t3", "t4"), exactly=0)
            self.judge(report)
            self.assertEqual(0, self.restarts("t1", "t2", "t3", "t4"))

    def test_row_25_no_memory_is_left(self):
        with row(25) as report:
            group = self.must_end(Cgroup("memory"))
            group.set("memory.limit_in_bytes", "memory.max", 256 << 20)
            self.add("big", f"//fake eat at=2500 bytes={500 << 20} life=1\n")
            for n in range(9):
                self.add(f"t{n}")
            self.start(until_printed=False)
            group.take(self.pid)  # then what it starts is in it, too
            group.take(*self.daemon.descendants())
            self.addCleanup(self.daemon.kill)  # before the group's end
            self.wait_for_life("big", 2)
            self.wait_for_prints(6, *self.traces)
            self.assertTrue(self.daemon.alive())
            peak = figures.peak_mib(self.pid)
            text = self.daemon.log()
            self.assertEqual(0, self.daemon.stop(40))
            self.assertIn("killed by signal 9", text)
            report.figure("our largest RSS", peak, "MiB")
            report.figure("ends of the big one", self.restarts("big"))
            report.figure("restarts of others", self.restarts(
                *(f"t{n}" for n in range(9))), exactly=0)
            self.judge(report)

    def test_row_26_fork_fails(self):
        with row(26) as report:
            group = self.must_end(Cgroup("pids"))
            for n in range(5):
                self.add(f"t{n}")
            self.start()
            group.take(self.pid)
            group.take(*self.daemon.descendants())
            self.addCleanup(self.daemon.kill)
            self.wait_for_prints(4, *self.traces)
            group.set("pids.max", "pids.max", 1)
            os.kill(self.pids("t0")[-1], signal.SIGKILL)
            self.daemon.wait_for_log('"t0".*temporarily unavailable')
            self.wait_for_prints(20, "t1", "t2", "t3", "t4")
            self.assertTrue(self.daemon.alive())
            group.set("pids.max", "pids.max", "max")
            freed = time.monotonic()
            self.wait_for_life("t0", 2)
            report.figure("running after it was lifted after",
                          time.monotonic() - freed, "s", at_most=30)
            self.wait_for_prints(4, *self.traces)
            self.assertEqual(0, self.daemon.stop(40))
            report.figure("restarts of others",
                          self.restarts("t1", "t2", "t3", "t4"), exactly=0)
            self.judge(report)


if __name__ == "__main__":
    scenario.main()
