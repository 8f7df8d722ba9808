#!/usr/bin/python3
"""Row 34 with systemd's end of sd_notify in our hands (a build with test
hooks): whoever stands still, the io thread or one actor, the pings end."""

import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
from daemon import Daemon  # noqa: E402
from notify_socket import NotifySocket  # noqa: E402
from receiver import Receiver  # noqa: E402

SCRIPT = """//fake count map=@c value=1 every=100
interval:ms:100 { @c = count(); print(@c); clear(@c); }
"""
LIMIT = 2.0  # WatchdogSec


class Blocked(scenario.Scenario):
    def blocked(self, whom):
        notify = self.must_end(NotifySocket(self.path("notify")))
        daemon = self.must_end(Daemon(
            self.folder, {name: {"script": self.write(f"{name}.bt", SCRIPT)}
                          for name in ("t0", "t1")},
            self.must_end(Receiver()).port,
            environment={"NOTIFY_SOCKET": notify.path,
                         "WATCHDOG_USEC": str(int(LIMIT * 1e6)),
                         "BPF2GRAPHITE_TEST_BLOCK": whom},
            bpftrace={"program": scenario.program("fake_bpftrace")}))
        daemon.start()
        scenario.wait_until(lambda: len(notify.pings()) >= 3, 30,
                            "three pings")
        daemon.send(signal.SIGUSR1)
        begun = time.monotonic()
        scenario.wait_until(
            lambda: time.monotonic() - max(notify.pings()[-1], begun)
            > 2 * LIMIT, 30, "no ping for twice the limit")
        last = notify.pings()[-1] - begun
        print(f"row 34, {whom} stands still: the last ping came {last:+.2f} s "
              f"after that, so systemd acts {last + LIMIT:.2f} s after it "
              f"({LIMIT + 1} allowed)", flush=True)
        # One that was on its way may come, none after it.
        self.assertLess(last, LIMIT)
        self.assertTrue(daemon.alive())

    def test_the_io_thread(self):
        self.blocked("io")

    def test_an_actor_of_a_trace(self):
        self.blocked("normalizer:t1")

    def test_the_batcher(self):
        self.blocked("batcher:")


if __name__ == "__main__":
    scenario.main()
