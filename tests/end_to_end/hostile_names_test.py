#!/usr/bin/python3
"""Real unprivileged processes with hostile names under a real bpftrace, text
and JSON: nothing outside the clean alphabet is on the wire, and in JSON nothing
that a name imitates counts: no row, no map, no metric."""

import collections
import ctypes
import json
import os
import pathlib
import random
import re
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
from fault_matrix import row  # noqa: E402
from daemon import Daemon  # noqa: E402
from receiver import Receiver  # noqa: E402

NOBODY = 65534
# Proven attacks, and what else a line, a row, a path or a tag could be made of.
LISTED = [
    b"x\ny 1 1", b"\n[1, 2) 99 |\n", b"x, y", b"@us[x]: 9", b"a;dc=evil",
    b"../../etc", b"\x1b[31mred\x1b[0m", b"\xff\xfe", b"x]: 7\n@c[y]: 9",
    b"\n@c: 99\n", b"\n\n@c[z]: 99\n", b"x\\", b'"}}\n{"', b"\\uffffffc3",
    b"a.b.c", b"...", b" ", b"\t\r", b"(sd-pam)", b"{a=b}", b"]", b"\x7f\x01",
    b"caf\xc3\xa9 \xe2\x82", b"Lost 5 events\n",
    # of a printf metric
    b'a"} 99\nf="', b"\nforged 99\n", b'a",b="c', b"x 99", b"9\nforged 9"]

SCRIPTS = {
    "count": "tracepoint:syscalls:sys_enter_getppid /uid == 65534/ "
             "{ @c[comm] = count(); }\n"
             "interval:ms:300 { print(@c); clear(@c); }\n",
    "hist": "tracepoint:syscalls:sys_enter_getppid /uid == 65534/ "
            "{ @h[comm, pid % 2] = hist(pid % 3 + 4); }\n"
            "interval:ms:300 { print(@h); clear(@h); }\n",
    "metric": "tracepoint:syscalls:sys_enter_getppid /uid == 65534/ "
              '{ printf("runs{comm=\\"%s\\"} %d\\n", comm, 1); }\n',
}
WIRE = re.compile(r"[A-Za-z0-9_.-]+")
LEAVES = {"4"} # of the hist: 4 to 6


def names():
    chance = random.Random(20)
    return LISTED + [
        bytes(chance.randrange(1, 256) for _ in range(chance.randint(1, 15)))
        for _ in range(60)] + [
        bytes(chance.choice(b"\n\r\"\\@[]{}(),:;=|. 1a")
              for _ in range(chance.randint(1, 15))) for _ in range(60)]


def be_hostile(rounds, pause):
    """In a process of nobody's: takes each name and does what is traced."""
    libc = ctypes.CDLL(None)
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    for _ in range(rounds):
        for name in names():
            libc.prctl(15, name, 0, 0, 0)  # PR_SET_NAME
            os.getppid()
        time.sleep(pause)


class Tap(Receiver):
    """Also keeps every byte outside the alphabet of a line."""

    def __init__(self):
        self.bytes = 0
        self.outside = collections.Counter()
        super().__init__()

    def _keep(self, line, number):
        self.bytes += len(line) + 1
        for byte in line:
            if chr(byte) not in ("ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz0123456789_.- "):
                self.outside[byte] += 1
        super()._keep(line, number)


