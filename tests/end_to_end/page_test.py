#!/usr/bin/python3
"""The status page: what it serves and to whom, what a browser makes of it, what
Prometheus thinks of it; and that whoever misuses it delays nothing."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
import truth  # noqa: E402
from browser import Browser, needs_browser  # noqa: E402
from carbon import graphite_lab  # noqa: E402
from daemon import Daemon  # noqa: E402
from receiver import Receiver  # noqa: E402

SCRIPT = ("//fake hist map=@usecs values=8:5,16:9,64:2 every=200 vary=3\n"
          "interval:ms:200 { @usecs = hist(8); print(@usecs);"
          " clear(@usecs); }\n")
KEYED = ("//fake hist map=@bytes values=512:3,4096:9 every=200 keys=a;b\n"
         "//fake lhist map=@depth values=0:3,10:20 every=200\n"
         "interval:ms:200 { @bytes[\"a\"] = hist(8); print(@bytes);"
         " clear(@bytes); @depth = lhist(1, 0, 100, 10); print(@depth);"
         " clear(@depth); }\n")
COUNT = ("//fake count map=@c value=7 every=200\n"
         "interval:ms:200 { @c = count(); print(@c); clear(@c); }\n")
EVIL = "<img src=x onerror=alert(1)><script>alert(2)<"


class Page(scenario.Scenario):
    def setUp(self):
        super().setUp()
        self.receiver = self.must_end(Receiver())
        self.port = graphite_lab.free_ports(1)[0]
        self.names = []

    def trace(self, name, text=SCRIPT, file=None, counted=True):
        """One trace of the configuration."""
        if counted:
            self.names.append(name)
        return {name: {"script": self.write(
            file or f"{name}.bt",
            f"//fake record path={self.path(name)}\n" + text)}}

    def start(self, traces, listen=None, **groups):
        self.daemon = self.must_end(Daemon(
            self.folder, traces, self.receiver.port,
            bpftrace={"program": scenario.program("fake_bpftrace")},
            status={"runtime-directory": self.path("runtime"),
                    "listen": listen or f"127.0.0.1:{self.port}"}, **groups))
        self.daemon.start()
        self.daemon.wait_for_log("status page")

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def send(self, raw):
        """(status, headers, body) of raw bytes; (0, {}, b"") if it hung up."""
        with self.connect() as client:
            return self.answer(client, raw)

    def answer(self, client, raw):
        try:
            client.sendall(raw)
            answer = b""
            while b"\r\n\r\n" not in answer:
                part = client.recv(65536)
                if not part:
                    return 0, {}, b""
                answer += part
            head, body = answer.split(b"\r\n\r\n", 1)
            lines = head.decode().split("\r\n")
            headers = {name.lower(): value for name, value in
                       (line.split(": ", 1) for line in lines[1:])}
            length = int(headers["content-length"])
            if raw.startswith(b"HEAD"):
                length = 0
            while len(body) < length:
                part = client.recv(65536)
                if not part:
                    break
                body += part
            return int(lines[0].split()[1]), headers, body
        except ConnectionError:
            return 0, {}, b""

    def get(self, target, method="GET", host=None, more=""):
        host = host or f"127.0.0.1:{self.port}"
        return self.send(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{more}"
                         "Connection: close\r\n\r\n".encode())

    def status(self):
        return json.loads(self.get("/status.json")[2])

    def slots(self):
        return {line.timestamp for line in self.receiver.taken()}

    def finish(self):
        scenario.wait_until(lambda: len(self.slots()) >= 2, 30, "slots arrive")
        self.assertEqual(0, self.daemon.stop())
        whole = {}
        for name in self.names:
            lives, _ = truth.lives_of_fake(self.path(name))
            whole |= truth.paths(truth.total(lives, ()), name)
        self.same_sums(self.receiver.sums(), whole)

    # ---- what it serves ------------------------------------------------------
    def test_answers_in_the_words_of_each_document(self):
        words = "ERROR: secret words of bpftrace"
        self.start(self.trace("good") | self.trace(
            "bad", f"//fake fail code=1 text={words}\n{COUNT}", counted=False))
        code, headers, body = self.get("/")
        self.assertEqual(200, code)
        self.assertEqual("text/html; charset=utf-8", headers["content-type"])
        self.assertEqual("nosniff", headers["x-content-type-options"])
        self.assertEqual("no-referrer", headers["referrer-policy"])
        self.assertEqual("same-origin", headers["cross-origin-resource-policy"])
        self.assertEqual("no-store", headers["cache-control"])
        policy = headers["content-security-policy"]
        self.assertIn("default-src 'none'", policy)
        self.assertNotIn("unsafe", policy)
        # Nothing in it points elsewhere.
        self.assertEqual([], re.findall(
            rb"(?:src|href|url)\s*[=(]\s*[\"']?(?:https?:)?//", body))
        scenario.wait_until(
            lambda: [one["state"] for one in self.status()["traces"]]
            == ["running", "failing"], 20, "both states are told")
        code, _, body = self.get("/readyz")
        self.assertEqual(503, code)
        self.assertIn(b"trace bad is failing: bpftrace: exit status 1", body)
        self.assertEqual((200, b"alive\n"), self.get("/healthz")[::2])
        scenario.wait_until(
            lambda: json.loads(self.get("/heatmap.json?trace=good")[2])["maps"],
            20, "a slot is over")
        drawn = json.loads(self.get("/heatmap.json?trace=good")[2])["maps"][0]
        self.assertEqual([[8, 15], [16, 31], [64, 127]], drawn["rows"])
        newest = drawn["slots"][-1]
        self.assertGreaterEqual(newest["p50"], 8)
        self.assertLessEqual(newest["p50"], 127)
        later = json.loads(self.get(
            f"/heatmap.json?trace=good&since={newest['slot'] - 1}")[2])
        self.assertLessEqual(newest["slot"],
                             later["maps"][0]["slots"][0]["slot"])
        self.assertEqual(404, self.get("/heatmap.json?trace=none")[0])
        for target in ("/", "/status.json", "/metrics", "/readyz",
                       "/heatmap.json?trace=bad"):
            self.assertNotIn(b"secret", self.get(target)[2], target)
        head = self.get("/metrics", "HEAD")
        self.assertEqual((200, b""), head[::2])
        self.assertGreater(int(head[1]["content-length"]), 1000)
        self.finish()

    def test_is_ready_and_says_why_it_is_not(self):
        self.start(self.trace("a"))
        scenario.wait_until(lambda: self.get("/readyz")[0] == 200, 20,
                            "it is ready")
        self.receiver.refuse()
        scenario.wait_until(lambda: self.get("/readyz")[0] == 503, 20,
                            "Graphite is away")
        self.assertRegex(self.get("/readyz")[2].decode(),
                         r"destination 127.0.0.1:\d+ is unreachable: ")
        self.receiver.listen()
        scenario.wait_until(lambda: self.get("/readyz")[0] == 200, 30,
                            "it is ready again")
        self.finish()

    def test_metrics_please_promtool(self):
        self.start(self.trace("a") | self.trace("b", KEYED))
        scenario.wait_until(lambda: len(self.slots()) >= 2, 30, "slots arrive")
        text = self.get("/metrics")[2].decode()
        self.assertRegex(text, r'(?m)^bpf2graphite_trace_values_total'
                               r'\{trace="a"\} [1-9]')
        self.assertRegex(text, r'(?m)^process_resident_memory_bytes [1-9]')
        self.assertRegex(text, r'(?m)^bpf2graphite_trace_process_resident_'
                               r'memory_bytes\{trace="b"\} [1-9]')
        if shutil.which("promtool"):
            done = subprocess.run(["promtool", "check", "metrics"], input=text,
                                  capture_output=True, text=True, timeout=60,
                                  check=False)
            self.assertEqual((0, "", ""),
                             (done.returncode, done.stdout, done.stderr))
        else:
            print("skipped: promtool is not installed", flush=True)
        self.finish()

    def test_also_serves_a_unix_socket(self):
        path = self.path("runtime/page.sock")
        self.start(self.trace("a"), listen=path)
        self.assertEqual(0o660, os.stat(path).st_mode & 0o777)

        def connect():
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(20)
            client.connect(path)
            return client
        self.connect = connect
        self.assertEqual(200, self.get("/healthz", host="localhost")[0])
        self.assertEqual(421, self.get("/healthz", host="evil.example")[0])
        self.finish()
        self.assertFalse(os.path.exists(path))

    def test_a_port_in_use_stops_nothing_and_is_tried_again(self):
        other = socket.socket()
        other.bind(("127.0.0.1", self.port))
        other.listen()
        self.start(self.trace("a"))
        said = self.daemon.wait_for_log(r"status\.listen = .*")[0]
        self.assertIn("another program listens there", said)
        self.assertIn("choose another port", said)
        scenario.wait_until(lambda: len(self.slots()) >= 2, 30, "slots arrive")
        other.close()
        self.daemon.wait_for_log("the status page is at", 30)
        self.assertEqual(200, self.get("/healthz")[0])
        self.finish()

    def test_a_reload_moves_it(self):
        self.start(self.trace("a"))
        self.assertEqual(200, self.get("/healthz")[0])
        before, self.port = self.port, graphite_lab.free_ports(1)[0]
        with open(self.daemon.config) as file:
            text = file.read()
        with open(self.daemon.config, "w") as file:
            file.write(text.replace(f":{before}\"", f":{self.port}\""))
        self.daemon.send(signal.SIGHUP)
        self.daemon.wait_for_log(f"the status page is at .*:{self.port}/")
        self.assertEqual(200, self.get("/healthz")[0])
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", before), timeout=5)
        self.finish()

    # ---- who misuses it ------------------------------------------------------
    def test_refuses_what_nobody_needs(self):
        self.start(self.trace("a"))
        us = f"Host: 127.0.0.1:{self.port}\r\n"
        get = "GET / HTTP/1.1\r\n"
        for what, expected, raw in (
                ("another host", 421,
                 f"GET / HTTP/1.1\r\nHost: evil.example:{self.port}\r\n\r\n"),
                ("another port", 421, f"{get}Host: 127.0.0.1:1\r\n\r\n"),
                ("no host", 400, "GET / HTTP/1.1\r\n\r\n"),
                ("two hosts", 400, f"GET / HTTP/1.1\r\n{us}{us}\r\n"),
                ("POST", 405,
                 f"POST / HTTP/1.1\r\n{us}Content-Length: 0\r\n\r\n"),
                ("a body", 413,
                 f"GET / HTTP/1.1\r\n{us}Content-Length: 5\r\n\r\nhello"),
                ("chunks", 413, f"GET / HTTP/1.1\r\n{us}Transfer-Encoding: "
                                "chunked\r\n\r\n0\r\n\r\n"),
                ("an unknown path", 404,
                 f"GET /etc/passwd HTTP/1.1\r\n{us}\r\n"),
                ("dots", 404, f"GET /../metrics HTTP/1.1\r\n{us}\r\n"),
                ("a long target", 414,
                 f"GET /{'a' * 2000} HTTP/1.1\r\n{us}\r\n"),
                ("long headers", 431,
                 f"GET / HTTP/1.1\r\n{us}X: {'a' * 20000}\r\n\r\n"),
                ("many headers", 431, f"GET / HTTP/1.1\r\n{us}"
                 + "".join(f"X{n}: a\r\n" for n in range(3000)) + "\r\n"),
                ("no HTTP", 400, "\x16\x03\x01 hello\r\n\r\n"),
                ("an upgrade", 400, f"GET / HTTP/1.1\r\n{us}Connection: upgrade"
                                    "\r\nUpgrade: websocket\r\n\r\n")):
            with self.subTest(what):
                code, headers, body = self.send(raw.encode("latin-1"))
                self.assertEqual(expected, code)
                self.assertEqual("close", headers["connection"].lower())
                self.assertIn("default-src 'none'",
                              headers["content-security-policy"])
                self.assertGreater(len(body), 5)
                if expected == 405:
                    self.assertEqual("GET, HEAD", headers["allow"])
        self.assertEqual(200, self.get("/healthz",
                                       host=f"[::1]:{self.port}")[0])
        self.finish()

    def test_keeps_a_connection_within_limits(self):
        self.start(self.trace("a"))
        client = self.connect()
        raw = (f"GET /healthz HTTP/1.1\r\nHost: localhost:{self.port}\r\n\r\n"
               .encode())
        served = 0
        while self.answer(client, raw)[0] == 200:
            served += 1
        client.close()
        self.assertEqual(1000, served)
        self.finish()

    def test_misuse_delays_nothing(self):
        """1000 connections, most of them slow or silent, readers that do not
        read, and as many requests as two threads can make."""
        self.start(self.trace("a") | self.trace("b", KEYED))
        scenario.wait_until(lambda: len(self.slots()) >= 2, 30, "slots arrive")
        held = []
        begun, before = time.monotonic(), len(self.slots())
        for n in range(1000):
            try:
                client = socket.create_connection(("127.0.0.1", self.port),
                                                  timeout=5)
                client.setblocking(False)
                if n % 3 == 1:
                    client.send(b"GET / HTTP/1.1\r\nHost: 127")
                if n % 3 == 2:
                    client.send(f"GET /status.json HTTP/1.1\r\nHost: 127.0.0.1:"
                                f"{self.port}\r\n\r\n".encode() * 20)
                held.append(client)
            except OSError:
                pass
        descriptors = len(os.listdir(f"/proc/{self.daemon.process.pid}/fd"))
        self.assertLess(descriptors, 100)
        stop, answered = threading.Event(), [0, 0]

        def flood(number, target):
            while not stop.is_set():
                try:
                    answered[number] += self.get(target)[0] == 200
                except OSError:
                    pass
        self.addCleanup(stop.set)
        threads = [threading.Thread(target=flood, args=one, daemon=True)
                   for one in
                   ((0, "/status.json"), (1, "/heatmap.json?trace=b"))]
        for thread in threads:
            thread.start()
        scenario.wait_until(lambda: len(self.slots()) >= before + 8, 60,
                            "slots go on arriving")
        scenario.wait_until(lambda: all(answered), 30,
                            "slow ones were dropped, others are answered")
        seconds = time.monotonic() - begun
        stop.set()
        for thread in threads:
            thread.join()
        late = max(line.arrived - line.timestamp - 1
                   for line in self.receiver.taken()
                   if line.timestamp > min(self.slots()))
        counts = self.status()["page"]["counts"]
        print(f"1000 connections, {sum(answered) / seconds:.0f} answers a "
              f"second: values at most {late:.2f} s after the end of their "
              f"slot of 1 s; {counts}", flush=True)
        self.assertGreater(counts["turned_away"], 0)
        self.assertGreater(counts["timed_out"], 0)
        for client in held:
            client.close()
        self.finish()

    # ---- in a browser --------------------------------------------------------
    def browse(self, **options):
        needs_browser()
        browser = self.must_end(Browser(**options))
        browser.open(f"http://127.0.0.1:{self.port}/")
        browser.wait("document.body?.dataset.polls > 0", 60, "the first report")
        return browser

    def card(self, name, what):
        return ("document.querySelector('[data-trace=" + json.dumps(name)
                + f"]')?.{what}")

    def colours_in(self, browser, name):
        """How many different colours the canvas of a trace shows."""
        return browser.run("""(() => {
          const canvas = %s;
          const all = canvas.getContext("2d").getImageData(0, 0, canvas.width,
            canvas.height).data;
          const seen = new Set();
          for (let i = 0; i < all.length; i += 4)
            if (all[i + 3] === 255)
              seen.add(all[i] << 16 | all[i + 1] << 8 | all[i + 2]);
          return seen.size;
        })()""" % self.card(name, "querySelector('canvas')"))

    def same_origin_only(self, browser):
        self.assertEqual([], browser.complaints)
        self.assertEqual([], browser.dialogs)
        ours = ("data:", f"http://127.0.0.1:{self.port}/")
        self.assertEqual([], [one for one in browser.requests
                              if not one.startswith(ours)])

    def test_shows_heatmaps_and_a_restart_in_a_browser(self):
        needs_browser()
        self.start(self.trace("lat") | self.trace("sizes", KEYED)
                   | self.trace("calls", COUNT))
        browser = self.browse()
        for name in ("lat", "sizes"):
            browser.wait(self.card(name, "dataset.cells") + " > 8", 30,
                         f"cells of {name}")
            self.assertEqual("heatmap",
                             browser.run(self.card(name, "dataset.picture")))
            self.assertGreater(self.colours_in(browser, name), 5)
        self.assertEqual("rate",
                         browser.run(self.card("calls", "dataset.picture")))
        # Rows of the daemon are the cells that are drawn: three a slot.
        cells = int(browser.run(self.card("lat", "dataset.cells")))
        self.assertEqual(0, cells % 3, cells)
        self.assertEqual(["@bytes", "@depth"], browser.run(
            "[..." + self.card("sizes", "querySelectorAll('.maps button')")
            + "].map((one) => one.textContent)"))
        # By keyboard: the newest slot's lowest row.
        browser.run(self.card("lat", "querySelector('canvas').focus()"))
        browser.press("ArrowLeft")
        told = browser.wait(self.card("lat", "querySelector('.spoken')"
                                             ".textContent"), 10, "the cell")
        self.assertRegex(told, r"^\d\d:\d\d:\d\d to .*, 8 to 15 µs, \d+ of ")
        browser.press("ArrowUp")
        browser.wait(self.card("lat", "querySelector('.spoken').textContent"
                                      ".includes('16 to 31 µs')"), 10,
                     "the row above")
        self.assertFalse(browser.run(
            self.card("lat", "querySelector('.tip').hidden")))
        pid = self.status()["traces"][0]["pid"]
        os.kill(pid, signal.SIGKILL)
        browser.wait(self.card("lat", "dataset.restarts") + " === '1'", 30,
                     "the restart")
        self.assertIn("killed by signal 9", browser.run(
            self.card("lat", "querySelector('.reason').textContent")))
        browser.wait(self.card("lat", "dataset.state") + " === 'running'", 30,
                     "it runs again")
        for book in ("values", "points"):
            self.assertIn("balances", browser.run(
                f"document.getElementById('balance-{book}').textContent"))
        browser.size(390, 800, 2, True)
        browser.wait("document.documentElement.scrollWidth <= 390", 10,
                     "it fits a telephone")
        browser.colours(dark=False)
        browser.wait(self.card("lat", "dataset.cells") + " > 8", 10, "still")
        self.same_origin_only(browser)
        self.finish()

    def test_tells_when_the_daemon_is_gone_and_when_it_is_back(self):
        needs_browser()
        self.start(self.trace("lat"))
        browser = self.browse()
        browser.wait("document.body.dataset.cells > 0", 30, "cells")
        self.daemon.send(signal.SIGSTOP)
        self.addCleanup(self.daemon.send, signal.SIGCONT)
        text = browser.wait(
            "!document.getElementById('lost').hidden"
            " && document.getElementById('lost').textContent", 40, "the banner")
        self.assertIn("The daemon does not answer since ", text)
        self.daemon.send(signal.SIGCONT)
        browser.wait("document.getElementById('lost').hidden", 40,
                     "it answers again")
        self.assertEqual("yes", browser.run(
            "document.getElementById('pulse').dataset.live"))
        self.finish()

    def test_hostile_names_are_only_text(self):
        needs_browser()
        self.start(self.trace("gone", SCRIPT, EVIL + ".bt", counted=False)
                   | self.trace("lat"))
        scenario.wait_until(lambda: self.status()["traces"][0]["pid"], 20,
                            "it runs")
        os.remove(self.path(EVIL + ".bt"))
        os.kill(self.status()["traces"][0]["pid"], signal.SIGKILL)
        browser = self.browse()
        browser.wait(self.card("gone", "dataset.state") + " !== 'running' && "
                     + self.card("gone", "querySelector('.reason')"
                                         ".textContent.includes('<img')"), 30,
                     "its script is named")
        self.assertEqual(0, browser.run(
            "document.querySelectorAll('main img, main script').length"))
        self.same_origin_only(browser)
        self.assertEqual(0, self.daemon.stop())

    def test_three_hundred_traces_are_drawn_where_they_are_seen(self):
        needs_browser()
        self.start(self.trace("t0")
                   | {f"t{n}": {"script": self.path("none.bt")}
                      for n in range(1, 300)})
        browser = self.browse()
        browser.wait("document.querySelectorAll('.card').length === 300", 30,
                     "all cards")
        browser.wait("document.body.dataset.cells > 0", 30, "cells")
        asked = {one for one in browser.requests if "heatmap" in one}
        names = {re.search("trace=([^&]*)", one)[1] for one in asked}
        self.assertLess(len(names), 40, "only what can be seen is asked for")
        browser.run("document.getElementById('find').value = 't299';"
                    "document.getElementById('find')"
                    ".dispatchEvent(new Event('input'))")
        browser.wait("[...document.querySelectorAll('.card')]"
                     ".filter((one) => !one.hidden).length === 1", 10,
                     "the one that was looked for")
        browser.wait("performance.getEntriesByType('resource').some("
                     "(one) => one.name.includes('trace=t299'))", 20,
                     "its heatmap is asked for")
        size = len(self.get("/status.json")[2])
        print(f"status.json of 300 traces: {size} bytes", flush=True)
        self.assertLess(size, 400_000)
        self.same_origin_only(browser)
        self.finish()

    def test_no_trace_is_said(self):
        """The daemon does not start without one; the page must not fail."""
        needs_browser()
        self.start(self.trace("lat"))
        browser = self.browse()
        text = browser.run("""get("/status.json").then((report) => {
          show({ ...report, traces: [] });
          const none = document.getElementById("none");
          return !none.hidden && none.textContent;
        })""")
        self.assertIn("No trace is configured", text)
        self.same_origin_only(browser)
        self.finish()


if __name__ == "__main__":
    scenario.main()
