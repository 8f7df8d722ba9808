"""The figures of tests/bench/run as tables, for a terminal and for README.md."""

import os
import shutil

BEGIN, END = "<!-- costs -->", "<!-- end -->"

OURS = "bpf2graphite"
OURS_BARE = "bpf2graphite, no own metrics, no watchdog"
LOOP = "bare loop"

# tests/bench/micro_*.cpp; built where this header is.
STAGES = {"parser", "slots", "names", "encoder"}
BENCHMARK_LIBRARY_HEADER = "/usr/include/benchmark/benchmark.h"

# RSS in MB, wake-ups a second with so many traces at work.
GOALS_BUSY = {1: (9, 3), 100: (10, 12), 1000: (16, 15)}


def number(value, digits=None):
    """Three significant digits, as a person writes them."""
    if value is None:
        return "-"
    if digits is not None:
        return f"{value:.{digits}f}"
    if value == 0:
        return "0"
    size = abs(value)
    return f"{value:.0f}" if size >= 99.5 else f"{value:.1f}" if size >= 9.95 \
        else f"{value:.2f}" if size >= 0.0995 else f"{value:.3f}"


def goals(figures):
    """[(what, goal, measured, verdict)]; verdict: met, missed, not measured."""
    result = []

    def at_most(what, limit, value, unit, digits=None):
        told = "-" if value is None else number(value, digits) + unit
        result.append((what, f"at most {limit}{unit}", told,
                       "not measured" if value is None
                       else "met" if value <= limit else "missed"))

    lines = [one for one in figures["lines"] if one["peer"] == OURS]
    for form in ("text", "JSON"):
        ratio = next((one["ratio"] for one in lines
                      if one["what"] == form + ", own writes"), None)
        at_most(f"CPU a row, {form}, bpftrace's own writes, pipe to socket",
                0.5, ratio, " of the bare loop")
    at_most("the same, the worst of all rows below", 1.0,
            max((one["ratio"] for one in lines), default=None),
            " of the bare loop")
    result.append(parsing_goal(figures))
    busy = {one["traces"]: one for one in figures["busy"]
            if one["peer"] == OURS}

    def of(traces, name):
        return busy[traces][name] if traces in busy else None
    at_most("1000 traces at work: CPU", 8, of(1000, "cpu_ms_s"), " ms/s")
    for traces, (memory, wakeups) in GOALS_BUSY.items():
        name = f"{traces} trace{'s' if traces > 1 else ''} at work: "
        at_most(name + "memory (RSS)", memory, of(traces, "rss_mb"), " MB")
        at_most(name + "wake-ups", wakeups, of(traces, "wakeups_s"), "/s")
    for peer, words, limit in ((OURS_BARE, "neither own metrics nor watchdog",
                                0), (OURS, "as shipped", 0.3)):
        at_most(f"nothing happens, {words}: wake-ups", limit,
                max((one["wakeups_s"] for one in figures["idle"]
                     if one["peer"] == peer), default=None), "/s", 2)
    result.append(life_goal(figures))
    result.append(("no slot late, no value missing in any run", "none",
                   "; ".join(figures["wrong"]) or "none",
                   "missed" if figures["wrong"] else "met"))
    return result


def life_goal(figures):
    """The whole life of a daemon with 1000 traces."""
    row = figures["life"][0] if figures["life"] else None
    what, goal = "1000 traces start, run a minute, reload, stop", "nothing lost"
    if row is None or row["traces"] < 1000 or row["run_s"] < 60:
        return what, goal, "-", "not measured"
    return (what, goal, f"values: {row['values']}; all print after "
            f"{row['start_s']:.1f} s, reloaded after {row['reload_s']:.1f} s, "
            f"stopped after {row['stop_s']:.1f} s",
            "met" if row["values"] == "all" else "missed")


