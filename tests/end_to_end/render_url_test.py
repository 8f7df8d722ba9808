#!/usr/bin/python3
"""A proxy accepts for a Graphite that is dead behind it (row 14). Without
`render-url` that is a loss, with it none; and a render API that is dead, slow
or talks nonsense neither delays delivery nor is believed."""

import collections
import http.server
import json
import pathlib
import subprocess
import sys
import threading
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
import truth  # noqa: E402
from carbon import graphite_lab  # noqa: E402
from daemon import Bare, Daemon  # noqa: E402
from receiver import Receiver  # noqa: E402

SCRIPT = ("//fake hist map=@u values=8:1,64:2 every=200 rest=3\n"
          "interval:ms:200 { @u = hist(8); print(@u); clear(@u); }\n")


class RenderApi:
    """Answers /render from what a receiver has, as graphite-web does. `mood`:
    "well", "error" (status 500) or "silent" (never answers)."""

    def __init__(self, receiver):
        self.mood = "well"
        self.asked = 0
        self.ended = threading.Event()
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                api.asked += 1
                if api.mood == "silent":
                    api.ended.wait(60)
                    self.close_connection = True
                    return
                if api.mood == "error":
                    self.send_error(500)
                    return
                body = api.answer(receiver, self.path)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever,
                         daemon=True).start()

    @staticmethod
    def answer(receiver, path):
        query = urllib.parse.parse_qs(urllib.parse.urlparse(path).query)
        first, last = int(query["from"][0]), int(query["until"][0])
        known = collections.defaultdict(dict)
        for (name, slot), value in receiver.values().items():
            known[name][slot] = value
        return json.dumps([
            {"target": target, "tags": {"name": target},
             "datapoints": [[known[target].get(slot), slot]
                            for slot in range(first, last + 1)]}
            for target in query["target"] if target in known]).encode()

    def kill(self):
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()


