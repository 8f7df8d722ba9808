#!/usr/bin/python3
"""What `generate` writes fits the names that are sent: real carbon takes its
retentions and aggregations from it, counts are still right in the second
archive, and each dashboard target draws something in real graphite-web."""

import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import carbon  # noqa: E402
import scenario  # noqa: E402
from daemon import Bare, Daemon  # noqa: E402

SCRIPT = """interval:s:1 {
  @u = hist(nsecs); @k[comm] = hist(nsecs); @s = stats(nsecs); @g = 4;
  @most = max(nsecs);
  print(@u); clear(@u); print(@k); clear(@k); print(@s); clear(@s);
  print(@g); print(@most);
}
"""
RESOLUTION = 10
SECONDS = 400


def rows(n):
    return [{"min": 4, "max": 7, "count": 2 + n % 3},
            {"min": 8, "max": 15, "count": 40},
            {"min": 1024, "max": 2047, "count": 1 + n % 5}]


def capture(begun):
    """Output of the script for SECONDS seconds, and its arrival times."""
    text, times = "", ""
    for n in range(SECONDS):
        for kind, name, value in (
                ("hist", "@u", rows(n)),
                ("hist", "@k", {"bash": rows(n), "sshd": rows(n + 1)}),
                ("stats", "@s", {"count": 3, "average": 10, "total": 30}),
                ("map", "@g", 4 + n), ("map", "@most", 9000 + n)):
            text += json.dumps({"type": kind, "data": {name: value}}) + "\n"
        times += f"{1000 * (n + 1)} {len(text)}\n"
    return text, times


