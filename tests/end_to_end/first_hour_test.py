#!/usr/bin/python3
"""The first hour of a new user, from the package to a picture, in a booted
system with a Graphite beside it. The commands are those of README.md, read from
there and run in their order: one that is not known here fails the test, and so
does one that is gone from the README. Each message that the user meets is
looked at."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import package  # noqa: E402
import scenario  # noqa: E402
from booted import Booted  # noqa: E402

UNIT = "bpf2graphite.service"
CONFIG = "/etc/bpf2graphite/caf-application.conf"
PATIENT = any(os.environ.get(name) for name in
              ("BPF2GRAPHITE_SOAK_SECONDS", "BPF2GRAPHITE_LONG"))
# carbon takes the first section that fits: ours come before the rest.
REST = ("\n[carbon]\npattern = ^carbon\\.\nretentions = 60s:1d\n"
        "\n[rest]\npattern = .*\nretentions = 60s:1d\n")


def commands(heading):
    """The lines of the code blocks below a heading of the README, each without
    its comment."""
    text = (scenario.TOP / "README.md").read_text()
    body = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [re.sub(r"\s+#.*", "", line).strip() for line in body.splitlines()
            if line.startswith("    ") and line.strip()]


class Lab:
    """Graphite inside, by app/graphite_lab, with a storage-schemas.conf."""

    def __init__(self, system, schemas):
        system.put(scenario.TOP / "app/graphite_lab", "/root/graphite_lab",
                   0o755)
        system.write("/tmp/schemas", schemas)
        self._process = subprocess.Popen(
            system.command("/root/graphite_lab", "serve", "--schemas",
                           "/tmp/schemas"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self._process.stdout.readline()
        self.line, self.web = (int(re.search(name + r"=(\d+)", line)[1])
                               for name in ("line", "web"))

    def kill(self):
        self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(30)
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


class FirstHour(scenario.Scenario):
    def setUp(self):
        super().setUp()
        package.needs_tools()
        scenario.needs_bpftrace()
        scenario.needs_carbon()
        made = tempfile.mkdtemp(prefix="bpf2graphite-hour-")
        self.addCleanup(shutil.rmtree, made, ignore_errors=True)
        deb = package.make_package(made + "/made")
        self.system = self.must_end(Booted())
        self.system.put(deb, "/root/" + os.path.basename(deb))
        self.graphite = None
        self.said = {}

    def type_in(self, line, status=0):
        """What the user types in /root, by a shell, and what comes back."""
        done = self.system.run("sh", "-c", line, cwd="/root", check=False)
        print(f"$ {line}\n{done.stdout}{done.stderr}".rstrip(), flush=True)
        self.assertEqual(status, done.returncode, done.stdout + done.stderr)
        for word in ("terminate called", "what():", "assert", "Traceback"):
            self.assertNotIn(word, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def fetch(self, path):
        with self.system.network(), urllib.request.urlopen(
                f"http://127.0.0.1:{self.graphite.web}{path}",
                timeout=20) as reply:
            return reply.read()

    # ---- what the README asks for, one method each ---------------------------
    def install(self, line):
        words = self.type_in(line)
        self.assertIn("systemctl start bpf2graphite", words)
        self.assertIn(CONFIG, words)
        self.assertEqual("inactive", self.system.show(UNIT, "ActiveState"))

    def edit(self, line):
        self.assertEqual(f"editor {CONFIG}", line)
        # Where the user's Graphite will listen; it is not there yet.
        self.port = 22003
        text = self.system.read(CONFIG)
        for old, new in (('server = "localhost"', 'server = "127.0.0.1"'),
                         ("port = 2003", f"port = {self.port}")):
            self.assertEqual(1, text.count("\n  " + old), old)
            text = text.replace("\n  " + old, "\n  " + new)
        if not PATIENT:  # a third line, so that the test is no hour
            text = text.replace("\n  # interval = 15s", "\n  interval = 2s")
        self.system.write(CONFIG, text)

    def check(self, line):
        words = self.type_in(line)
        self.plan = words
        for part in (f"graphite 127.0.0.1:{self.port}", "server from file",
                     'trace "cpu-lat"', "storage-schemas.conf",
                     "MAX_CREATES_PER_MINUTE", "own metrics"):
            self.assertIn(part, words)
        self.assertNotIn("warning", words)
        self.targets = re.search(r"to look at it:\n((?:    \S.*\n)+)",
                                 words)[1].split()
        self.assertEqual(3, len(self.targets))

    def generate(self, line):
        self.type_in(line)
        self.files = "/root/" + line.split()[-1]
        schemas = self.system.read(self.files + "/storage-schemas.conf")
        # The same lines as `check` shows, and with 15 s those of the README.
        for one in schemas.strip().splitlines():
            self.assertIn(one, self.plan)
        if PATIENT:
            shown = commands("Set Graphite's retention first")
            retention = next(one for one in shown
                             if one.startswith("retentions"))
            self.assertIn(retention, schemas)
        for one in ("cpu-lat.json", "bpf2graphite.own-metrics.json"):
            json.loads(self.system.read(f"{self.files}/dashboards/{one}"))

    def check_deep(self, line):
        # Graphite is not there: said, with its name and the reason.
        words = self.type_in(line, status=69)
        self.assertRegex(words, rf"graphite 127\.0\.0\.1:{self.port}: "
                         "Connection refused")
        self.assertIn('bpftrace, trace "cpu-lat": good', words)
        # The user starts it.
        self.graphite = self.must_end(Lab(
            self.system,
            self.system.read(self.files + "/storage-schemas.conf") + REST))
        # It got a port of its own: one more look into the file.
        self.system.run("sed", "-i", f"s/port = {self.port}/port = "
                        f"{self.graphite.line}/", CONFIG)
        words = self.type_in(line)
        self.assertIn(f"127.0.0.1:{self.graphite.line}: good", words)

    def start(self, line):
        self.begun = time.monotonic()
        self.type_in(line)
        self.assertEqual("active", self.system.show(UNIT, "ActiveState"))

    def status(self, line):
        words = self.type_in(line)
        self.assertRegex(words, r"cpu-lat +(starting|running)")
        scenario.wait_until(
            lambda: re.search(r"[1-9]\d* accepted|accepted +[1-9]",
                              self.system.run("bpf2graphite", "status").stdout),
            120, "values that Graphite has accepted")
        self.assertIn("running", self.type_in(line))

    def top(self, line):
        self.assertIn("cpu-lat", self.type_in(line))

    STEPS = (
        (r"apt install \./bpf2graphite_\*\.deb", install),
        (r"editor \S+", edit),
        (r"bpf2graphite check", check),
        (r"bpf2graphite generate --output \S+", generate),
        (r"bpf2graphite check --deep", check_deep),
        (r"systemctl start bpf2graphite", start),
        (r"bpf2graphite status", status),
        (r"bpf2graphite top", top),
    )

    def test_from_the_package_to_a_picture(self):
        lines = commands("Install")
        first = next(number for number, line in enumerate(lines)
                     if line.startswith("apt install"))
        walk = lines[first:first + len(self.STEPS)]
        self.assertEqual(len(self.STEPS), len(walk), lines)
        for line, (pattern, step) in zip(walk, self.STEPS):
            self.assertRegex(line, f"^{pattern}$")
            step(self, line)
        self.picture()
        self.journal()

    # ---- what comes of it ----------------------------------------------------
    def picture(self):
        """The render target that `check` printed draws a heatmap's rows."""
        target = self.targets[0]
        query = urllib.parse.urlencode({"target": target, "from": "-2min"})

        def rows():
            found = json.loads(self.fetch(f"/render?{query}&format=json"))
            return found if sum(
                value is not None for one in found
                for value, _ in one["datapoints"]) >= 2 * len(found) > 4 \
                else None
        found = scenario.wait_until(rows, 120, "two slots of a heatmap")
        names = [int(one["target"]) for one in found]
        self.assertEqual(sorted(names), names)
        self.assertTrue(all(name & (name - 1) == 0 for name in names), names)
        seconds = time.monotonic() - self.begun
        image = self.fetch(f"/render?{query}&width=700&height=350"
                           "&areaMode=stacked&title=cpu-lat")
        self.assertTrue(image.startswith(b"\x89PNG"))
        keep = os.environ.get("BPF2GRAPHITE_PICTURES")
        if keep:
            pathlib.Path(keep, "first_hour.png").write_bytes(image)
        print(f"{len(names)} rows drawn {seconds:.0f} s after the start: "
              f"{names}", flush=True)
        # The step is the one that was told to carbon.
        step = {b - a for one in found for (_, a), (_, b) in
                zip(one["datapoints"], one["datapoints"][1:])}
        self.assertEqual({15 if PATIENT else 2}, step)

    def records(self, *words):
        text = self.system.run("journalctl", "-o", "json", "--no-pager", "-u",
                               UNIT, *words).stdout
        return [json.loads(line) for line in text.splitlines()]

    def journal(self):
        """Priorities and fields are journald's own, and little is said."""
        ours = [one for one in self.records()
                if one.get("SYSLOG_IDENTIFIER") == "bpf2graphite"]
        self.assertIn("started", [one.get("BPF2GRAPHITE_EVENT")
                                  for one in ours])
        self.assertLess(len(ours), 12, [one["MESSAGE"] for one in ours])
        self.assertLessEqual({one["PRIORITY"] for one in ours},
                             {"4", "5", "6"})
        # A script that cannot work: one error, of that trace, that says why.
        self.system.write("/etc/bpf2graphite/bad.bt", "interval:s:1 { @x = "
                          "count(); print(@x); no_such_function(); }\n")
        text = self.system.read(CONFIG)
        self.system.write(CONFIG, re.sub(
            r"\ntraces \{\n", "\ntraces {\n  bad {\n    script = "
            '"/etc/bpf2graphite/bad.bt"\n  }\n', text, count=1))
        self.type_in("systemctl reload bpf2graphite")

        def failing():
            return [one for one in self.records()
                    if one.get("BPF2GRAPHITE_EVENT") == "trace-failing"]
        one = scenario.wait_until(failing, 60, "the failing trace is told")[0]
        self.assertEqual(("3", "bad"), (one["PRIORITY"],
                                        one["BPF2GRAPHITE_TRACE"]))
        self.assertIn("no_such_function", one["MESSAGE"])
        print("journal: " + one["MESSAGE"], flush=True)
        self.assertRegex(self.type_in("bpf2graphite status"),
                         r"bad +failing")
        # Graphite goes away: its state is told once, and once when it is back.
        self.graphite.kill()

        def events(name):
            return [one for one in self.records()
                    if one.get("BPF2GRAPHITE_EVENT") == name]
        scenario.wait_until(lambda: events("graphite-trouble"), 90,
                            "the trouble is told")
        trouble = events("graphite-trouble")
        self.assertEqual("4", trouble[0]["PRIORITY"])
        print("journal: " + trouble[0]["MESSAGE"], flush=True)
        self.assertEqual(1, len(trouble))
        self.assertEqual(1, len(failing()), "each change of state once")


if __name__ == "__main__":
    scenario.main()
