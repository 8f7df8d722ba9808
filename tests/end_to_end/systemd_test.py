#!/usr/bin/python3
"""The shipped unit under a real systemd: it starts, real bpftrace works with
the privileges that it leaves, and whatever dies comes back or stays away as it
should. Rows 25, 30, 34 and 36 of the fault matrix."""

import pathlib
import random
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
from booted import Booted, install_by_hand  # noqa: E402
from daemon import configuration  # noqa: E402
from fault_matrix import LONG, row  # noqa: E402
from receiver import Receiver  # noqa: E402

UNIT = "bpf2graphite.service"
CONFIG = "/etc/bpf2graphite/caf-application.conf"
DROP_INS = f"/etc/systemd/system/{UNIT}.d"
TRACES = "/usr/share/bpf2graphite/traces"
CPU = {"script": f"{TRACES}/cpu_latency.bt", "map-level": False}
FAKE = "/usr/local/sbin/fake_bpftrace"

# Says what bpftrace says when it is asked, then takes all memory there is.
GLUTTON = """#!/bin/sh
case "$1" in --version) echo "bpftrace v0.17.0"; exit 0 ;; esac
exec /usr/bin/python3 -c '
piece = []
while True:
    piece.append(b"x" * (16 << 20))'
"""


# Where the kernel was, by its own names where it may show them.
SYMBOLS = """profile:hz:49 { @ip[ksym(reg("ip"))] = count(); }
interval:s:1 { print(@ip); }
"""


class Journal:
    """What the unit said, shown when a test fails."""

    def __init__(self, system):
        self._system = system

    def __str__(self):
        return "the journal"

    def log(self):
        return self._system.journal("-u", UNIT)


