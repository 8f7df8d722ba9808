#!/usr/bin/python3
"""What the daemon says of itself: status, top and tap over its socket, and its
own metrics; and that whoever asks, however often, delays nothing."""

import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
import truth  # noqa: E402
from daemon import Bare, Daemon  # noqa: E402
from receiver import Receiver  # noqa: E402

SCRIPT = ("//fake hist map=@u values=8:1,64:2 every=200\n"
          "interval:ms:200 { @u = hist(8); print(@u); clear(@u); }\n")


class Status(scenario.Scenario):
    def setUp(self):
        super().setUp()
        self.receiver = self.must_end(Receiver())

    def start(self, traces=2, **groups):
        self.names = [f"t{n}" for n in range(traces)]
        self.daemon = self.must_end(Daemon(
            self.folder, {name: {"script": self.write(
                f"{name}.bt", f"//fake record path={self.path(name)}\n"
                + SCRIPT)} for name in self.names}, self.receiver.port,
            **{"bpftrace": {"program": scenario.program("fake_bpftrace")},
               **groups}))
        self.daemon.start()
        self.socket = os.path.join(self.folder, "runtime/status.sock")
        scenario.wait_until(lambda: len(self.slots()) >= 2, 30,
                            "slots arrive")

    def slots(self):
        return {line.timestamp for line in self.receiver.taken()}

    def ours(self, *words, **options):
        return subprocess.run(
            [scenario.program("binary"), *words, "--config",
             self.daemon.config], capture_output=True, text=True, timeout=30,
            check=False, stdin=subprocess.DEVNULL, **options)

    def status(self):
        done = self.ours("status", "--json")
        self.assertEqual(0, done.returncode, done.stderr)
        return json.loads(done.stdout)

    def ask(self, question):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(self.socket)
            client.sendall(question)
            answer = b""
            while part := client.recv(65536):
                answer += part
        return answer

    def finish(self):
        self.assertEqual(0, self.daemon.stop())
        whole = {}
        for name in self.names:
            lives, _ = truth.lives_of_fake(self.path(name))
            whole |= truth.paths(truth.total(lives, ()), name)
        self.same_sums(self.receiver.sums(), whole)

    def test_status_tells_states_restarts_and_balanced_books(self):
        self.start()
        document = self.status()
        self.assertEqual(self.daemon.process.pid, document["pid"])
        self.assertEqual(["t0", "t1"],
                         [one["name"] for one in document["traces"]])
        self.assertEqual({"running"},
                         {one["state"] for one in document["traces"]})
        books = document["ledger"]
        self.assertEqual(books["read"], sum(books[name] for name in (
            "measured", "combined", "unchanged", "merged", "folded", "open",
            "dropped_values", "on_the_way", "crash")), books)
        self.assertEqual("127.0.0.1:%d" % self.receiver.port,
                         document["destinations"][0]["name"])
        os.kill(document["traces"][0]["pid"], 9)
        scenario.wait_until(
            lambda: self.status()["traces"][0]["counts"]["restarts"] == 1
            and self.status()["traces"][0]["state"] == "running", 20,
            "the restart is told")
        text = self.ours("status").stdout
        self.assertRegex(text, r"(?m)^t0 +running +\d+ +1 ")
        self.assertIn("the last time: ", text)
        self.assertIn("LEDGER\nread=", text)
        self.assertNotIn("\x1b", text)
        mode = os.stat(self.socket).st_mode & 0o777
        self.assertEqual(0o660, mode, oct(mode))
        self.finish()
        self.assertFalse(os.path.exists(self.socket))
        gone = self.ours("status")
        self.assertEqual(69, gone.returncode)
        self.assertIn("no daemon runs", gone.stderr)

    def test_status_tells_where_a_destination_stands(self):
        self.start(traces=1)

        def here():
            return self.status()["destinations"][0]
        well = ("idle", "connecting", "connected", "sending", "confirming")
        self.assertIn(here()["state"], well)
        self.assertEqual("", here()["reason"])
        self.assertLess(time.time() - here()["accepted_at"], 60)
        self.receiver.refuse()
        scenario.wait_until(lambda: here()["state"] == "unreachable"
                            and here()["oldest_slot"], 20,
                            "nobody listens, and something waits")
        away = here()
        self.assertIn("refused", away["reason"])
        self.assertGreater(away["oldest_slot"], 0)
        self.assertLessEqual(away["oldest_slot"], time.time())
        text = self.ours("status").stdout
        self.assertRegex(text, r"(?m)^127\.0\.0\.1:\d+ +unreachable ")
        self.assertRegex(text, r"(?m)^127\.0\.0\.1:\d+, for \d+s: .*refused")
        self.receiver.listen()
        scenario.wait_until(lambda: here()["state"] in well, 30,
                            "it is accepted again")
        self.assertGreater(here()["accepted_at"], away["accepted_at"])
        self.finish()

    def test_tap_shows_the_lines_as_they_leave(self):
        self.start()
        tap = subprocess.Popen(
            [scenario.program("binary"), "tap", "t1", "--config",
             self.daemon.config], stdout=subprocess.PIPE, text=True)
        self.addCleanup(tap.kill)
        shown = [tap.stdout.readline() for _ in range(12)]
        tap.kill()
        tap.wait()
        tap.stdout.close()
        for line in shown:
            self.assertRegex(line, r"^bpf\.testhost\.t1\.u\.\d+ \d+ \d+\n$")
        self.finish()
        taken = {f"{one.path} {one.value} {one.timestamp}\n"
                 for one in self.receiver.taken()}
        self.assertEqual(set(), set(shown) - taken)

    def test_top_is_a_plain_table_where_there_is_no_terminal(self):
        self.start()
        done = self.ours("top")
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertRegex(done.stdout, r"(?m)^ t1 +running ")
        self.assertNotIn("\x1b", done.stdout)
        history = json.loads(self.ask(b"history\n"))
        drawn = history["traces"][0]["history"][0]
        self.assertEqual([[8, 15], [64, 127]], drawn["rows"])
        self.assertGreater(len(drawn["slots"]), 1)
        self.finish()

    def test_top_draws_in_a_terminal(self):
        if subprocess.run(["which", "tmux"], capture_output=True,
                          check=False).returncode != 0:
            self.skipTest("tmux is not installed")
        self.start()

        def tmux(*words):
            return subprocess.run(
                ["tmux", "-S", self.path("tmux"), *words], check=True,
                capture_output=True, text=True, timeout=20).stdout
        self.addCleanup(subprocess.run, ["tmux", "-S", self.path("tmux"),
                                         "kill-server"], check=False,
                        capture_output=True)
        tmux("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24",
             f"NO_COLOR=1 {scenario.program('binary')} top "
             f"--config {self.daemon.config}; sleep 60")
        scenario.wait_until(
            lambda: "t0 @u: " in tmux("capture-pane", "-p"), 20,
            "the heatmap of the first trace")
        screen = tmux("capture-pane", "-p")
        self.assertRegex(screen, r"(?m)^      64 [.:=+*#%@-]")
        self.assertLessEqual(max(map(len, screen.split("\n"))), 80)
        tmux("send-keys", "j")
        scenario.wait_until(
            lambda: "t1 @u: " in tmux("capture-pane", "-p"), 20,
            "the heatmap of the second trace")
        tmux("send-keys", "PPage")
        scenario.wait_until(
            lambda: "t0 @u: " in tmux("capture-pane", "-p"), 20,
            "a page up is the first trace again")
        tmux("send-keys", "q")
        scenario.wait_until(
            lambda: "@u" not in tmux("capture-pane", "-p"), 20,
            "the terminal as it was")
        self.finish()

    def test_own_metrics_come_with_each_batch(self):
        self.start(own_metrics={"enabled": True})
        base = "bpf.testhost.bpf2graphite."

        def own():
            return {path for path in self.receiver.sums()
                    if path.startswith(base)}
        scenario.wait_until(lambda: base + "traces.t1.up" in own(), 20,
                            "own metrics")
        scenario.wait_until(
            lambda: self.receiver.sums().get(base + "ledger.read", 0) > 40, 20,
            "what was read")
        self.assertEqual(0, self.daemon.stop())
        self.assertEqual({}, self.receiver.conflicts())
        told = self.receiver.sums()
        books = self.daemon.ledger()
        # The last interval, which was cut short, is told, too.
        self.assertEqual(books["read"], told[base + "ledger.read"])
        self.assertEqual({1}, {line.value for line in self.receiver.taken()
                               if re.search("destinations.*[.]up$",
                                            line.path)})
        self.assertGreater(told[base + "process.rss_kb"], 1000)
        self.assertEqual({1}, {line.value for line in self.receiver.taken()
                               if line.path == base + "traces.t0.up"})

    def test_who_asks_delays_nothing(self):
        """50 connections held open without a word, a tap that nobody reads,
        and as many requests as one thread can make."""
        self.start()
        held = []
        for n in range(50):
            client = socket.socket(socket.AF_UNIX)
            client.connect(self.socket)
            if n % 2:
                client.sendall(b"tap\n")
            held.append(client)
        stop = threading.Event()
        asked = [0]

        def flood():
            while not stop.is_set():
                try:
                    self.ask(b"history\n")
                    asked[0] += 1
                except OSError:
                    pass
        threads = [threading.Thread(target=flood) for _ in range(2)]
        for thread in threads:
            thread.start()
        begun, before = time.monotonic(), len(self.slots())
        scenario.wait_until(lambda: len(self.slots()) >= before + 8, 60,
                            "slots go on arriving")
        seconds = time.monotonic() - begun
        stop.set()
        for thread in threads:
            thread.join()
        lines = self.receiver.taken()
        late = max(line.arrived - line.timestamp - 1 for line in lines
                   if line.timestamp > min(self.slots()))
        print(f"50 connections held, {asked[0] / seconds:.0f} requests a "
              f"second: values at most {late:.2f} s after the end of their "
              "slot of 1 s", flush=True)
        self.assertGreater(asked[0], 50)
        for client in held:
            client.close()
        self.finish()


if __name__ == "__main__":
    scenario.main()
