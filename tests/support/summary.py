"""The last words of tests/run: summary.py RESULTS LOGS SECONDS. One line a
phase, each skip with its reason, and one line for all tests together. Exit
status: 1 when a phase or a test failed, or was skipped where CI=true."""

import os
import pathlib
import re
import sys
import xml.etree.ElementTree as xml


def skips_in(text):
    """Reasons in the output of a test program: ours, or GoogleTest's (the
    lines between `Skipped` and the verdict)."""
    found = re.findall(r"^skipped: (.*)$", text, re.MULTILINE)
    for reason, name in re.findall(
            r"Skipped\n(.*?)\n*\[  SKIPPED \] (\S+)", text, re.DOTALL):
        found.append(f"{name}: {' '.join(reason.split())}")
    return found


def main():
    results, logs = map(pathlib.Path, sys.argv[1:3])
    passed = failed = skipped = bad = 0
    reasons = []
    print("\n== summary")
    for file in sorted(results.iterdir()):
        name, result, seconds, log = file.read_text().rstrip("\n").split("\t")
        bad += result == "FAILED"
        line = f"{result:8}{seconds:>6} s  {name}"
        reports = list(logs.glob(f"ctest-*-{int(file.name)}.xml"))
        if reports:
            counts = {"pass": 0, "fail": 0, "skip": 0}
            for case in xml.parse(reports[0]).getroot().iter("testcase"):
                said = case.findtext("system-out") or ""
                inside = skips_in(said)
                reasons += [f"{case.get('name')}: {one}" for one in inside]
                if case.get("status") == "run":
                    counts["pass"] += 1
                elif case.get("status") == "fail":
                    counts["fail"] += 1
                    line += f"\n{'':18}FAILED {case.get('name')}"
                else:
                    counts["skip"] += 1
                    if not inside:
                        reasons.append(f"{case.get('name')}: not run")
            line += (f": {counts['pass']} passed, {counts['fail']} failed, "
                     f"{counts['skip']} skipped")
            passed += counts["pass"]
            failed += counts["fail"]
            skipped += counts["skip"]
        elif result == "skipped":
            skipped += 1
            reasons += [f"{name}: {one}" for one
                        in skips_in(pathlib.Path(log).read_text())]
        print(line)
    for reason in reasons:
        print(f"skipped: {reason}")
    print(f"{int(sys.argv[3]) // 60} min {int(sys.argv[3]) % 60} s")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    if bad:
        print(f"{bad} phases FAILED")
    strict = os.environ.get("CI") == "true"
    if strict and reasons:
        print("a skip is a failure where CI=true")
    return 1 if bad or failed or (strict and reasons) else 0


if __name__ == "__main__":
    sys.exit(main())
