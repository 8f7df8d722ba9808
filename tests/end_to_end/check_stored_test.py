#!/usr/bin/python3
"""`check --deep` with `render-url`: what real carbon and graphite-web have
stored already, compared with what is sent. Files that fit bring no warning,
each kind of misfit brings its own with the lines that mend it, and a server
that is not there is told from one that has nothing yet."""

import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import carbon  # noqa: E402
import scenario  # noqa: E402
from daemon import Bare, Daemon  # noqa: E402

SCRIPT = """//fake hist map=@u values=4:3,8:1 every=200 kind=cleared
//fake count map=@n value=2 every=200 kind=cleared keys=a;b
interval:ms:200 { @u = hist(1); @n[comm] = count();
                  print(@u); clear(@u); print(@n); clear(@n); }
"""
# What else the server keeps, by prefix: (retentions, aggregationMethod).
OTHERS = {
    "coarse": ("60s:1d", "average"),  # one archive: nothing is rolled up
    "fine": ("1s:1h,10s:1d", "average"),
    "added": ("1s:1h,10s:1d", "sum"),
}


class CheckStored(scenario.Scenario):
    def daemon(self, prefix, **graphite):
        """One that sends to the lab, all its names below `prefix`."""
        folder = self.path(prefix)
        os.makedirs(folder, exist_ok=True)
        script = self.write(prefix + "/t.bt", SCRIPT)
        tagged = {"style": "tags"} if prefix == "fit" else {}
        # The fake compiles nothing; `-d` asks for that alone.
        program = self.write("compiles", "#!/bin/sh\ncase \" $* \" in *' -d '*)"
                             " exit 0;; esac\nexec " + scenario.program(
                                 "fake_bpftrace") + ' "$@"\n')
        os.chmod(program, 0o755)
        return Daemon(
            folder, {"plain": {"script": script, "percentiles": [50]},
                     "other": {"script": script, "keys": ["comm"], **tagged}},
            self.lab.port, bpftrace={"program": program},
            naming={"prefix": prefix}, own_metrics={"enabled": True},
            graphite={"interval": Bare("1s"), **graphite})

    def ours(self, daemon, *arguments):
        return subprocess.run(
            [scenario.program("binary"), *arguments, "--config",
             daemon.config], capture_output=True, text=True, timeout=120,
            check=False, stdin=subprocess.DEVNULL)

    def check(self, prefix, url=None, status=0):
        """(what it said of the stored series, its warnings)."""
        url = url or f"http://127.0.0.1:{self.lab.web}"
        done = self.ours(self.daemon(prefix, **{"render-url": url}),
                         "check", "--deep")
        self.assertEqual(status, done.returncode, done.stdout + done.stderr)
        said = re.search(r"^render-url .*?: (.*)$",
                         done.stdout.replace(url, "URL"), re.MULTILINE)
        return said[1], done.stderr

    def test_what_fits_and_what_does_not(self):
        scenario.needs_carbon()
        folder = self.path("graphite")
        os.mkdir(folder)
        self.lab = self.must_end(carbon.Carbon(folder, tags=True))
        generated = {
            name: self.read_generated(name)
            for name in ("storage-schemas.conf", "storage-aggregation.conf")}
        schemas, rules = generated.values()
        for prefix, (kept, method) in OTHERS.items():
            schemas += (f"[{prefix}]\npattern = ^{prefix}[.]\n"
                        f"retentions = {kept}\n")
            rules += (f"[{prefix}]\npattern = ^{prefix}[.]\nxFilesFactor = 0\n"
                      f"aggregationMethod = {method}\n")
        self.lab.write("conf/storage-schemas.conf", schemas)
        self.lab.write("conf/storage-aggregation.conf", rules)
        self.addCleanup(self.lab.stop)

        # ---- nobody there, the wrong one there, nothing there
        web = f"http://127.0.0.1:{self.lab.web}"
        self.lab.start()
        said, _ = self.check("fit", status=69)
        self.assertIn("Connection refused", said)
        self.lab.start_web()
        said, _ = self.check("fit", web + "/nowhere", status=69)
        self.assertIn("HTTP status 404", said)
        said, _ = self.check("fit", web + "/metrics/index.json", status=69)
        self.assertIn("not as Graphite's render API", said)
        said, warnings = self.check("fit")
        self.assertIn("nothing of this host yet", said)
        self.assertNotIn("warning", warnings)

        # ---- with values
        daemons = [self.must_end(self.daemon(prefix).start())
                   for prefix in ("fit", *OTHERS)]
        for prefix in ("fit", *OTHERS):
            scenario.wait_until(
                lambda prefix=prefix: any(
                    "traces" in name for name in
                    self.lab.series(prefix + ".testhost.bpf2graphite"))
                and self.lab.series(prefix + ".testhost.plain.u.derived"),
                60, f"series below {prefix}")
        for daemon in daemons:
            self.assertEqual(0, daemon.stop())
            # Of an hour ago, too: there is something that was rolled up.
            self.send_past(daemon, "plain")
            self.send_past(daemon, "other")
        self.lab.settle()

        said, warnings = self.check("fit")
        self.assertRegex(said, r"^good: [0-9]+ series .*rolled up was so")
        self.assertGreater(int(re.search(r"good: (\d+)", said)[1]), 45)
        self.assertEqual("", warnings)
        print(said, flush=True)

        said, warnings = self.check("coarse")
        self.assertIn("do not fit", said)
        self.assertRegex(warnings, r"warning: .* [0-9]+ series, such as coarse"
                         r"\.testhost\.\S+, have a step of 60 s, but a point is"
                         r" sent every 1 s: .* lost")
        self.assertIn("\n[coarse]\npattern = ^coarse[.;]\nretentions = 1s:11h,",
                      warnings)
        self.assertNotIn("aggregationMethod", warnings)

        said, warnings = self.check("fine")
        self.assertIn("do not fit", said)
        self.assertNotIn("step", warnings)
        self.assertIn("rolled up by aggregationMethod = average, which spoils "
                      "them: it has to be sum", warnings)
        self.assertEqual(1, warnings.count("warning"))
        self.assertIn("\n[fine]\npattern = ^fine[.;]\nxFilesFactor = 0\n"
                      "aggregationMethod = sum\n", warnings)

        said, warnings = self.check("added")
        self.assertIn("aggregationMethod = sum, which spoils them: it has to be"
                      " max", warnings)
        self.assertNotIn("has to be sum", warnings)

    def send_past(self, daemon, trace):
        """Values of the trace for ten coarse slots some minutes ago."""
        begun = int(time.time()) // 60 * 60 - 300
        text, times = "", ""
        for n in range(100):
            rows = [{"min": 4, "max": 7, "count": 3 + n % 4},
                    {"min": 1024, "max": 2047, "count": 1 + n % 3}]
            for kind, name, value in (("hist", "@u", rows),
                                      ("map", "@n", {"a": 2 + n % 2})):
                text += json.dumps({"type": kind, "data": {name: value}}) + "\n"
            times += f"{1000 * (n + 1)} {len(text)}\n"
        done = self.ours(daemon, "parse", "--trace", trace, "--format", "json",
                         "--time", str(begun), "--times",
                         self.write("times", times),
                         self.write("capture", text))
        self.assertEqual(0, done.returncode, done.stderr)
        with socket.create_connection(("127.0.0.1", self.lab.port)) as sender:
            sender.sendall(done.stdout.encode())

    def read_generated(self, name):
        out = self.path("generated")
        done = self.ours(self.daemon("fit"), "generate", "--output", out)
        self.assertEqual(0, done.returncode, done.stderr)
        return pathlib.Path(out, name).read_text()


if __name__ == "__main__":
    scenario.main()
