#!/usr/bin/python3
"""The README's first command: app/run, as a newcomer types it."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
import unittest
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import png  # noqa: E402
import scenario  # noqa: E402
from carbon import graphite_lab  # noqa: E402
from daemon import alive  # noqa: E402

RUN = str(scenario.TOP / "app" / "run")


def below(pid):
    """Ids of all processes that descend from `pid`."""
    found = []
    for child in _children(pid):
        found += [child] + below(child)
    return found


def _children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(word) for word in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


class Running:
    """app/run with its output gathered as it comes."""

    def __init__(self, runtime_directory, *arguments):
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith("BPF2GRAPHITE_")}
        # Beside a daemon that this host may run already.
        environment["RUNTIME_DIRECTORY"] = runtime_directory
        self.process = subprocess.Popen(
            [RUN, *arguments], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True, env=environment)
        self.text = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __str__(self):
        return "app/run's words"

    def _read(self):
        for line in self.process.stdout:
            self.text += line

    def log(self):
        return self.text

    def wait_for(self, pattern, seconds):
        def seen():
            if self.process.poll() is not None:
                raise AssertionError("app/run ended with "
                                     f"{self.process.returncode}")
            return re.search(pattern, self.text, re.MULTILINE)
        return scenario.wait_until(seen, seconds, f"app/run says {pattern!r}")

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(30)
        self._reader.join(5)
        self.process.stdout.close()


class AppRun(scenario.Scenario):
    def setUp(self):
        super().setUp()
        scenario.needs_bpftrace()
        # A build here would take the time of all other scenarios together.
        if not (scenario.TOP / "build/release/bpf2graphite").exists():
            raise unittest.SkipTest("no build/release yet: tests/run makes it")

    def test_1_its_help_needs_nothing(self):
        done = subprocess.run([RUN, "--help"], capture_output=True, text=True,
                              timeout=10, check=True)
        self.assertIn("--stdout", done.stdout)

    def test_2_stdout_shows_lines(self):
        running = self.must_end(Running(self.folder, "--stdout"))
        running.wait_for(r"built", 300)
        running.wait_for(r"^bpf\.[\w-]+\.cpu-lat\.\d+ \d+ \d{10}$", 60)
        children = below(running.process.pid)
        running.process.send_signal(signal.SIGINT)
        self.assertEqual(0, running.process.wait(25))
        self.assertEqual([], [pid for pid in children if alive(pid)])

    def test_3_without_a_graphite_it_shows_a_graph_and_leaves_nothing(self):
        if not os.path.exists("/usr/bin/gunicorn"):
            raise unittest.SkipTest("graphite-web is not installed")
        running = self.must_end(Running(self.folder))
        running.wait_for(r"built", 300)
        built = time.monotonic()
        url = running.wait_for(r"http://127\.0\.0\.1:(\d+)/render\S+", 60)
        running.wait_for(r"has data", 120 - (time.monotonic() - built))
        with urllib.request.urlopen(url.group(), timeout=20) as reply:
            self.assertEqual("image/png", reply.headers["Content-Type"])
            image = reply.read()
        # A frame alone is white, greys and pinks; a bucket is a filled area
        # in a colour with no grey about it.
        vivid = {colour: count for colour, count in png.colours(image).items()
                 if max(colour[:3]) - min(colour[:3]) > 80 and count > 300}
        self.assertGreaterEqual(len(vivid), 3, vivid)
        self.assertLess(time.monotonic() - built, 120)

        children = below(running.process.pid)
        self.assertGreaterEqual(len(children), 4)  # lab, carbon, web, daemon
        folders = {line.split("=", 1)[1].split("/conf/")[0]
                   for pid in children for line in _arguments(pid)
                   if line.startswith("--config=") and "/conf/" in line}
        self.assertEqual(1, len(folders), "the scratch folder")
        running.process.send_signal(signal.SIGINT)
        self.assertEqual(0, running.process.wait(40))
        self.assertEqual([], [pid for pid in children if alive(pid)])
        self.assertFalse(graphite_lab.listens(int(url.group(1))))
        self.assertEqual([], [f for f in folders if os.path.exists(f)])


def _arguments(pid):
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return file.read().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


if __name__ == "__main__":
    scenario.main()
