#!/usr/bin/python3
"""What systemd hears: READY, STATUS, STOPPING, and a watchdog's ping that
comes only while everybody answers (row 36; row 34: blocked_test)."""

import os
import pathlib
import re
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
from daemon import Daemon  # noqa: E402
from notify_socket import NotifySocket  # noqa: E402
from receiver import Receiver  # noqa: E402

SCRIPT = """//fake count map=@c value=1 every=100
interval:ms:100 {{ @c = count(); print(@c); clear(@c); }}
"""
LIMIT = 2.0  # WatchdogSec


class Service(scenario.Scenario):
    def start(self, port, traces=("t0", "t1"), environment=None, **groups):
        self.notify = self.must_end(NotifySocket(self.path("notify")))
        self.daemon = self.must_end(Daemon(
            self.folder, {name: {"script": self.path(f"{name}.bt")}
                          for name in traces}, port,
            environment={"NOTIFY_SOCKET": self.notify.path,
                         **(environment or {})},
            bpftrace={"program": scenario.program("fake_bpftrace")}, **groups))
        begun = time.monotonic()
        self.daemon.start()
        self.notify.wait_for("READY=1")
        self.ready_seconds = next(at for at, message in self.notify.told()
                                  if "READY=1" in message) - begun

    def scripts(self, *names):
        for name in names:
            self.write(f"{name}.bt", SCRIPT.format())

    def test_the_life_of_a_service(self):
        self.scripts("t0", "t1")
        self.start(self.must_end(Receiver()).port, environment={
            "WATCHDOG_USEC": str(int(LIMIT * 1e6))})
        scenario.wait_until(lambda: len(self.notify.pings()) >= 3, 20,
                            "three pings")
        scenario.wait_until(
            lambda: re.search(r"2 traces: 2 running; 127\.0\.0\.1:\d+: \d+ "
                              r"points wait; last accepted at "
                              r"\d\d:\d\d:\d\d UTC", self.notify.status()),
            20, "the status of a daemon that is well")
        pings = self.notify.pings()
        gaps = [b - a for a, b in zip(pings, pings[1:])]
        print(f"WatchdogSec {LIMIT} s: {len(pings)} pings, at most "
              f"{max(gaps):.2f} s apart", flush=True)
        os.kill(self.daemon.descendants()[0], signal.SIGKILL)
        self.assertEqual(0, self.daemon.stop())
        self.assertTrue(any("STOPPING=1" in message
                            for message in self.notify.messages()))
        self.assertNotIn("running", self.notify.status())

    def test_status_is_told_on_change_only(self):
        self.scripts("t0")
        self.start(1, traces=["t0"])
        scenario.wait_until(lambda: "1 running" in self.notify.status(), 20,
                            "it runs")
        told = [message for message in self.notify.messages()
                if "STATUS=" in message]
        self.assertEqual(len(told), len(set(told)))
        self.assertEqual([], self.notify.pings())  # nobody asked for them

    def test_it_starts_with_nothing_there(self):
        """Row 36: Graphite down, no script able to start."""
        receiver = self.must_end(Receiver())
        receiver.refuse()
        self.start(receiver.port)
        print(f"row 36: READY after {self.ready_seconds:.3f} s (2 allowed)",
              flush=True)
        self.assertLess(self.ready_seconds, 2.0 + 3.0)  # slack: a loaded one
        scenario.wait_until(
            lambda: re.search(r"2 failing \(t0, t1\).*nothing accepted yet",
                              self.notify.status()), 30, "STATUS says so")
        self.assertRegex(self.daemon.log(), r't0\.bt')
        # It retries: all is there now.
        self.scripts("t0", "t1")
        receiver.listen()
        self.daemon.send(signal.SIGHUP)  # or within 30 s by itself
        scenario.wait_until(receiver.taken, 40, "a point")
        scenario.wait_until(
            lambda: re.search("2 running.*last accepted", self.notify.status()),
            20, "STATUS says that all is well")
        self.assertEqual(0, self.daemon.stop())


if __name__ == "__main__":
    scenario.main()