class Systemd(scenario.Scenario):
    @classmethod
    def setUpClass(cls):
        scenario.needs_bpftrace()
        cls.system = Booted()
        cls.addClassCleanup(cls.system.close)
        install_by_hand(cls.system)
        cls.system.put(scenario.program("fake_bpftrace"), FAKE, 0o755)
        with cls.system.network():
            cls.receiver = Receiver()
        cls.addClassCleanup(cls.receiver.kill)

    def setUp(self):
        super().setUp()
        self.journal = Journal(self.system)
        self.shown.append(self.journal)
        self.system.systemctl("stop", UNIT)
        self.system.run("rm", "-rf", DROP_INS, "/etc/default/bpf2graphite")
        self.system.systemctl("daemon-reload")
        self.system.systemctl("reset-failed", UNIT, check=False)
        self.receiver.lines.clear()

    # ---- words of these tests ------------------------------------------------
    def configure(self, traces, port=None, **groups):
        self.system.write(CONFIG, configuration(
            traces, "/run", port or self.receiver.port, **{
                "status": {"runtime-directory": "/run/bpf2graphite"},
                "log": {"level": "info", "format": "auto"}, **groups}))

    def fake(self, name, directives):
        """A trace of the fake bpftrace."""
        path = f"/etc/bpf2graphite/{name}.bt"
        self.system.write(path, directives + "interval:ms:200 { @u = hist(8); "
                          "print(@u); clear(@u); }\n")
        return {"script": path, "program": FAKE}

    def drop_in(self, name, text):
        self.system.write(f"{DROP_INS}/{name}.conf", text)
        self.system.systemctl("daemon-reload")

    def use_shipped_drop_in(self, name):
        """As its head tells the administrator to."""
        self.system.run("mkdir", "-p", DROP_INS)
        self.system.run("ln", "-s",
                        f"/usr/share/bpf2graphite/systemd/{name}.conf",
                        DROP_INS)
        self.system.systemctl("daemon-reload")

    def start(self):
        begun = time.monotonic()
        self.system.systemctl("start", UNIT)
        self.assertEqual("active", self.system.show(UNIT, "ActiveState"))
        return time.monotonic() - begun

    def counted(self, trace):
        """How much of it arrived since the test began."""
        return sum(line.value for line in self.receiver.taken()
                   if line.path.startswith(f"bpf.testhost.{trace}."))

    def wait_for_values(self, trace, seconds=60):
        scenario.wait_until(lambda: self.counted(trace) > 0, seconds,
                            f"values of {trace} in Graphite")

    def wait_for_more(self, trace, seconds=60):
        self.receiver.lines.clear()
        self.wait_for_values(trace, seconds)

    def symbols(self):
        """Keys of the trace `symbols` that are no bare addresses."""
        keys = {line.path.split(".")[4] for line in self.receiver.taken()
                if line.path.startswith("bpf.testhost.symbols.")}
        return {key for key in keys if not key.startswith("0x")}

    # ---- privileges ------------------------------------------------------------
    def test_1_real_histograms_arrive_under_the_hardened_unit(self):
        self.system.write("/etc/bpf2graphite/symbols.bt", SYMBOLS)
        self.configure({"cpu-lat": CPU, "symbols": {
            "script": "/etc/bpf2graphite/symbols.bt"}})
        print(f"READY after {self.start():.2f} s", flush=True)
        self.assertEqual("success",
                         self.system.show(UNIT, "Result"))
        self.assertNotEqual("", self.system.show(UNIT, "StatusText"))
        self.wait_for_values("cpu-lat")
        scenario.wait_until(self.symbols, 60, "a name out of the kernel")
        self.assertEqual({}, self.receiver.conflicts())
        self.assertEqual("0", self.system.show(UNIT, "NRestarts"))
        # What the daemon and bpftrace have is what the unit says.
        for pid in self.system.processes("bpftrace"):
            with open(f"/proc/{pid}/status") as file:
                status = dict(line.rstrip("\n").split(":\t", 1)
                              for line in file if ":\t" in line)
            self.assertEqual(f"{1 << 21 | 1 << 34:016x}", status["CapBnd"],
                             "CAP_SYS_ADMIN and CAP_SYSLOG")
            self.assertEqual("1", status["NoNewPrivs"])
            self.assertEqual("2", status["Seccomp"])

    def test_2_real_histograms_arrive_under_the_strict_drop_in(self):
        self.use_shipped_drop_in("strict")
        self.system.write("/etc/bpf2graphite/symbols.bt", SYMBOLS)
        self.configure({"cpu-lat": CPU, "symbols": {
            "script": "/etc/bpf2graphite/symbols.bt"}})
        self.start()
        self.assertEqual("pid", self.system.show(UNIT, "ProcSubset"))
        self.assertEqual("cap_sys_admin",
                         self.system.show(UNIT, "CapabilityBoundingSet"))
        self.wait_for_values("cpu-lat")
        self.wait_for_values("symbols")
        self.assertEqual(set(), self.symbols(), "kernel symbols are hidden")
        self.assertEqual("0", self.system.show(UNIT, "NRestarts"))

    def test_3_real_histograms_arrive_under_the_no_btf_drop_in(self):
        self.use_shipped_drop_in("no-btf")
        self.configure({"cpu-lat": CPU})
        self.start()
        self.assertEqual("no", self.system.show(UNIT, "ProtectKernelModules"))
        self.wait_for_values("cpu-lat")

    # ---- the end ---------------------------------------------------------------
    def test_stop_leaves_no_bpftrace(self):
        self.configure({"cpu-lat": CPU, "switches": {
            "script": f"{TRACES}/context_switches.bt", "keys": ["cpu"]}})
        self.start()
        self.wait_for_values("cpu-lat")
        self.assertEqual(2, len(self.system.processes("bpftrace")))
        begun = time.monotonic()
        self.system.systemctl("stop", UNIT)
        print(f"stopped after {time.monotonic() - begun:.2f} s", flush=True)
        self.assertEqual({}, self.system.processes("bpftrace"))
        self.assertEqual({}, self.system.processes("bpf2graphite"))
        self.assertEqual("success", self.system.show(UNIT, "Result"))
        self.assertEqual("0", self.system.show(UNIT, "ExecMainStatus"))
        # The newest slot sent is kept for the daemon after it.
        self.assertTrue(self.system.exists("/run/bpf2graphite/last-slot"))

    def test_row_30_a_killed_daemon_leaves_no_orphan_and_comes_back(self):
        self.configure({"cpu-lat": CPU, "faked": self.fake(
            "faked", "//fake hist map=@u values=8:1 every=200\n")})
        self.start()
        seed = random.randrange(1 << 32)
        chance = random.Random(seed)
        kills = 40 if LONG else 5
        gone = []  # seconds, a kill each
        with row(30, "under systemd") as report:
            for _ in range(kills):
                # From before the first bpftrace to long after it is attached.
                moment = time.monotonic() + chance.uniform(0, 2.5)
                scenario.wait_until(lambda at=moment: time.monotonic() >= at,
                                    5, "the moment of the kill")
                gone.append(self.kill_and_come_back())
            report.figure("kills", kills)
            report.figure("seed", seed)
            report.figure("kills with an orphan after 1 s",
                          sum(seconds > 1 for seconds in gone), exactly=0)
            report.figure("the last bpftrace gone after", max(gone), "s")
        self.wait_for_more("cpu-lat")
        self.assertEqual({}, self.receiver.conflicts())

    def kill_and_come_back(self):
        """SIGKILLs the daemon; the seconds until all of its bpftrace are gone.
        Returns when systemd has started it again."""
        # The unit's start limit is not what is tested here.
        self.system.systemctl("reset-failed", UNIT)
        pid = scenario.wait_until(lambda: self.system.main_pid(UNIT), 20,
                                  "a main process")
        before = {one for name in ("bpftrace", "fake_bpftrace")
                  for one in self.system.processes(name)}
        begun = time.monotonic()
        self.system.systemctl("kill", "--kill-whom=main", "-s", "KILL", UNIT)
        scenario.wait_until(
            lambda: not before & set(self.system.processes()), 5,
            "every bpftrace of the killed daemon is gone")
        seconds = time.monotonic() - begun
        scenario.wait_until(
            lambda: self.system.main_pid(UNIT) not in (0, pid)
            and self.system.show(UNIT, "ActiveState") == "active",
            30, "systemd has started it again")
        return seconds

    def test_row_34_a_daemon_that_hangs_is_started_again(self):
        self.configure({"faked": self.fake(
            "faked", "//fake hist map=@u values=8:1 every=200\n")})
        self.drop_in("soon", "[Service]\nWatchdogSec=3s\nRestartSec=100ms\n"
                     "Environment=BPF2GRAPHITE_TEST_BLOCK=io\n")
        self.start()
        first = self.system.main_pid(UNIT)
        # Well beyond the limit: as long as it answers, nothing happens to it.
        scenario.wait_until(
            lambda: len({line.timestamp for line in self.receiver.taken()})
            >= 8, 60, "values of eight slots of a second")
        self.assertEqual(first, self.system.main_pid(UNIT))
        with open(scenario.program("binary"), "rb") as file:
            hook = b"BPF2GRAPHITE_TEST_BLOCK" in file.read()
        # Without the hook: stopped, it answers no more than when blocked.
        with row(34, "under systemd") as report:
            begun = time.monotonic()
            self.system.systemctl("kill", "--kill-whom=main", "-s",
                                  "USR1" if hook else "STOP", UNIT)
            scenario.wait_until(
                lambda: self.system.main_pid(UNIT) not in (0, first)
                and self.system.show(UNIT, "ActiveState") == "active",
                60, "systemd has started it again")
            report.figure("blocked", "io thread" if hook else "process")
            report.figure("WatchdogSec", 3, "s")
            report.figure("started again after", time.monotonic() - begun,
                          "s", at_most=4)
        self.assertIn("Watchdog timeout", self.journal.log())
        self.assertEqual("1", self.system.show(UNIT, "NRestarts"))
        self.wait_for_more("faked")
        self.assertEqual({}, self.receiver.conflicts())

    def test_a_reload_keeps_the_process_and_takes_the_new_file(self):
        one = {"faked": self.fake(
            "faked", "//fake hist map=@u values=8:1 every=200\n")}
        self.configure(one)
        self.start()
        first = self.system.main_pid(UNIT)
        self.wait_for_values("faked")
        self.configure(one | {"more": self.fake(
            "more", "//fake hist map=@u values=16:1 every=200\n")})
        self.system.systemctl("reload", UNIT)
        self.wait_for_values("more")
        self.assertEqual(first, self.system.main_pid(UNIT))
        # With mistakes: nothing changes, and it stays active.
        self.system.write(CONFIG, "graphite {\n  sever = \"x\"\n}\n")
        self.system.systemctl("reload", UNIT)
        scenario.wait_until(lambda: "sever" in self.journal.log(), 20,
                            "the mistake in the journal")
        self.wait_for_more("more")
        self.assertEqual(first, self.system.main_pid(UNIT))
        self.assertEqual("active", self.system.show(UNIT, "ActiveState"))

    def test_a_bad_configuration_does_not_loop(self):
        self.system.write(CONFIG, "graphite {\n  sever = \"localhost\"\n}\n")
        started = self.system.systemctl("start", UNIT, check=False)
        self.assertNotEqual(0, started.returncode)
        # No restart is due: else the state would be `activating`.
        self.assertEqual("failed", self.system.show(UNIT, "SubState"))
        self.assertEqual("78", self.system.show(UNIT, "ExecMainStatus"))
        self.assertEqual("0", self.system.show(UNIT, "NRestarts"))
        self.assertRegex(self.journal.log(), r"caf-application\.conf:2.*sever")

    def test_a_crash_is_restarted_and_not_for_ever(self):
        # Ends with 70, as a bug does, as soon as it is started.
        self.system.write("/usr/local/sbin/broken", "#!/bin/sh\nexit 70\n",
                          0o755)
        self.drop_in("broken", "[Service]\nRestartSec=100ms\nExecStart=\n"
                     "ExecStart=/usr/local/sbin/broken\n")
        self.system.systemctl("start", UNIT, check=False)
        self.system.wait_active(UNIT, 60, "failed")
        restarts = int(self.system.show(UNIT, "NRestarts"))
        print(f"given up after {restarts} restarts", flush=True)
        self.assertGreaterEqual(restarts, 9)
        self.assertLessEqual(restarts, 11)

    # ---- what it finds around it ------------------------------------------------
    def test_the_environment_file_goes_before_the_configuration(self):
        self.configure({"faked": self.fake(
            "faked", "//fake hist map=@u values=8:1 every=200\n")}, port=1)
        self.system.write("/etc/default/bpf2graphite",
                          "BPF2GRAPHITE_SERVER=127.0.0.1\n"
                          f"BPF2GRAPHITE_PORT={self.receiver.port}\n")
        self.start()
        self.wait_for_values("faked")

    def test_row_36_ready_with_graphite_down_and_no_script(self):
        self.configure({"gone": {"script": "/etc/bpf2graphite/gone.bt"},
                        "broken": {"script": f"{TRACES}/cpu_latency.bt",
                                   "program": "/usr/bin/false"}}, port=1)
        with row(36) as report:
            report.figure("READY after", self.start(), "s", at_most=2)
        text = scenario.wait_until(
            lambda: self.system.show(UNIT, "StatusText"), 10, "a status")
        self.assertIn("2 traces", text)
        self.assertEqual("active", self.system.show(UNIT, "ActiveState"))

    def test_row_25_the_memory_limit_takes_the_child_and_not_us(self):
        self.system.write("/usr/local/sbin/glutton", GLUTTON, 0o755)
        glutton = self.fake("glutton", "")
        glutton["program"] = "/usr/local/sbin/glutton"
        self.configure({"hungry": glutton, "faked": self.fake(
            "faked", "//fake hist map=@u values=8:1 every=200\n")})
        self.drop_in("memory", "[Service]\nMemoryMax=256M\n")
        if not self._limits_count():
            raise unittest.SkipTest("no memory controller for the booted "
                                    "systemd")
        self.start()
        pid = self.system.main_pid(UNIT)
        host = next(host for host, inner in
                    self.system.processes("bpf2graphite").items()
                    if inner == pid)
        # It dies of it twice, that is, it was started again.
        scenario.wait_until(
            lambda: len(self._deaths()) >= 2, 60, "two deaths of the child")
        self.wait_for_more("faked")
        self.assertEqual(pid, self.system.main_pid(UNIT))
        self.assertEqual("0", self.system.show(UNIT, "NRestarts"))
        with open(f"/proc/{host}/status") as file:
            peak = next(int(line.split()[1]) for line in file
                        if line.startswith("VmHWM:"))
        with row(25, "limit of the unit") as report:
            report.figure("our RSS at most", peak / 1024, "MiB", at_most=32)
            report.figure("deaths of the child", len(self._deaths()),
                          at_least=2)
            report.figure("restarts of ours", 0, exactly=0)

    def _limits_count(self):
        """True where a unit with a limit of 20 MB cannot have 100."""
        done = self.system.run(
            "systemd-run", "--quiet", "--wait", "-p", "MemoryMax=20M",
            "/usr/bin/python3", "-c", "b'x' * (100 << 20)", check=False)
        return done.returncode != 0

    def _deaths(self):
        return [line for line in self.journal.log().splitlines()
                if "hungry" in line and "signal" in line]


if __name__ == "__main__":
    scenario.main()
