"""What bpftrace printed, told without a line of the daemon's own code.

A life is one bpftrace process; a print is one map as it was printed. Truth is
{leaf: total} with a leaf (map, key parts joined by ",", last level of the
name), where the last level is the lower bound of a bucket, "" for a scalar,
"samples" or "total" for stats.
"""

import collections
import glob
import json

Print = collections.namedtuple("Print", "map values")  # values: {leaf: number}


def _added(pairs):
    """An object of JSON. Two keys of a map may look the same (what stands behind
    the end of a process's name is part of the key, but not printed): each
    counts."""
    result = {}
    for key, value in pairs:
        if key not in result:
            result[key] = value
        elif isinstance(value, dict):  # stats
            result[key] = {field: result[key][field] + number
                           for field, number in value.items()}
        else:  # numbers are added, the rows of a hist put together
            result[key] = result[key] + value
    return result


def _leaves(name, kind, value):
    """One map of a JSON record as {leaf: number}."""
    if kind == "hist":
        by_key = value if isinstance(value, dict) else {"": value}
        leaves = collections.Counter()
        for key, rows in by_key.items():
            for row in rows:
                lower = str(row["min"]) if "min" in row else "-inf"
                leaves[name, key, lower] += row["count"]
        return dict(leaves)
    if kind == "stats":
        by_key = {"": value} if "total" in value else value
        return {(name, key, level): one[field]
                for key, one in by_key.items()
                for level, field in (("samples", "count"), ("total", "total"))}
    by_key = value if isinstance(value, dict) else {"": value}
    return {(name, key, ""): number for key, number in by_key.items()}


def prints_in(output):
    """The prints in bpftrace's JSON, in order. What follows the last newline
    is a record cut by a kill: nobody could have read it."""
    found = []
    for line in output.split(b"\n")[:-1]:
        if not line.startswith(b"{"):
            continue
        record = json.loads(line, object_pairs_hook=_added)
        if record["type"] in ("map", "hist", "stats"):
            for name, value in record["data"].items():
                found.append(Print(name, _leaves(name, record["type"], value)))
    return found


def lives_of_tee(prefix):
    """The lives that tee_bpftrace kept under `//tee PREFIX`."""
    lives = []
    for name in sorted(glob.glob(glob.escape(prefix) + ".[0-9][0-9][0-9]")):
        with open(name, "rb") as file:
            lives.append(prints_in(file.read()))
    return lives


def events_of(record):
    """fake_bpftrace's record file, as far as it is written."""
    try:
        with open(record) as file:
            return [json.loads(line) for line in file if line.endswith("\n")]
    except FileNotFoundError:
        return []


def lives_of_fake(record):
    """The lives in a record file, (prints, how of each map). A print that the
    pipe did not take as a whole is left out."""
    events = events_of(record)
    lives, pending, how = [], {}, {}
    for event in events:
        if event["event"] == "start":
            lives.append([])
            pending = {}
        elif event["event"] == "print":
            values = {}
            for key, value in event["values"].items():
                if event["type"] in ("hist", "lhist"):
                    values |= {(event["map"], key,
                                "-inf" if lower == "neg" else lower): count
                               for lower, count in value.items()}
                elif event["type"] == "stats":
                    values[event["map"], key, "samples"] = value["count"]
                    values[event["map"], key, "total"] = value["total"]
                else:
                    values[event["map"], key, ""] = value
            pending[event["n"]] = Print(event["map"], values)
            how[event["map"]] = event["how"]
        elif event["event"] == "done":
            lives[-1].append(pending.pop(event["n"]))
    return lives, how


def total(lives, cumulative):
    """{leaf: total} over all lives. `cumulative`: maps that are never cleared,
    of which the last print of each life counts; of all others each print."""
    result = collections.Counter()
    for life in lives:
        last = {}
        for one in life:
            if one.map in cumulative:
                last |= one.values
            else:
                result.update(one.values)
        result.update(last)
    return dict(result)


def level(text):
    """One level of a name as design.md section 4 cleans it."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_"
                   for c in text)


def paths(totals, trace, prefix="bpf.testhost"):
    """{leaf: total} as {Graphite path: total}; keys that clean to one name are
    added, as the daemon adds them."""
    result = collections.Counter()
    for (name, key, leaf), value in totals.items():
        levels = [prefix, trace, level(name.lstrip("@"))]
        levels += [level(part) for part in key.split(",")] if key else []
        levels += [leaf] if leaf else []
        result[".".join(levels)] += value
    return dict(result)
