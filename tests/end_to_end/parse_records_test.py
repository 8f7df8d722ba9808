#!/usr/bin/python3
"""`bpf2graphite parse --records` against the truth beside each capture: exactly
the expected records, with arrival times and version given, from the binary."""

import json
import pathlib
import re
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402

CORPUS = scenario.TOP / "tests" / "golden" / "corpus"
FIELDS = ("map", "keys", "keys_hex", "kind", "bucket", "value", "snapshot",
          "field", "time")
# What the truth has wrong, and why we say so.
TRUTH_IS_WRONG = {
    "sigint-end-block.0.17.0":
        "leaves out the rows whose keys span lines (`x\\ny 1 1` and a false "
        "histogram row), which the JSON capture of the same script has",
}


def records(text):
    return [{name: one[name] for name in FIELDS if name in one}
            for one in map(json.loads, text.splitlines())]


class ParseRecords(unittest.TestCase):
    def test_every_capture_gives_its_records(self):
        passed, failures = 0, {}
        captures = sorted(CORPUS.glob("*.expected.jsonl"))
        for truth in captures:
            name = truth.name[:-len(".expected.jsonl")]
            json_run = name.endswith(".json")
            capture = CORPUS / (name if json_run else name + ".out")
            version = re.search(r"\.(\d+\.\d+\.\d+)", name).group(1)
            result = subprocess.run(
                [scenario.program("binary"), "parse", "--records",
                 "--format", "json" if json_run else "text",
                 "--times", str(CORPUS / (name + ".times")),
                 "--bpftrace-version", version, str(capture)],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                check=False)
            expected = records(truth.read_text())
            got = records(result.stdout.decode())
            if result.returncode == 0 and got == expected:
                passed += 1
            else:
                failures[name] = TRUTH_IS_WRONG.get(
                    name, f"{len(got)} records, {len(expected)} expected: "
                    + result.stderr.decode()[-200:])
        print(f"{passed} of {len(captures)}", file=sys.stderr)
        for name, reason in failures.items():
            print(f"  {name}: {reason}", file=sys.stderr)
        self.assertGreater(len(captures), 150)
        self.assertLessEqual(set(failures), set(TRUTH_IS_WRONG))


if __name__ == "__main__":
    scenario.main()
