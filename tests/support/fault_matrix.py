#!/usr/bin/python3
"""The fault matrix: its 36 rows, and how a test reports the figures of a row.

In a test:

    from fault_matrix import LONG, row

    with row(8) as report:
        ...                                   # the fault, the assertions
        report.figure("RSS growth", grown, "MiB", at_most=1)
        report.figure("values lost", lost, exactly=0)
        report.figure("lines per second", rate)          # told, not judged

`row(number, part="")` writes its file when the block ends, however it ends:
figures that miss their limit make the row `missed` but fail no test (what must
hold for the test to pass, it asserts itself); an exception makes it `missed`
with the exception's first line, a unittest.SkipTest `not run` with its reason.
Several tests may report one row, each with a `part` of its own ("fake", "real
bpftrace"): the row is met when all parts are. A part that reports again
replaces itself.

`LONG` is true in the long form (BPF2GRAPHITE_LONG=1, as `tests/run soak` has
it, or BPF2GRAPHITE_SOAK_SECONDS is set).

From a shell, where no Python test runs (NAME:VALUE[:UNIT[:RULE]], the rule
`<=N`, `>=N` or `=N`):

    tests/support/fault_matrix.py 9 fuzz 'crashes:0::=0' 'execs:8123:/s'

Files: a JSON object each, NN-part.json, in the folder that the environment
variable BPF2GRAPHITE_FAULT_FIGURES names; without it the figures are only
printed. tests/support/fault_table.py reads them.
"""

import collections
import contextlib
import json
import os
import re
import sys
import unittest

LONG = os.environ.get("BPF2GRAPHITE_LONG") == "1" or \
    bool(os.environ.get("BPF2GRAPHITE_SOAK_SECONDS"))

Row = collections.namedtuple("Row", "number name required")

ROWS = {number: Row(number, name, required) for number, name, required in (
    (1, "bpftrace ends: SIGKILL, SIGSEGV, exit 1, exit 0",
     "new process <= 0.5 s the first time; lost 0; gaps in others 0"),
    (2, "bpftrace always ends at once, for 120 s",
     "starts <= 25; our CPU < 1 %; log lines <= 1 per 30 s"),
    (3, "bpftrace's binary missing, back 10 s later",
     "running <= 30 s after its return"),
    (4, "bpftrace ignores SIGINT and SIGTERM",
     "stop of 50 in parallel <= 6 s"),
    (5, "bpftrace silent but alive",
     "noticed <= the limit + 1 s"),
    (6, "bpftrace hangs in write, since we are slow",
     "RSS growth < 5 MiB"),
    (7, "flood, beside 9 normal scripts",
     "others late < 1 s; RSS growth < 16 MiB; lost of others 0"),
    (8, "1 GiB without a newline",
     "RSS growth < 1 MiB; the next line parsed"),
    (9, "random bytes, fuzzers with ASan and UBSan",
     "crashes 0; executions a second told"),
    (10, "hostile process names, real bpftrace",
     "bytes outside the alphabet 0; forged rows accepted 0 (JSON)"),
    (11, "100 000 random names",
     "series <= max-series; sums exact; RSS growth < 32 MiB"),
    (12, "Graphite refuses for 10 minutes",
     "lost 0; delivery <= 5 s after its return; attempts a minute <= 40"),
    (13, "name does not resolve, then does; its address changes",
     "lost 0; stall of parsing 0 ms"),
    (14, "Graphite accepts and never reads",
     "lost 0; duplicates told"),
    (15, "reset or close after k bytes, each k",
     "lost 0; each batch sent again once"),
    (16, "close after each batch, 1000 batches",
     "lost 0"),
    (17, "black hole in the middle of a connection",
     "noticed <= 12 s; delivery <= 5 s after it heals"),
    (18, "slow link, 256 kbit/s",
     "lost 0 up to the buffer; then dropped = counted"),
    (19, "outage longer than the buffer",
     "accepted + dropped = issued, exactly"),
    (20, "poisoned line: Graphite hangs up on it",
     "lost 1, counted; others 0; <= 60 s"),
    (21, "Graphite SIGKILLed with data unread, and read but unstored",
     "lost 0 where its cache was younger than resend"),
    (22, "wall clock +2 h, -2 h",
     "flush period off < 0.5 s; lost 0; rewritten slots counted"),
    (23, "suspended for 60 s",
     "lost 0; restarts 0"),
    (24, "no descriptors left",
     "lost 0 for running scripts; the daemon lives"),
    (25, "memory limit 256 MiB and a big child",
     "alive; our largest RSS told"),
    (26, "fork fails: pids limit",
     "alive; running <= 30 s after"),
    (27, "stderr blocked, journal's disk full",
     "delivery late < 1 s"),
    (28, "SIGTERM while 20 scripts print",
     "Graphite up: lost 0, <= 5 s; down: <= stop-timeout + flush-timeout, "
     "loss told"),
    (29, "second SIGTERM or SIGINT",
     "<= 0.5 s; orphans 0"),
    (30, "SIGKILL of the daemon at random moments, 200 times",
     "orphans after 1 s: 0; lost <= open slots + not accepted"),
    (31, "SIGHUP with a good and a bad configuration",
     "processes of unchanged scripts identical"),
    (32, "a second copy",
     "exits 75 at once; the first undisturbed"),
    (33, "an actor throws",
     "lost 0 but what is counted; back <= 1 s"),
    (34, "event loop blocked, real systemd",
     "restarted <= WatchdogSec + 1 s"),
    (35, "soak: 100 fakes, faults at random from a seed",
     "lost 0; RSS slope < 1 MiB/h; descriptor slope 0"),
    (36, "start with Graphite down, no network, no script able to start",
     "READY <= 2 s"),
)}


