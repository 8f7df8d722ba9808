#!/usr/bin/python3
"""The verb `once`: script files without any configuration."""

import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402


class Once(scenario.Scenario):
    def once(self, name, text):
        scenario.needs_bpftrace()
        return subprocess.run(
            [scenario.program("binary"), "once", self.write(name, text)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, timeout=60, cwd=self.folder,
            check=False)

    def test_a_script_that_does_not_compile_is_said_at_once(self):
        result = self.once("bad.bt", "interval:s:1 { @x = count(); print(@x); "
                           "no_such_function(); }\n")
        self.assertEqual((69, ""), (result.returncode, result.stdout))
        self.assertIn("no_such_function", result.stderr)

    def test_one_slot_and_the_stanza_to_keep_it(self):
        result = self.once("beat.bt",
                           "interval:ms:100 { @beats = count(); }\n")
        self.assertEqual(0, result.returncode, result.stderr)
        lines = result.stdout.splitlines()
        self.assertEqual(1, len(lines), result.stdout)
        path, value, timestamp = lines[0].split(" ")
        self.assertRegex(path, r"^bpf\.[^.]+\.beat\.beats$")
        # From the attach to the end of the first whole slot of 15 s.
        self.assertTrue(100 <= int(value) <= 320, value)
        self.assertEqual(0, int(timestamp) % 15)
        self.assertTrue(re.search(r"traces \{\n  beat \{\n    script = \".*"
                                  r"/beat\.bt\"", result.stderr))


if __name__ == "__main__":
    scenario.main()