def parsing_goal(figures):
    """Rows a CPU second of our JSON parser over the faster way of simdjson: the
    benchmarks `JSON` and `JSON, simdjson ...` of tests/bench/micro_parser."""
    what, goal = "JSON, rows a CPU second, parse only", "at least 2 times simdjson"
    rates = {one["what"]: one["items_s"] for one in figures["parsing"]
             if one["stage"] == "parser"}
    others = [rows for name, rows in rates.items()
              if name.startswith("JSON, simdjson")]
    if not others or "JSON" not in rates:
        return what, goal, "-", "not measured"
    ratio = rates["JSON"] / max(others)
    return (what, goal, f"{number(ratio)} times simdjson",
            "met" if ratio >= 2 else "missed")


def sections(figures, functions=10):
    """[(title, sentence, head, rows)], cells as texts; so many functions of each
    profile."""
    result = [("Goals", "", ["", "goal", "measured", ""], goals(figures))]
    if figures["lines"]:
        result.append((
            "As fast as it is read",
            "A row is a bucket of a histogram or a value. The bare loop formats "
            "and sends each row; the one with slots adds up and sends what we "
            "send.",
            ["printed", "program", "CPU s a million rows", "... points",
             "of the bare loop", "of the one with slots", "rows/s", "values"],
            [[one["what"], one["peer"], number(one["cpu_us_row"]),
              number(one["cpu_us_point"]), number(one["ratio"]),
              number(one["ratio_slots"]),
              f"{one['rows_s'] / 1e6:.2f} M", one["values"]]
             for one in figures["lines"]]))
    for name, title, sentence in (
            ("busy", "At work", "Each trace prints a histogram of 20 buckets a "
             "second, in JSON; slots and batches of 15 s, as shipped."),
            ("idle", "When nothing happens", "The same traces print nothing.")):
        if figures[name]:
            result.append((title, sentence, [
                "traces", "program", "CPU ms/s", "wake-ups/s",
                "CPU s a million points", "RSS MB", "PSS MB", "threads",
                "slots at most late", "values"],
                [[str(one["traces"]), one["peer"], number(one["cpu_ms_s"]),
                  number(one["wakeups_s"]), number(one["cpu_us_point"]),
                  number(one["rss_mb"]), number(one["pss_mb"]),
                  str(one["threads"]),
                  "-" if not one["late_s"] else f"{one['late_s']:.1f} s",
                  one["values"]] for one in figures[name]]))
    if figures["life"]:
        result.append((
            "From start to stop", "The same traces; the reload takes a "
            "hundredth of them out, changes as many, adds as many.",
            ["traces", "run for", "all print after", "reload: ready",
             "... all new ones print", "status --json", "its size", "stop",
             "rows printed", "slots at most late", "values"],
            [[str(one["traces"]), f"{one['run_s']} s", f"{one['start_s']:.1f} s",
              f"{one['ready_s']:.2f} s", f"{one['reload_s']:.2f} s",
              f"{one['status_s'] * 1000:.0f} ms",
              f"{one['status_bytes'] / 1024:.0f} KiB", f"{one['stop_s']:.2f} s",
              str(one["printed"]), f"{one['late_s']:.1f} s", one["values"]]
             for one in figures["life"]]))
    if figures["parsing"]:
        result.append((
            "Each stage alone", "Without actors, pipes and sockets, over prints "
            "of 20 buckets or 40 counts.", ["stage", "what", "of", "a CPU second",
                                            "ns each"],
            [[one["stage"], one["what"], one["of"],
              f"{one['items_s'] / 1e6:.1f} M", number(1e9 / one["items_s"])]
             for one in figures["parsing"]]))
    if figures["instructions"]:
        result.append((
            "Instructions a row", "By callgrind, without the kernel's: our "
            "stages without actors, pipes and sockets, and the whole bare loop; "
            "the functions of ours with the most.",
            ["printed", "ours", "bare loop", "ratio"],
            [[one["what"], number(one["ours"]), number(one["bare"]),
              number(one["ratio"])] for one in figures["instructions"]]))
        result.append((
            "Functions with the most instructions", "", ["printed", "function",
                                                         "a row"],
            [[one["what"], name, number(cost)]
             for one in figures["instructions"]
             for name, cost in one["functions"][:functions]]))
    elif "instructions" in figures.get("parts", []):
        result.append(("Instructions a row", "", ["", ""],
                       [["not measured", "valgrind is not installed"]]))
    return result


