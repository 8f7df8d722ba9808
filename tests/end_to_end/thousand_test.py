#!/usr/bin/python3
"""A thousand traces on one host (200 in the normal form): they start, run, are
shown by status, reloaded and stopped, and no value is lost. Times and costs are
printed."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import process_figures as figures  # noqa: E402
import scenario  # noqa: E402
from daemon import Bare, configuration  # noqa: E402
from fakes import Fakes, passed  # noqa: E402
from notify_socket import NotifySocket  # noqa: E402

LONG = os.environ.get("BPF2GRAPHITE_LONG") == "1"
TRACES = 1000 if LONG else 200
SECONDS = 60 if LONG else 10
UNIT = scenario.TOP / "config" / "bpf2graphite.service"

# A histogram of four buckets that is cleared, and a count that grows.
PRINTS = ("//fake hist map=@u values=4:1,8:5,16:9,32:2 every={every} vary=3 "
          "rest=3\n"
          "//fake count map=@c every={every} kind=cumulative rest=2\n")


class Thousand(Fakes):
    def name(self, number):
        return f"t{number:04}"

    def add_traces(self, first, count, more=""):
        for number in range(first, first + count):
            self.add(self.name(number), directives=more, prints=PRINTS,
                     every=1000)

    def told(self, what, number, unit=""):
        print(f"{TRACES} traces: {what}: {number:.4g}{unit}", flush=True)

    def status(self, *options):
        """(its output, seconds that it took)."""
        begun = time.monotonic()
        ran = subprocess.run(
            [scenario.program("binary"), "--config", self.daemon.config,
             "status", *options], stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False)
        self.assertEqual((0, ""), (ran.returncode, ran.stderr))
        return ran.stdout, time.monotonic() - begun

    def starts(self):
        """{trace: ids of its processes}, from the record of each."""
        return {name: self.pids(name) for name in self.traces}

    def printing(self, names, event='"done"'):
        """Whether that stands in the record of each; one in which it stands is
        not read again."""
        left = set(names)

        def done():
            for name in list(left):
                try:
                    with open(self.record(name)) as file:
                        if event in file.read():
                            left.discard(name)
                except FileNotFoundError:
                    pass
            return not left
        return done

    def test_they_start_run_reload_and_stop_with_nothing_lost(self):
        self.add_traces(0, TRACES)
        notify = self.must_end(NotifySocket(self.path("notify")))
        # As the unit starts it, but with systemd's soft limit: the daemon
        # raises that itself.
        limit = int(re.search(r"^LimitNOFILE=(\d+)$", UNIT.read_text(),
                              re.M).group(1))
        groups = {"graphite": {"interval": Bare("5s")},
                  "slots": {"resolution": Bare("5s")},
                  "own_metrics": {"enabled": True}, "log": {"level": "info"}}
        begun = time.monotonic()
        self.start(environment={"NOTIFY_SOCKET": notify.path},
                   until_printed=False,
                   prefix=["prlimit", f"--nofile=1024:{limit}"], **groups)
        notify.wait_for("READY=1")
        self.told("READY after", time.monotonic() - begun, " s")
        scenario.wait_until(self.printing(self.traces), 120,
                            "each trace has printed")
        self.told("all have printed after", time.monotonic() - begun, " s")
        first = self.starts()

        cpu, since = figures.cpu_seconds(self.pid), time.monotonic()
        passed(SECONDS)
        self.told("our CPU", (figures.cpu_seconds(self.pid) - cpu) * 1000
                  / (time.monotonic() - since), " ms/s")
        self.told("RSS", figures.rss_mib(self.pid), " MiB")
        descriptors = figures.descriptors(self.pid)
        self.told("descriptors", descriptors)
        self.assertLess(descriptors * 1000 / TRACES, limit,
                        f"{limit} descriptors are not enough for a thousand")
        self.check_status()
        self.reload(notify, groups, first)

        status = self.daemon.stop(60)
        self.told("stopped after", self.daemon.stop_seconds, " s")
        self.assertEqual(0, status)
        printed = self.expected()
        self.same_sums({path: total for path, total
                        in self.receiver.sums("bpf.testhost.t").items()},
                       printed)
        self.told("series of which every value arrived", len(printed))
        self.assertEqual({}, self.receiver.conflicts())
        self.assertEqual([], self.receiver.bad)
        self.assertEqual(1, len({line.timestamp % 5
                                 for line in self.receiver.taken()}))
        books = self.daemon.ledger()
        self.assertEqual(books["points"], books["accepted"], books)

    def check_status(self):
        """All of them are there, as text and as JSON."""
        text, seconds = self.status()
        self.told("status after", seconds, " s")
        for name in self.traces:
            self.assertEqual(1, len(re.findall(
                rf"^{name} +running ", text, re.M)), name)
        whole, seconds = self.status("--json")
        self.told("status --json after", seconds, " s")
        self.told("its size", len(whole) / 1024, " KiB")
        self.assertEqual(
            sorted(self.traces),
            sorted(one["name"] for one in json.loads(whole)["traces"]
                   if one["state"] == "running"))

    def reload(self, notify, groups, first):
        """A tenth is taken out, a tenth is new, of a tenth the script is
        another. The others' processes stay."""
        tenth = TRACES // 10
        gone = [self.name(n) for n in range(tenth)]
        changed = [self.name(n) for n in range(tenth, 2 * tenth)]
        for name in changed:
            with open(self.traces[name]["script"], "a") as file:
                file.write("// another\n")
        self.add_traces(TRACES, tenth)
        new = [self.name(n) for n in range(TRACES, TRACES + tenth)]
        groups["graphite"]["port"] = self.receiver.port
        self.write("bpf2graphite.conf", configuration(
            {name: settings for name, settings in self.traces.items()
             if name not in gone}, self.folder, self.receiver.port, **groups))
        before = len(notify.messages())
        begun = time.monotonic()
        self.daemon.send(signal.SIGHUP)
        scenario.wait_until(
            lambda: any("READY=1" in text
                        for text in notify.messages()[before:]), 60,
            "READY after the SIGHUP")
        self.told("reloaded, READY after", time.monotonic() - begun, " s")
        scenario.wait_until(self.printing(new), 60, "the new ones print")
        scenario.wait_until(self.printing(changed, '"life":2'), 60,
                            "the changed ones run anew")
        self.told("all that is new runs after", time.monotonic() - begun, " s")
        passed(3)
        now = self.starts()
        self.assertEqual({}, {name: pids for name, pids in now.items()
                              if name in first and name not in changed
                              and pids != first[name]},
                         "processes that were to stay")
        for name in gone:
            with open(self.record(name)) as file:
                self.assertIn('"event":"end"', file.read(), name)


if __name__ == "__main__":
    scenario.main()
