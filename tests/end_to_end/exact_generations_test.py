#!/usr/bin/python3
"""What every generation of bpftrace prints, as text and as JSON, arrives to the
unit: cleared and cumulative maps of every kind, top-N prints, bpftraces that
exit and that are killed, a daemon that is restarted within a slot."""

import os
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
import truth  # noqa: E402
from daemon import Bare, Daemon  # noqa: E402
from receiver import Receiver  # noqa: E402

VERSIONS = ("0.9.4", "0.12.1", "0.13.0", "0.17.0", "0.21.3", "0.22.1",
            "0.23.2", "0.24.2", "0.27.1")
LONG = os.environ.get("BPF2GRAPHITE_LONG") == "1"
KEYS = ("", r"bash;tmux:\x20server;(sd-pam);caf-e",
        r"bash,7;tmux:\x20server,8;x=y,-1")
SCRIPT_KEYS = ("", "[comm]", "[comm, pid]")
FILLINGS = {"hist": "hist($x)", "lhist": "lhist($x, 0, 100, 10)",
            "count": "count()", "sum": "sum(1)", "stats": "stats(1)",
            "avg": "avg(1)"}


def minor_of(version):
    return int(version.split(".")[1])


def as_printed(key, minor, json):
    """What can be known of a key: 0.24 and later lose some of it."""
    if minor >= 24 and json:
        key = key.replace(" ", "")
    if minor >= 24 and key.startswith("(") and key.endswith(")"):
        key = key[1:-1]
    return key