class HostileNames(scenario.Scenario):
    def setUp(self):
        super().setUp()
        scenario.needs_bpftrace()

    def attack(self, form):
        """All scripts in that format under attack: (receiver, ledger)."""
        receiver = self.must_end(Tap())
        traces = {name: {"script": self.write(
            f"{form}-{name}.bt", f"//tee {self.path(form + '-' + name)}\n{text}"),
                         "format": form, "printf-metrics": name == "metric",
                         "accumulate": "cleared" if name == "metric" else "",
                         "max-series": 5000}
                  for name, text in SCRIPTS.items()}
        for trace in traces.values():
            if not trace["accumulate"]:
                del trace["accumulate"]
        daemon = self.must_end(Daemon(
            self.folder, traces, receiver.port,
            bpftrace={"program": scenario.program("tee_bpftrace")}))
        daemon.start()
        attacker = os.fork()
        if attacker == 0:
            be_hostile(3000, 0.1)
            os._exit(0)

        def stop_attack():
            nonlocal attacker
            if attacker:
                os.kill(attacker, 9)
                os.waitpid(attacker, 0)
                attacker = None

        self.addCleanup(stop_attack)
        scenario.wait_until(
            lambda: all(len({line.timestamp for line in receiver.taken()
                             if line.path.split(".")[2] == name}) >= 4
                        for name in SCRIPTS), 40, "four slots of each trace")
        stop_attack()
        self.assertEqual(0, daemon.stop())
        self.assertEqual([], receiver.bad)
        self.assertEqual({}, receiver.conflicts())
        return receiver, daemon.ledger()

    def judge_wire(self, receiver):
        for line in receiver.taken():
            self.assertRegex(line.path, rf"\A{WIRE.pattern}\Z")
        self.assertEqual({}, dict(receiver.outside))

    def printed(self, form, name):
        """What tee_bpftrace kept, as bytes."""
        return b"".join(path.read_bytes() for path in sorted(
            pathlib.Path(self.folder).glob(f"{form}-{name}.[0-9]*")))

    def test_json_takes_nothing_that_a_name_imitates(self):
        receiver, ledger = self.attack("json")
        self.judge_wire(receiver)
        forged = [line for line in receiver.taken()
                  if self.is_forged(line)]
        # The truth, record by record, with bpftrace's own byte escapes.
        sums = receiver.sums()
        seen = set()
        for name in ("count", "hist"):
            truth_sum = 0
            for row in self.printed("json", name).split(b"\n"):
                if row.startswith(b'{"type": "map"'):
                    keys = json.loads(row)["data"]["@c"]
                    seen |= set(keys)
                    truth_sum += sum(keys.values())
                elif row.startswith(b'{"type": "hist"'):
                    truth_sum += sum(bucket["count"] for rows in
                                     json.loads(row)["data"]["@h"].values()
                                     for bucket in rows)
            sent = sum(value for path, value in sums.items()
                       if path.split(".")[2] == name)
            self.assertEqual(truth_sum, sent, f"values of {name}")
            self.assertGreater(truth_sum, 0)
        # Each name was one key (the kernel keeps 15 bytes of it).
        self.assertEqual(len({name[:15] for name in names()}), len(seen))
        # Each call of printf is one line, or is rejected.
        calls = self.printed("json", "metric").count(b'{"type": "printf"')
        taken = sum(value for path, value in sums.items()
                    if path.split(".")[2] == "metric")
        self.assertEqual(calls, taken + ledger["printf_rejected"])
        more = {path for path in sums if path.startswith(
            "bpf.testhost.metric.") and path.count(".") > 4}
        print(f"json: {len(names())} names, {receiver.bytes} bytes on the wire,"
              f" outside the alphabet: {sum(receiver.outside.values())}; "
              f"{len(receiver.taken())} values, forged: {len(forged)}; printf "
              f"lines taken {taken}, rejected {ledger['printf_rejected']}, "
              f"labels that a name added: {sorted(more)}")
        self.report("json", receiver, len(forged), exactly=0)
        self.assertEqual([], forged)
        self.assertEqual(0, ledger["rejected"] + ledger["invalid"])

    @staticmethod
    def report(form, receiver, forged, **limit):
        with row(10, form) as told:
            told.figure("names", len(names()))
            told.figure("bytes outside the alphabet",
                        sum(receiver.outside.values()), exactly=0)
            told.figure("forged values accepted", forged, **limit)

    def test_text_sends_only_clean_names(self):
        receiver, ledger = self.attack("text")
        self.judge_wire(receiver)
        forged = [line for line in receiver.taken() if self.is_forged(line)]
        print(f"text: {len(names())} names, {receiver.bytes} bytes on the wire,"
              f" outside the alphabet: {sum(receiver.outside.values())}; "
              f"{len(receiver.taken())} values, forged (text cannot tell): "
              f"{len(forged)} in {sorted({line.path for line in forged})}; "
              f"rows rejected {ledger['rejected']}")
        self.report("text", receiver, len(forged))  # told: text cannot tell

    @staticmethod
    def is_forged(line):
        """A map, a metric or a row that no script has. (That no value of a
        true one was forged, the sums tell.)"""
        _, _, trace, what, *rest = line.path.split(".")
        return (what != {"count": "c", "hist": "h", "metric": "runs"}[trace]
                or (trace == "hist"
                    and (rest[-1] not in LEAVES or len(rest) != 3))
                or (trace == "count" and len(rest) != 1))


if __name__ == "__main__":
    scenario.main()