class Report:
    """The figures of one part of one row. Made by row()."""

    def __init__(self, number, part):
        self.row = ROWS[number]
        self.part = part
        self.figures = []  # {"name", "value", "unit", "limit", "met"}
        self.result = None  # "missed" or "not run", with self.reason
        self.reason = ""

    def figure(self, name, value, unit="", at_most=None, at_least=None,
               below=None, exactly=None):
        """Notes one figure. `value`: a number or a short text. The limits,
        where given, decide whether it is met. Returns whether it is."""
        limits = [(word, limit, holds(value, limit)) for word, limit, holds in (
            ("<=", at_most, lambda a, b: a <= b),
            (">=", at_least, lambda a, b: a >= b),
            ("<", below, lambda a, b: a < b),
            ("=", exactly, lambda a, b: a == b)) if limit is not None]
        met = all(holds for _, _, holds in limits)
        self.figures.append({
            "name": name, "value": value, "unit": unit, "met": met,
            "limit": ", ".join(f"{word} {limit}" for word, limit, _ in limits)})
        return met

    def verdict(self):
        """"met", "missed" or "not run"."""
        if self.result:
            return self.result
        if not self.figures:
            return "not run"
        return "met" if all(one["met"] for one in self.figures) else "missed"

    def as_text(self):
        parts = [figure_text(one) for one in self.figures]
        if self.reason:
            parts.append(self.reason)
        return "; ".join(parts)

    def write(self):
        """Prints it, and keeps it where a folder for that is named."""
        where = f"row {self.row.number}" + (f" ({self.part})" * bool(self.part))
        print(f"fault matrix: {where}: {self.row.name}\n"
              f"  required: {self.row.required}\n"
              f"  measured: {self.as_text()}\n"
              f"  {self.verdict()}", file=sys.stderr, flush=True)
        folder = os.environ.get("BPF2GRAPHITE_FAULT_FIGURES")
        if not folder:
            return
        os.makedirs(folder, exist_ok=True)
        name = f"{self.row.number:02}" + \
            ("-" + re.sub(r"[^A-Za-z0-9]+", "_", self.part)) * bool(self.part)
        half = os.path.join(folder, f".{name}.{os.getpid()}")
        with open(half, "w") as file:
            json.dump({"row": self.row.number, "part": self.part,
                       "long": LONG, "verdict": self.verdict(),
                       "figures": self.figures, "reason": self.reason}, file)
        os.replace(half, os.path.join(folder, name + ".json"))


def figure_text(figure):
    """One figure for a person: `RSS growth 0.4 MiB`."""
    value = figure["value"]
    if isinstance(value, float):
        value = f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    text = f"{figure['name']} {value}"
    if figure["unit"]:
        text += f" {figure['unit']}"
    if not figure["met"]:
        text += f" (not {figure['limit']})"
    return text


@contextlib.contextmanager
def row(number, part=""):
    """Reports that row from the block; see the head of this file."""
    report = Report(number, part)
    try:
        yield report
    except unittest.SkipTest as skip:
        report.result, report.reason = "not run", str(skip)
        raise
    except BaseException as error:
        report.result = "missed"
        first = (str(error).splitlines() or [""])[0][:200]
        report.reason = f"{type(error).__name__}: {first}"
        raise
    finally:
        report.write()


def _figure_of(report, text):
    name, value, unit, rule = (text.split(":", 3) + ["", "", ""])[:4]
    number = float(value) if "." in value else int(value)
    limits = {}
    if rule:
        word, limit = re.fullmatch(r"(<=|>=|=|<)(.+)", rule).groups()
        limits[{"<=": "at_most", ">=": "at_least", "=": "exactly",
                "<": "below"}[word]] = float(limit)
    report.figure(name, number, unit, **limits)


def main(words):
    """ROW PART FIGURE..."""
    report = Report(int(words[0]), words[1])
    for text in words[2:]:
        _figure_of(report, text)
    report.write()


if __name__ == "__main__":
    main(sys.argv[1:])
