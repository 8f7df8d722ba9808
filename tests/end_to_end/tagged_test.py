#!/usr/bin/python3
"""Series with tags are stored and found by a real carbon and a real
graphite-web: seriesByTag gives the values that were printed, to the unit."""

import json
import os
import pathlib
import sys
import time
import unittest
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
import truth  # noqa: E402
from carbon import Carbon  # noqa: E402
from daemon import Daemon  # noqa: E402

SCRIPT = r"""//fake record path={record}
//fake hist map=@usecs keys={keys} values=4:3,64:1,neg:2 every=300
//fake count map=@calls value=5 every=300 kind=cumulative
tracepoint:a:b {{ @usecs[comm, pid] = hist(args->x); @calls = count(); }}
interval:ms:300 {{ print(@usecs); clear(@usecs); print(@calls); }}
"""


class Tagged(scenario.Scenario):
    def setUp(self):
        super().setUp()
        scenario.needs_carbon()
        if not os.path.exists("/usr/bin/graphite-manage"):
            raise unittest.SkipTest("graphite-web is not installed")

    def ask(self, what, **query):
        url = (f"http://127.0.0.1:{self.carbon.web}/{what}?"
               + urllib.parse.urlencode(query))
        try:
            with urllib.request.urlopen(url, timeout=10) as reply:
                return json.load(reply)
        except OSError:
            return []

    def rendered(self, *expressions):
        """{path with tags: sum of its points} of what seriesByTag finds."""
        target = "seriesByTag(" + ",".join(f"'{e}'" for e in expressions) + ")"
        found = self.ask("render", target=target, format="json",
                         **{"from": "-10min", "until": "+1min"})
        return {one["target"]: sum(value for value, _ in one["datapoints"]
                                   if value is not None) for one in found}

    def tagged_paths(self, totals):
        """The truth under the names of design.md section 4."""
        below = {"-inf": "0", "0": "1", "1": "2"}
        result = {}
        for (name, key, leaf), value in totals.items():
            tags = {"host": "testhost"}
            if key:
                comm, pid = key.split(",")
                tags |= {"comm": truth.level(comm), "pid": pid}
            if leaf:
                tags["le"] = below.get(leaf) or str(2 * int(leaf))
            path = f"bpf.tagged.{name[1:]}" + "".join(
                f";{tag}={tags[tag]}" for tag in sorted(tags))
            result[path] = result.get(path, 0) + value
        return result

    def test_series_by_tag_finds_every_value(self):
        self.carbon = carbon = self.must_end(
            Carbon(self.path("carbon"), tags=True))
        carbon.start()
        carbon.start_web()
        self.addCleanup(carbon.stop)
        record = self.path("record")
        daemon = self.must_end(Daemon(
            self.folder, {"tagged": {
                "script": self.write("tagged.bt", SCRIPT.format(
                    record=record, keys=r"bash,7;tmux:\x20server,8")),
                "program": scenario.program("fake_bpftrace"),
                "keys": ["comm", "pid"], "style": "tags"}}, carbon.port))
        begun = time.monotonic()
        daemon.start()
        scenario.wait_until(
            lambda: sum(map(len, truth.lives_of_fake(record)[0])) >= 20, 30,
            "20 prints")
        self.assertEqual(0, daemon.stop())
        expected = self.tagged_paths(truth.total(
            truth.lives_of_fake(record)[0], ("@calls",)))
        # carbon hands new series to graphite-web in its own time.
        scenario.wait_until(
            lambda: sorted(expected) == sorted(self.ask(
                "tags/findSeries", expr="host=testhost")), 40,
            "/tags/findSeries finds all series")
        print(f"\n{len(expected)} tagged series found after "
              f"{time.monotonic() - begun:.1f} s")
        scenario.wait_until(
            lambda: sum(self.rendered("host=testhost").values())
            >= sum(expected.values()), 30, "all values are rendered")
        self.same_sums(self.rendered("host=testhost"), expected)
        # Each tag selects what it says.
        for tag in ("name=bpf.tagged.usecs", "comm=bash", "comm=tmux__server",
                    "pid=8", "le=8", "le=~^(0|128)$"):
            name, _, value = tag.partition("=")
            values = ("0", "128") if value.startswith("~") else (value,)
            wanted = {path: total for path, total in expected.items()
                      if any(f";{name}={each};" in f";name={path};"
                             for each in values)}
            self.assertGreater(len(wanted), 0, tag)
            self.assertEqual(wanted, self.rendered("host=testhost", tag), tag)
        print(f"sum of all points {sum(expected.values())}, difference 0")


if __name__ == "__main__":
    scenario.main()
