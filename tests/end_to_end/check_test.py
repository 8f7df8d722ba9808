#!/usr/bin/python3
"""`check` names every mistake of a configuration at once, with its line."""

import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402

# Each line that ends in a comment `1` to `10` is one mistake.
MISTAKES = """graphite {
  server = "localhost"
  port = 99999                    # 1 out of range
  intervall = 15s                 # 2 unknown key: interval
  delivery = "sometimes"          # 3 not one of the words
  interval = "soon"               # 4 no duration
}
naming {
  map-level = 7                   # 5 wrong type
}
slots {
  zero-fill-for = -1h             # 6 out of range
}
limits {
  line-bytes-max = "64Kilo"       # 7 no size
}
grafite {                         # 8 unknown group: graphite
}
traces {
  cpu-lat {
    script = "good.bt"
    percentiles = [50, 150]       # 9 out of range
  }
  other {
    script = "nowhere.bt"         # 10 no such file
  }
}
"""
GOOD = "interval:s:1 { @usecs = hist(5); print(@usecs); clear(@usecs); }\n"


class Check(scenario.Scenario):
    def check(self, text, *arguments):
        self.write("good.bt", GOOD)
        config = self.write("caf-application.conf", text)
        return subprocess.run(
            [scenario.program("binary"), "check", "--config", config,
             *arguments], capture_output=True, text=True, timeout=30,
            stdin=subprocess.DEVNULL, cwd=self.folder, check=False,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"})

    def test_ten_mistakes_are_ten_messages(self):
        result = self.check(MISTAKES)
        self.assertEqual(78, result.returncode, result.stderr)
        said = set(map(int, re.findall(r"caf-application\.conf:(\d+)\b",
                                       result.stderr)))
        lines = MISTAKES.splitlines()
        mistaken = {number for number, line in enumerate(lines, 1)
                    if re.search(r"# \d+ ", line)}
        self.assertEqual(10, len(mistaken))
        self.assertEqual(mistaken, said, result.stderr)
        self.assertRegex(result.stderr, r'"intervall".*\binterval\b')
        self.assertRegex(result.stderr, r'"grafite".*\bgraphite\b')
        self.assertIn("nowhere.bt", result.stderr)
        self.assertEqual("", result.stdout)

    def test_a_script_that_never_prints_is_refused_with_the_reason(self):
        self.write("mute.bt", "BEGIN { $x = 1; }\n")
        result = self.check('traces { mute { script = "mute.bt" } }\n')
        self.assertEqual(78, result.returncode, result.stderr)
        self.assertIn("mute", result.stderr)
        self.assertRegex(result.stderr, "(?i)print")

    def test_a_good_one_shows_the_plan(self):
        result = self.check('traces { cpu-lat { script = "good.bt" } }\n')
        self.assertEqual(0, result.returncode, result.stderr)
        for part in ("cpu-lat", "cleared", "15s"):
            self.assertIn(part, result.stdout)

    def test_the_shipped_configuration_is_good(self):
        for name in ("caf-application.conf", "original.conf"):
            with self.subTest(name=name):
                shipped = scenario.TOP / "config" / name
                result = subprocess.run(
                    [scenario.program("binary"), "check", "--config", shipped],
                    capture_output=True, text=True, timeout=30, check=False,
                    stdin=subprocess.DEVNULL)
                self.assertEqual(0, result.returncode, result.stderr)
                self.assertIn("cpu-lat", result.stdout)

    def test_the_daemon_refuses_what_check_refuses(self):
        self.write("good.bt", GOOD)
        config = self.write("bad.conf", "graphite { port = 0 }\n")
        result = subprocess.run(
            [scenario.program("binary"), "--config", config], check=False,
            capture_output=True, text=True, timeout=30,
            stdin=subprocess.DEVNULL)
        self.assertEqual(78, result.returncode, result.stderr)
        self.assertIn("bad.conf:1", result.stderr)


if __name__ == "__main__":
    scenario.main()