class Haproxy:
    """HAProxy in tcp mode in front of a port."""

    def __init__(self, folder, backend):
        if not pathlib.Path("/usr/sbin/haproxy").exists():
            raise scenario.unittest.SkipTest("haproxy is not installed")
        self.port = graphite_lab.free_ports(1)[0]
        config = pathlib.Path(folder) / "haproxy.cfg"
        config.write_text(
            # One retry, a second later: its end comes after ours.
            "defaults\n  mode tcp\n  retries 1\n"
            "  timeout connect 2s\n  timeout client 60s\n"
            "  timeout server 60s\n"
            f"listen graphite\n  bind 127.0.0.1:{self.port}\n"
            f"  server one 127.0.0.1:{backend}\n")
        self.process = subprocess.Popen(
            ["/usr/sbin/haproxy", "-db", "-f", str(config)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self):
        self.process.kill()
        self.process.wait()


class RenderUrl(scenario.Scenario):
    def setUp(self):
        super().setUp()
        self.receiver = self.must_end(Receiver())

    def start(self, port, api=None, **graphite):
        script = self.write("t0.bt", f"//fake record path={self.path('t0')}\n"
                            + SCRIPT)
        settings = {"resend": Bare("0s"), **graphite}
        if api is not None:
            settings["render-url"] = f"http://127.0.0.1:{api.port}/render"
        daemon = self.must_end(Daemon(
            self.folder, {"t0": {"script": script}}, port,
            bpftrace={"program": scenario.program("fake_bpftrace"),
                      "stop-timeout": Bare("2s")},
            graphite=settings))
        return daemon.start()

    def missing(self):
        """Points of whole slots that were printed and are not there."""
        lives, _ = truth.lives_of_fake(self.path("t0"))
        expected = truth.paths(truth.total(lives, ()), "t0")
        sums = self.receiver.sums()
        return sum(abs(total - sums.get(path, 0))
                   for path, total in expected.items())

    def slots(self):
        return len({line.timestamp for line in self.receiver.taken()})

    def holes(self):
        """Slots in which nothing arrived, between two in which something did:
        the trace prints five times in each."""
        seen = {line.timestamp for line in self.receiver.taken()}
        return set(range(min(seen), max(seen))) - seen

    def through_a_dead_backend(self, api):
        """HAProxy finds nobody behind it for a while, and closes so late that
        its end looks like the answer to ours."""
        proxy = self.must_end(Haproxy(self.folder, self.receiver.port))
        daemon = self.start(proxy.port, api)
        scenario.wait_until(lambda: self.slots() >= 2, 20, "slots arrive")
        self.receiver.refuse()
        accepted = self.accepted(daemon)
        scenario.wait_until(lambda: self.accepted(daemon) >= accepted + 9, 40,
                            "HAProxy accepts for the dead one")
        self.receiver.listen()
        before = self.slots()
        scenario.wait_until(lambda: self.slots() >= before + 2, 40,
                            "slots arrive again")
        return daemon

    @staticmethod
    def accepted(daemon):
        """Points, by the daemon's own word."""
        said = subprocess.run(
            [scenario.program("binary"), "--config", daemon.config, "status",
             "--json"], capture_output=True, check=True, timeout=20)
        return json.loads(said.stdout)["ledger"]["accepted"]

    def figure(self, name, daemon):
        total = sum(self.receiver.sums().values()) + self.missing()
        print(f"row 14, HAProxy with a dead backend, {name} render-url: lost "
              f"{self.missing()} of {total}; {daemon.ledger()['unseen']} points "
              "sent again")

    def test_without_it_what_a_proxy_accepts_for_a_dead_one_is_lost(self):
        daemon = self.through_a_dead_backend(None)
        self.assertEqual(0, daemon.stop())
        self.figure("without", daemon)
        # Or the test with it shows nothing.
        self.assertGreater(self.missing(), 0)

    def test_with_it_nothing_is_lost(self):
        api = self.must_end(RenderApi(self.receiver))
        daemon = self.through_a_dead_backend(api)
        daemon.wait_for_log("not there: they are sent again", 60)
        scenario.wait_until(lambda: not self.holes(), 90,
                            "what was lost arrives")
        self.assertEqual(0, daemon.stop())
        self.figure("with", daemon)
        books = daemon.ledger()
        self.assertGreater(books["unseen"], 0, books)
        self.assertEqual(books["points"], books["accepted"], books)
        self.assertEqual({}, self.receiver.conflicts())
        self.assertEqual(0, self.missing())

    def test_a_render_api_that_fails_delays_nothing(self):
        api = self.must_end(RenderApi(self.receiver))
        for mood in ("error", "silent"):
            with self.subTest(mood=mood):
                api.mood = mood
                asked = api.asked
                daemon = self.start(self.receiver.port, api)
                scenario.wait_until(lambda: api.asked > asked, 30, "it asks")
                before = self.slots()
                scenario.wait_until(lambda: self.slots() >= before + 3, 20,
                                    "slots go on arriving")
                if mood != "silent":
                    daemon.wait_for_log("nothing can be read back, delivery "
                                        "goes on", 20)
                self.assertEqual(0, daemon.stop())
                books = daemon.ledger()
                self.assertEqual((0, books["points"]), (
                    books["unseen"], books["accepted"]), books)
        self.assertEqual(0, self.missing())

    def test_https_and_several_destinations_are_refused(self):
        for settings, reason in (
                ({"render-url": "https://g/render"}, "TLS"),
                ({"render-url": "http://g/render",
                  "destinations": ["a:2003", "b:2003"]}, "one Graphite")):
            daemon = self.must_end(Daemon(self.folder, {"t0": {
                "script": self.write("x.bt", SCRIPT)}}, 1, graphite=settings))
            daemon.start()
            self.assertEqual(78, daemon.process.wait(10))
            self.assertIn(reason, daemon.log())


if __name__ == "__main__":
    scenario.main()
