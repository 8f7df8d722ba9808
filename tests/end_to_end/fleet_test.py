#!/usr/bin/python3
"""What README.md says of a fleet, with the real programs: carbon's log of
connections, its limit of new files, and whose word "accepted" is behind
carbon-c-relay and HAProxy."""

import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
import truth  # noqa: E402
from carbon import Carbon, Relay, graphite_lab  # noqa: E402
from daemon import Bare, Daemon  # noqa: E402

SCRIPT = ("//fake record path={record}\n"
          "//fake hist map=@u values=8:1,64:2 every=200\n"
          "interval:ms:200 {{ @u = hist(8); print(@u); clear(@u); }}\n")


class Haproxy:
    """HAProxy in tcp mode in front of a port; `server`: more words for it."""

    def __init__(self, folder, backend, server=""):
        if not os.path.exists("/usr/sbin/haproxy"):
            raise scenario.unittest.SkipTest("haproxy is not installed")
        self.port = graphite_lab.free_ports(1)[0]
        config = pathlib.Path(folder, "haproxy.cfg")
        config.write_text(
            "defaults\n  mode tcp\n  retries 1\n  timeout connect 2s\n"
            "  timeout client 60s\n  timeout server 60s\n"
            f"listen graphite\n  bind 127.0.0.1:{self.port}\n"
            f"  server one 127.0.0.1:{backend} {server}\n")
        self.process = subprocess.Popen(
            ["/usr/sbin/haproxy", "-db", "-f", str(config)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        scenario.wait_until(lambda: graphite_lab.listens(self.port), 20,
                            "haproxy listens")

    def kill(self):
        self.process.kill()
        self.process.wait()


class Fleet(scenario.Scenario):
    def setUp(self):
        super().setUp()
        scenario.needs_carbon()

    def carbon(self, **settings):
        folder = self.path("graphite")
        os.mkdir(folder)
        lab = self.must_end(Carbon(folder))
        path = pathlib.Path(folder, "conf/carbon.conf")
        text = path.read_text()
        for key, value in settings.items():
            text = (re.sub(rf"(?m)^{key} = .*\n", "", text)
                    + f"{key} = {value}\n")
        path.write_text(text)
        return lab.start()

    def daemon(self, port, **graphite):
        script = self.write("t.bt", SCRIPT.format(record=self.path("t")))
        return self.must_end(Daemon(
            self.folder, {"t": {"script": script}}, port,
            bpftrace={"program": scenario.program("fake_bpftrace")},
            graphite=graphite).start())

    def accepted(self, daemon):
        done = subprocess.run(
            [scenario.program("binary"), "--config", daemon.config, "status",
             "--json"], capture_output=True, text=True, timeout=20, check=False)
        if done.returncode != 0:
            return 0  # it is about to start
        return json.loads(done.stdout)["ledger"]["accepted"]

    def all_is_in(self, daemon, lab):
        """Stops the daemon; every value that was printed is in carbon."""
        self.assertEqual(0, daemon.stop(40))
        lab.settle()
        lives, _ = truth.lives_of_fake(self.path("t"))
        self.same_sums(lab.sums("bpf.testhost.t."),
                       truth.paths(truth.total(lives, []), "t"))

    def connection_lines(self, **settings):
        lab = self.carbon(**settings)
        daemon = self.daemon(lab.port)
        scenario.wait_until(lambda: self.accepted(daemon) >= 8, 40,
                            "four batches")
        self.all_is_in(daemon, lab)
        ours = pathlib.Path(lab.folder, "log/console.txt").read_text().count(
            "MetricLineReceiver connection with")
        lab.kill()
        return ours

    def test_carbon_writes_two_lines_a_batch(self):
        count = self.connection_lines()
        print(f"{count} lines about connections", flush=True)
        self.assertGreaterEqual(count, 8)

    def test_carbon_does_not_write_them_when_told_so(self):
        self.assertEqual(0, self.connection_lines(
            LOG_LISTENER_CONN_SUCCESS=False))

    def test_the_limit_of_new_files_is_one_for_all_hosts(self):
        lab = self.carbon(MAX_CREATES_PER_MINUTE=50)
        begun = time.monotonic()
        for host in ("one", "two", "three"):
            with socket.create_connection(("127.0.0.1", lab.port)) as sender:
                sender.sendall("".join(
                    f"bpf.{host}.t.u.{n} 1 {int(time.time())}\n"
                    for n in range(60)).encode())
        scenario.wait_until(lambda: lab.own("droppedCreates") > 0, 40,
                            "carbon has thrown away")
        made = len(lab.series("bpf."))
        allowed = 50 * (1 + (time.monotonic() - begun) / 60) + 1
        print(f"{made} of 180 files made", flush=True)
        self.assertGreaterEqual(made, 20)
        self.assertLessEqual(made, allowed)

    def test_accepted_is_the_word_of_the_relay(self):
        lab = self.carbon()
        relay = self.must_end(Relay(self.path("relay"), lab.port).start())
        daemon = self.daemon(relay.port)
        scenario.wait_until(lambda: self.accepted(daemon) > 0, 30,
                            "the first batch")
        lab.freeze() # the relay takes it none the less, and holds it
        before = self.accepted(daemon)
        scenario.wait_until(lambda: self.accepted(daemon) >= before + 4, 30,
                            "two batches more")
        lab.thaw()
        scenario.wait_until(
            lambda: len(lab.series("bpf.")) > 1, 30, "series in carbon")
        self.assertEqual(0, daemon.stop(40))
        relay.end()
        lab.settle()
        lives, _ = truth.lives_of_fake(self.path("t"))
        self.same_sums(lab.sums("bpf.testhost.t."),
                       truth.paths(truth.total(lives, []), "t"))

    def test_behind_haproxy_it_is_the_word_of_carbon(self):
        lab = self.carbon()
        proxy = self.must_end(Haproxy(self.folder, lab.port))
        daemon = self.daemon(proxy.port, **{"confirm-timeout": Bare("60s")})
        scenario.wait_until(lambda: self.accepted(daemon) > 0, 30,
                            "the first batch")
        lab.freeze()
        # What was under way may be through already; then nothing more is.
        stamp = time.monotonic()
        scenario.wait_until(lambda: time.monotonic() > stamp + 1.5, 5, "a slot")
        before = self.accepted(daemon)
        stamp = time.monotonic()
        scenario.wait_until(lambda: time.monotonic() > stamp + 3, 5, "slots")
        self.assertEqual(before, self.accepted(daemon))
        lab.thaw()
        scenario.wait_until(lambda: self.accepted(daemon) > before, 30,
                            "it goes on")
        self.all_is_in(daemon, lab)

    def test_a_proxy_that_looks_for_carbon_refuses_when_it_is_gone(self):
        lab = self.carbon()
        proxy = self.must_end(Haproxy(
            self.folder, lab.port, "check inter 200ms fall 1 rise 1"))
        daemon = self.daemon(proxy.port)
        scenario.wait_until(lambda: self.accepted(daemon) > 0, 30,
                            "the first batch")
        lab.settle()
        lab.end()
        daemon.wait_for_log("Graphite 127.0.0.1:")
        lab.start()
        before = self.accepted(daemon)
        scenario.wait_until(lambda: self.accepted(daemon) > before + 4, 40,
                            "it goes on")
        # What haproxy took before it had looked again is sent a second time.
        self.all_is_in(daemon, lab)


if __name__ == "__main__":
    scenario.main()