class Generate(scenario.Scenario):
    def setUp(self):
        super().setUp()
        scenario.needs_carbon()
        traces = {name: {"script": self.write(f"{name}.bt", SCRIPT),
                         "percentiles": [50, 99],
                         "derived": ["samples", "mean", "highest"],
                         "accumulate": {"most": "max"}, **more}
                  for name, more in (("plain", {}),
                                     ("tagged", {"style": "tags",
                                                 "keys": ["comm"]}))}
        self.daemon = Daemon(
            self.folder, traces, naming={"prefix": "lab"},
            graphite={"interval": Bare(f"{RESOLUTION}s")},
            slots={"resolution": Bare(f"{RESOLUTION}s")},
            own_metrics={"enabled": True},
            bpftrace={"program": scenario.program("fake_bpftrace")})

    def ours(self, *arguments, **options):
        done = subprocess.run(
            [scenario.program("binary"), *arguments, "--config",
             self.daemon.config], capture_output=True, text=True, timeout=60,
            check=False, **options)
        self.assertEqual(0, done.returncode, done.stderr)
        return done.stdout

    def lines_of(self, trace, begun):
        text, times = capture(begun)
        return self.ours("parse", "--trace", trace, "--format", "json",
                         "--bpftrace-version", "0.17.0", "--time", str(begun),
                         "--times", self.write("times", times),
                         self.write("capture", text))

    def rendered(self, target, **query):
        with urllib.request.urlopen(self.lab.render_url(
                target=target, **{"from": "-15min", **query}),
                timeout=20) as reply:
            return reply.read()

    def test_graphite_understands_what_was_written(self):
        out = self.path("generated")
        self.ours("generate", "--output", out)
        conf = {name: pathlib.Path(out, name).read_text()
                for name in ("storage-schemas.conf",
                             "storage-aggregation.conf")}
        self.assertIn(conf["storage-schemas.conf"], self.ours("generate"))
        folder = self.path("graphite")
        os.mkdir(folder)
        self.lab = self.must_end(carbon.Carbon(folder, "1m:1d"))
        for name, text in conf.items():
            other = pathlib.Path(folder, "conf", name).read_text()
            self.lab.write("conf/" + name, text + "\n" + other)
        path = pathlib.Path(folder, "conf/carbon.conf")
        path.write_text(path.read_text().replace("ENABLE_TAGS = False",
                                                 "ENABLE_TAGS = True"))
        self.lab.start_web()
        self.addCleanup(self.lab.stop)
        self.lab.start()
        begun = int(time.time()) // 60 * 60 - SECONDS - 20
        lines = self.lines_of("plain", begun) + self.lines_of("tagged", begun)
        with socket.create_connection(("127.0.0.1", self.lab.port)) as sender:
            sender.sendall(lines.encode())
        # Our own metrics, which only a daemon makes.
        with open(self.daemon.config) as file:
            text = file.read()
        with open(self.daemon.config, "w") as file:
            file.write(text.replace("port = 1\n", f"port = {self.lab.port}\n"))
        self.must_end(self.daemon).start()
        scenario.wait_until(lambda: len(self.own()) > 50, 60,
                            "our own metrics in carbon")
        self.lab.settle()
        self.own_metrics_are_as_told()
        self.files_are_as_told(lines)
        self.counts_survive_the_roll_up(lines)
        self.dashboards_draw(out)

    def own(self):
        return self.lab.series("lab.testhost.bpf2graphite.")

    def stored(self, name):
        import whisper
        return whisper.info(os.path.join(self.lab.folder, "storage/whisper",
                                         name.replace(".", "/") + ".wsp"))

    def own_metrics_are_as_told(self):
        states = {"waiting", "open", "series", "on_the_way", "up", "rss_kb",
                  "oldest_age_s", "acceptance_ms", "running", "starting",
                  "failing", "stopped"}
        for name in self.own():
            info = self.stored(name)
            self.assertEqual(RESOLUTION, info["archives"][0]["secondsPerPoint"],
                             name)
            self.assertEqual("average" if name.rsplit(".", 1)[1] in states
                             else "sum", info["aggregationMethod"], name)
        told = re.search(r"and (\d+) of its own metrics", self.ours("check"))
        self.assertEqual(int(told[1]), len(self.own()))
        print(f"{told[1]} series of our own, as `check` says", flush=True)

    def files_are_as_told(self, lines):
        expected = {"p50": "max", "p99": "max", "highest": "max",
                    "mean": "average", "average": "average", "g": "last",
                    "most": "max"}
        made = [name for name in self.lab.series("lab.")
                if ".bpf2graphite." not in name]
        sent = {line.split()[0] for line in lines.splitlines()
                if ";" not in line}
        self.assertEqual(sent, set(made))
        seen = set()
        for name in made:
            info = self.stored(name)
            self.assertEqual(RESOLUTION, info["archives"][0]["secondsPerPoint"],
                             name)
            self.assertEqual(3, len(info["archives"]), name)
            self.assertEqual(0, info["xFilesFactor"], name)
            method = expected.get(name.rsplit(".", 1)[1], "sum")
            self.assertEqual(method, info["aggregationMethod"], name)
            seen.add(method)
        self.assertEqual({"sum", "max", "average", "last"}, seen)
        print(f"{len(made)} whisper files: retentions and aggregation as "
              "generated", flush=True)

    def counts_survive_the_roll_up(self, lines):
        import whisper
        name = "lab.testhost.plain.u.8"
        path = os.path.join(self.lab.folder, "storage/whisper",
                            name.replace(".", "/") + ".wsp")
        minutes = {}
        for line in lines.splitlines():
            series, value, stamp = line.split()
            if series == name:
                minute = int(stamp) // 60 * 60
                minutes[minute] = minutes.get(minute, 0) + int(value)
        first = whisper.info(path)["archives"][0]["retention"]
        now = int(time.time())
        # From before the first archive's reach: the second one answers.
        (start, _, step), found = whisper.fetch(path, now - first - 7200, now)
        self.assertEqual(60, step)
        rolled = {start + i * step: value for i, value in enumerate(found)
                  if value is not None}
        self.assertEqual(minutes, rolled)
        self.assertEqual(40 * SECONDS, sum(minutes.values()))
        print(f"second archive: {len(rolled)} minutes, sum "
              f"{sum(rolled.values()):g}, as sent", flush=True)

    def dashboards_draw(self, out):
        drawn = 0
        for file in sorted(pathlib.Path(out, "dashboards").iterdir()):
            board = json.loads(file.read_text())
            for panel in board["panels"]:
                for wanted in panel["targets"]:
                    target = wanted["target"].replace("$host", "*") \
                        .replace("${host:regex}", ".*")
                    series = scenario.wait_until(
                        lambda target=target: [
                            one for one in json.loads(
                                self.rendered(target, format="json"))
                            if any(value is not None
                                   for value, _ in one["datapoints"])],
                        30, f"{file.name}: {target} draws something")
                    drawn += 1
                    if panel["type"] == "heatmap":
                        names = [one["target"] for one in series]
                        bounds = [4, 8, 16, 32, 64, 128, 256, 512, 1024]
                        if file.name == "tagged.json": # `le` is the upper one
                            bounds = [2 * bound for bound in bounds]
                        self.assertEqual([str(b) for b in bounds], names,
                                         target)
                    picture = self.rendered(target, width=600, height=300)
                    self.assertTrue(picture.startswith(b"\x89PNG"), target)
                    keep = os.environ.get("BPF2GRAPHITE_PICTURES")
                    if keep:
                        name = re.sub(r"[^a-z0-9]+", "_",
                                      panel["title"].lower())
                        pathlib.Path(keep, f"{file.stem}-{name}.png") \
                            .write_bytes(picture)
            hosts = [one["query"] for one in board["templating"]["list"]
                     if one["name"] == "host"]
            if file.name == "plain.json":
                self.assertEqual(["lab.*"], hosts)
                with urllib.request.urlopen(
                        f"http://127.0.0.1:{self.lab.web}/metrics/find?"
                        + urllib.parse.urlencode({"query": hosts[0]}),
                        timeout=20) as reply:
                    self.assertIn("testhost",
                                  [one["text"] for one in json.load(reply)])
        self.assertEqual(["bpf2graphite.own-metrics.json", "plain.json",
                          "tagged.json"],
                         sorted(os.listdir(pathlib.Path(out, "dashboards"))))
        print(f"{drawn} dashboard targets drawn by graphite-web, none empty",
              flush=True)
        self.assertGreater(drawn, 15)


if __name__ == "__main__":
    scenario.main()