def heading(figures):
    text = (f"Measured on {figures['date']} by `{figures['command']}` on "
            f"{figures['machine']}, load {figures['load']:.1f} at its start.")
    if not figures["collectd"]:
        text += " collectd: not installed."
    return text


def as_text(figures):
    out = [heading(figures)]
    for title, sentence, head, rows in sections(figures):
        widths = [max(len(row[i]) for row in [head, *rows])
                  for i in range(len(head))]
        out += ["", f"== {title}"] + ([sentence] if sentence else [])
        out += ["  ".join(cell.ljust(width) if i < 2 or title == "Goals"
                          else cell.rjust(width)
                          for i, (cell, width)
                          in enumerate(zip(row, widths))).rstrip()
                for row in [head, *rows]]
    out += ["", f"{figures['seconds']:.0f} s; " + (
        "WRONG: " + "; ".join(figures["wrong"]) if figures["wrong"]
        else "every value of ours was delivered, in its slot")]
    return "\n".join(out)


def as_markdown(figures):
    def cell(text):
        return text.replace("|", "\\|").replace("<", "&lt;")
    out = [heading(figures)]
    for title, sentence, head, rows in sections(figures, functions=3):
        out += ["", f"**{title}.** {sentence}".rstrip(), "",
                "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        out += ["| " + " | ".join(map(cell, row)) + " |" for row in rows]
    return "\n".join(out)


def into_readme(figures, readme):
    head, rest = readme.read_text().split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    readme.write_text(f"{head}{BEGIN}\n{as_markdown(figures)}\n{END}{tail}")


def must_be_complete(figures, parts):
    """For the trial of the suite: every one of `parts` has its rows, and every
    row its figures. SystemExit names what is missing."""
    for part, peers in (("lines", {OURS, LOOP, "bare loop, slots",
                                   "Python pipeline"}),
                        ("busy", {OURS, LOOP, "bare loop, slots",
                                  "Python pipeline"}),
                        ("idle", {OURS, OURS_BARE, LOOP, "Python pipeline"})):
        if part not in parts:
            continue
        rows = figures[part]
        missing = peers - {one["peer"] for one in rows}
        if missing:
            raise SystemExit(f"bench: {part} has no {sorted(missing)}")
        for one in rows:
            empty = [name for name, value in one.items() if value is None
                     and name not in ("cpu_us_point", "late_s")]
            if empty:
                raise SystemExit(f"bench: {part}: {one['what']}, "
                                 f"{one['peer']} has no {empty}")
            if one["values"] != "all" and one["peer"] != "collectd":
                raise SystemExit(f"bench: {part}: {one['what']}, "
                                 f"{one['peer']}: {one['values']}")
    if "life" in parts and not figures["life"]:
        raise SystemExit("bench: life has no row")
    if "parsing" in parts and os.path.exists(BENCHMARK_LIBRARY_HEADER):
        missing = STAGES - {one["stage"] for one in figures["parsing"]}
        if missing or parsing_goal(figures)[-1] == "not measured":
            raise SystemExit("bench: Google Benchmark is installed, but there "
                             "is no figure of "
                             + (", ".join(sorted(missing)) or "simdjson")
                             + " (target micro_benchmarks)")
    if "instructions" in parts and shutil.which("valgrind") \
            and not figures["instructions"]:
        raise SystemExit("bench: valgrind is installed, but there are no "
                         "instructions")
    text = as_text(figures)
    for title, *_ in sections(figures):
        if f"== {title}" not in text or f"**{title}.**" \
                not in as_markdown(figures):
            raise SystemExit(f"bench: no table {title}")
