#!/usr/bin/python3
"""The table of all 36 rows of the fault matrix, from what fault_matrix.py kept.

    fault_table.py FOLDER              for a terminal: the last words of tests/run
    fault_table.py FOLDER --markdown   for README.md's section on reliability
    fault_table.py FOLDER --readme README.md   puts it there, between the marks
                                       <!-- fault matrix --> ... <!-- end -->

A row without a report is `not run`. Exit status 0: judging is the tests' work.
"""

import collections
import json
import pathlib
import sys
import textwrap

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from fault_matrix import ROWS, figure_text  # noqa: E402

BEGIN, END = "<!-- fault matrix -->", "<!-- end -->"


def measured(parts):
    """(verdict, figures in words) of the parts of one row."""
    if not parts:
        return "not run", "no test reported it"
    texts = []
    for part in parts:
        words = [figure_text(one) for one in part["figures"]]
        words += [part["reason"]] if part["reason"] else []
        text = "; ".join(words) or "no figure"
        texts.append(f"{part['part']}: {text}" if part["part"] else text)
    verdicts = {part["verdict"] for part in parts}
    verdict = next(one for one in ("missed", "met", "not run")
                   if one in verdicts)
    if verdict == "met" and "not run" in verdicts:
        verdict = "met in part"
    return verdict, ". ".join(texts)


def rows(folder):
    """[(row, verdict, figures in words)] of all rows."""
    parts = collections.defaultdict(list)
    for file in sorted(pathlib.Path(folder).glob("*.json")):
        part = json.loads(file.read_text())
        parts[part["row"]].append(part)
    return [(row, *measured(parts[number])) for number, row in ROWS.items()]


def as_text(table):
    lines = ["== fault matrix: required, measured"]
    for row, verdict, figures in table:
        lines.append(f"{row.number:>3} {verdict:11} {row.name}")
        for word, text in (("required", row.required), ("measured", figures)):
            lines += textwrap.wrap(f"{word}: {text}", 80, initial_indent=" " * 16,
                                   subsequent_indent=" " * 18)
    counts = collections.Counter(verdict for _, verdict, _ in table)
    lines.append("fault matrix: " + ", ".join(
        f"{counts[verdict]} {verdict}"
        for verdict in ("met", "met in part", "missed", "not run")))
    return "\n".join(lines)


def as_markdown(table):
    def cell(text):
        return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")

    lines = ["| # | fault | required | measured | |", "|---|---|---|---|---|"]
    lines += [f"| {row.number} | {cell(row.name)} | {cell(row.required)} "
              f"| {cell(figures)} | {verdict} |"
              for row, verdict, figures in table]
    return "\n".join(lines)


def main(words):
    table = rows(words[0])
    if words[1:] == ["--markdown"]:
        print(as_markdown(table))
    elif words[1:2] == ["--readme"]:
        readme = pathlib.Path(words[2])
        head, rest = readme.read_text().split(BEGIN, 1)
        tail = rest.split(END, 1)[1]
        readme.write_text(f"{head}{BEGIN}\n{as_markdown(table)}\n{END}{tail}")
    else:
        print("\n" + as_text(table))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