class Maps:
    """Six maps of one trace, drawn from a seed: a script and what its fake
    prints."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.fake, self.script, self.cumulative, self.averages = [], [], [], []
        for kind, filling in FILLINGS.items():
            self.add(kind, filling)

    def pick(self, low, high):
        return self.random.randint(low, high)

    def values(self, kind):
        if kind == "hist":
            rows = ["neg", "0", "1"] + [str(1 << n) for n in range(1, 31)]
        elif kind == "lhist":
            rows = ["neg"] + [str(n) for n in range(0, 101, 10)]
        elif kind in ("count", "sum"):
            return f"value={self.pick(1, 1 << self.pick(1, 40))}"
        else:
            return (f"count={self.pick(1, 9)} "
                    f"total={self.pick(-500 if kind == 'avg' else 0, 5000)}")
        chosen = self.random.sample(rows, self.pick(1, 4))
        return "values=" + ",".join(
            f"{row}:{self.pick(1, 1 << self.pick(1, 20))}" for row in chosen)

    def add(self, kind, filling):
        name = "@" + kind[0] + kind
        every = self.pick(4, 9) * 100
        parts = self.pick(0, 2)
        way = self.random.choice(("cleared", "cumulative", "top"))
        if parts == 0 and way == "top":
            way = "cumulative"
        if kind == "avg":
            self.averages.append(name)
        if way != "cleared":
            self.cumulative.append(name)
        top = "top=2 " if way == "top" else ""
        self.fake.append(
            f"{kind} map={name} keys={KEYS[parts]} {self.values(kind)} {top}"
            f"every={every} vary={self.pick(1, 4)} rest={self.pick(0, 3)} "
            f"kind={'cleared' if way == 'cleared' else 'cumulative'}")
        clear = f" clear({name});" if way == "cleared" else ""
        self.script.append(
            f"tracepoint:a:b {{ $x = args->x; {name}{SCRIPT_KEYS[parts]} = "
            f"{filling}; }}\ninterval:ms:{every} {{ print({name}"
            f"{', 2' if top else ''});{clear} }}\n")

    def text(self, record, ends):
        lines = [f"//fake record path={record}", *ends]
        return ("".join(f"{line}\n" for line in lines)
                + "".join(f"//fake {line}\n" for line in self.fake)
                + "".join(self.script))


class Generations(scenario.Scenario):
    def trace(self, version, form, seed):
        name = f"v{minor_of(version)}-{form}"
        link = self.path(f"fake_bpftrace-{version}")
        if not os.path.lexists(link):
            os.symlink(scenario.program("fake_bpftrace"), link)
        maps = Maps(seed)
        draw = random.Random(seed)
        # The first ends by itself and shows its maps, the second is killed
        # between two prints; those after them until the daemon ends.
        first, second = draw.randint(5, 15), draw.randint(3, 12)
        script = self.write(f"{name}.bt", maps.text(self.path(name), (
            f"//fake exit prints={first} dump=yes code=1 life=1",
            f"//fake die prints={second} life=2")))
        return name, {"script": script, "program": link, "format": form}, maps

    def expected(self, name, maps, minor, json):
        lives, _ = truth.lives_of_fake(self.path(name))
        totals = {}
        for (map_, key, leaf), value in truth.total(
                lives, maps.cumulative).items():
            if map_ in maps.averages:
                continue
            key = as_printed(key, minor, json)
            totals[map_, key, leaf] = totals.get((map_, key, leaf), 0) + value
        return lives, truth.paths(totals, name)

    def test_every_generation_arrives_to_the_unit(self):
        resolution = 4
        receiver = self.must_end(Receiver())
        traces, plans = {}, []
        for seed, (version, form) in enumerate(
                (v, f) for v in VERSIONS for f in ("text", "json")):
            name, trace, maps = self.trace(version, form, seed)
            traces[name] = trace
            plans.append((name, maps, minor_of(version), form == "json"))
        daemon = self.must_end(Daemon(
            self.folder, traces, receiver.port,
            graphite={"interval": Bare("2s")},
            bpftrace={"starts-at-once": 18},
            slots={"resolution": Bare(f"{resolution}s")}))

        def lives(name):
            return len(truth.lives_of_fake(self.path(name))[0])

        def prints(name):
            return sum(len(one)
                       for one in truth.lives_of_fake(self.path(name))[0])

        runs = 6 if LONG else 3
        for run in range(runs):
            before = {name: (lives(name), prints(name)) for name in traces}
            daemon.start()
            scenario.wait_until(lambda before=before, run=run: all(
                prints(name) >= before[name][1] + 12
                and lives(name) >= (3 if run == 0 else before[name][0] + 1)
                for name in traces), 60, "each trace has printed a while")
            self.assertEqual(0, daemon.stop())
        self.assertEqual([], receiver.bad)
        self.assertEqual({}, receiver.conflicts(),
                         "a series and time stamp was sent with two values")
        sums = receiver.sums()
        by_time = receiver.values()
        print("\ntrace        lives prints series points  difference")
        for name, maps, minor, json in plans:
            own = {path: total for path, total in sums.items()
                   if path.startswith(f"bpf.testhost.{name}.")
                   and not path.endswith(".average")}
            for average in maps.averages:
                gauge = f"bpf.testhost.{name}.{average[1:]}"
                own = {path: total for path, total in own.items()
                       if path != gauge and not path.startswith(gauge + ".")}
            told, expected = self.expected(name, maps, minor, json)
            wrong = sum(abs(own.get(path, 0) - expected.get(path, 0))
                        for path in set(own) | set(expected))
            points = sum(path.startswith(f"bpf.testhost.{name}.")
                         for path, _ in by_time)
            print(f"{name:12} {len(told):5} {sum(map(len, told)):6} "
                  f"{len(own):6} {points:6}  {wrong}")
            self.same_sums(own, expected, name)
            # A gauge shows what was printed, nothing in between.
            for average in maps.averages:
                shown = {value for life in told for one in life
                         if one.map == average for value in one.values.values()}
                gauge = f"bpf.testhost.{name}.{average[1:]}"
                sent = {value for (path, _), value in by_time.items()
                        if path == gauge or path.startswith(gauge + ".")}
                self.assertTrue(sent)
                self.assertLessEqual(sent, shown)
        books = daemon.ledger()
        self.assertEqual((0, 0), (books["rejected"], books["invalid"]), books)
        self.assertEqual(
            books["read"],
            sum(books[name] for name in
                ("measured", "combined", "unchanged", "merged", "folded",
                 "open", "dropped_values", "crash")), books)


if __name__ == "__main__":
    scenario.main()
