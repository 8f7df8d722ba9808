#!/usr/bin/python3
"""Every tool of Debian's bpftrace package runs unmodified as a trace and gives
values, or there is a clear reason why it cannot: the table of all of them.

And the ways in which such tools print, in scripts of ours (scripts/*.bt) on
probes that every kernel has: each value arrives, to the unit."""

import glob
import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
import truth  # noqa: E402
from daemon import Bare, Daemon, configuration  # noqa: E402
from receiver import Receiver  # noqa: E402

TOOLS = "/usr/sbin/*.bt"
SCRIPTS = pathlib.Path(__file__).resolve().parent / "scripts"

# What a tool wants on its command line ($1 ...).
ARGUMENTS = {}

# A reason is clear when it says one of these: of `check`, of bpftrace.
CLEAR = (
    (r"it prints only text \(\w+, line \d+\)", "printf only"),
    (r"it can never print anything", "prints nothing"),
    (r"tracepoint not found|No matches for tracepoint", "no such tracepoint"),
    (r"No probes to attach|[Ee]rror attaching probe: '\w+:"
     r"|could not attach probe \w+:", "no such probe on this kernel"),
    (r"Could not read symbols from .*available_filter_functions",
     "no function names for its wildcard"),
    (r"does not contain a field named", "another kernel's structures"),
    (r"[Ii]nclude headers|file not found|Unknown struct|Cannot resolve unknown"
     r" type", "needs kernel headers"),
)

# Of scripts/*.bt: the maps that are never cleared while they run (the end's
# print or dump is the last of them).
CUMULATIVE = {
    "end_only_hist": ("@plain", "@keyed"),
    "end_print_clear": ("@calls", "@bytes", "@total"),
    "end_dump_lhist": ("@cpu", "@by", "@over"),
    "print_clear_seconds": (),
    "top_of_end": ("@",),
}
# Each tick adds as much to these, whatever bpftrace kept.
PER_TICK = {
    ("end_only_hist", "plain.2"): 1, ("end_only_hist", "plain.512"): 1,
    ("end_only_hist", "plain.0"): 1, ("end_only_hist", "keyed.read.7.32"): 1,
    ("end_only_hist", "keyed.tmux__server.8.4"): 1,
    ("end_print_clear", "calls.read"): 2, ("end_print_clear", "calls.write"): 1,
    ("end_print_clear", "bytes.4096"): 1, ("end_print_clear", "total"): 12,
    ("end_dump_lhist", "cpu.1"): 1, ("end_dump_lhist", "cpu.63"): 1,
    ("end_dump_lhist", "over.1000"): 1,
    ("print_clear_seconds", "n"): 1,
    ("print_clear_seconds", "size.1.samples"): 2,
    ("print_clear_seconds", "size.1.total"): 40,
    ("top_of_end", "1"): 100, ("top_of_end", "2"): 200,
    ("top_of_end", "3"): 300, ("top_of_end", "4"): 400,
}

# Makes what the tools look at happen: disk writes, forks, threads, CPU, TCP,
# TLS, system calls of many kinds. Ends when its standard input does.
LOAD = r'''
import os, select, signal, socket, ssl, subprocess, sys, threading, time
folder, cert = sys.argv[1:]
def tls():
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    a, b = socket.socketpair()
    def serve():
        with server.wrap_socket(a, server_side=True) as s:
            s.write(s.read(16))
    thread = threading.Thread(target=serve)
    thread.start()
    with client.wrap_socket(b) as s:
        s.write(b"sixteen bytes ..")
        s.read(16)
    thread.join()
def tcp(server):
    with socket.create_connection(server.getsockname()) as one:
        other, _ = server.accept()
        other.close()
def disk():
    with open(folder + "/load", "wb") as file:
        file.write(os.urandom(1 << 18))
        os.fsync(file.fileno())
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen(8)
while not select.select([sys.stdin], [], [], 0.05)[0]:
    subprocess.run(["/bin/true"], check=False)
    disk()
    tcp(server)
    if cert:
        tls()
    os.kill(os.getpid(), 0)
    os.stat(folder)
    os.statvfs(folder)
    end = time.monotonic() + 0.05
    while time.monotonic() < end:
        sum(range(1000))
'''


class Tools(scenario.Scenario):
    def setUp(self):
        super().setUp()
        scenario.needs_bpftrace()

    def start_load(self):
        cert = ""
        if shutil.which("openssl"):
            cert = self.path("cert.pem")
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
                 "-keyout", cert + ".key", "-out", cert, "-days", "2",
                 "-subj", "/CN=test"], check=True, capture_output=True)
            with open(cert, "a") as file:
                file.write(pathlib.Path(cert + ".key").read_text())
        load = subprocess.Popen([sys.executable, "-c", LOAD, self.folder, cert],
                                stdin=subprocess.PIPE)

        def end():
            load.kill()
            load.wait()
            load.stdin.close()

        self.addCleanup(end)

    def settings(self, traces):
        return {name: {"script": path, "args": ARGUMENTS.get(name, ())}
                for name, path in traces.items()}

    def check(self, traces):
        """What `check` says of these traces: (exit status, stdout, stderr)."""
        done = subprocess.run(
            [scenario.program("binary"), "check", "--config",
             self.write("check.conf", configuration(
                 self.settings(traces), self.folder, 2003))],
            capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout, done.stderr

    def test_every_tool_gives_values_or_a_clear_reason(self):
        tools = {pathlib.Path(path).stem: path
                 for path in sorted(glob.glob(TOOLS))}
        if not tools:
            self.skipTest(f"no {TOOLS}: bpftrace's tools are not installed")
        table = {}  # name: (decision, outcome)
        _, _, refused = self.check(tools)
        for name, why in re.findall(
                r'trace "([^"]*)": /\S+\.bt: (.*)', refused):
            table[name] = ("refused by check", why)
        running = {name: path for name, path in tools.items()
                   if name not in table}
        status, plan, trouble = self.check(running)
        self.assertEqual(0, status, trouble)
        decisions = {}
        for part in re.split(r"\n(?=trace \")", plan)[1:]:
            name = re.match(r'trace "([^"]*)"', part)[1]
            decisions[name] = "; ".join(
                re.findall(r"^  (@\w*: \w[\w ]*?:? .*|appended .*)$", part,
                           re.MULTILINE))
        self.assertEqual(set(running), set(decisions))

        receiver = self.must_end(Receiver())
        daemon = self.must_end(Daemon(
            self.folder, self.settings(running), receiver.port,
            bpftrace={"starts-at-once": 2, "stop-timeout": Bare("10s")}))
        self.start_load()
        daemon.start()

        def series(name): # of a map without a name or a key it is the trace's
            return {line.path for line in receiver.taken()
                    if line.path.split(".")[2] == name}

        def reason(name):
            """bpftrace's words: why it ended, or what it did not attach."""
            log = daemon.log()
            ends = re.findall(rf'trace "{name}": bpftrace: (.*); failing', log)
            left = re.findall(rf'warning: trace "{name}": bpftrace: '
                              r"(WARNING: could not attach .*"
                              r"|WARNING: Could not read symbols .*)", log)
            return ends[-1] if ends else "; ".join(dict.fromkeys(left))

        try:
            scenario.wait_until(
                lambda: all(series(name) or reason(name) for name in running),
                60, "values or reasons of all")
        except AssertionError:
            pass  # judged below, after the last dump
        self.assertEqual(0, daemon.stop(60))
        self.assertEqual([], receiver.bad)
        self.assertEqual({}, receiver.conflicts())
        points = [line.path.split(".")[2] for line in receiver.taken()]
        for name in running:
            if series(name):
                outcome = (f"values: {len(series(name))} series, "
                           f"{points.count(name)} points")
            else:
                outcome = reason(name)
            table[name] = (decisions[name], outcome)

        unclear = []
        print(f"\n{len(tools)} tools, {len(running)} processes at once")
        for name, (decision, outcome) in sorted(table.items()):
            kind = None
            if outcome and outcome.startswith("values"):
                kind = "values"
            elif outcome:
                kind = next((kind for pattern, kind in CLEAR
                             if re.search(pattern, outcome)), None)
            if kind is None:
                unclear.append(f"{name}: {outcome}")
            print(f"{name:15} {kind or 'UNCLEAR'}\n"
                  f"    {decision}\n    {outcome}")
        self.assertEqual(set(tools), set(table))
        self.assertEqual([], unclear, "neither values nor a clear reason")
        kinds = [outcome.startswith("values") for _, outcome in table.values()]
        self.assertGreater(sum(kinds), 0, "no tool gave values")

    def test_each_way_of_printing_arrives_to_the_unit(self):
        self.assertEqual(set(CUMULATIVE),
                         {path.stem for path in SCRIPTS.glob("*.bt")})
        for form in ("json", "text"):
            with self.subTest(format=form):
                self.print_ways(form)

    def print_ways(self, form):
        receiver = self.must_end(Receiver())
        traces = {name: {"script": self.write(
            f"{form}-{name}.bt", f"//tee {self.path(form + '-' + name)}\n"
            + (SCRIPTS / f"{name}.bt").read_text()), "format": form}
                  for name in CUMULATIVE}
        daemon = self.must_end(Daemon(
            self.folder, traces, receiver.port,
            bpftrace={"program": scenario.program("tee_bpftrace")}))
        daemon.start()
        scenario.wait_until(
            lambda: all(len({line.timestamp for line in receiver.taken()
                             if line.path.split(".")[2] == name}) >= 4
                        for name in CUMULATIVE), 40, "four slots of each")
        self.assertEqual(0, daemon.stop())
        self.assertEqual([], receiver.bad)
        self.assertEqual({}, receiver.conflicts())
        sums = receiver.sums()
        for name, cumulative in CUMULATIVE.items():
            sent = {path: value for path, value in sums.items()
                    if path.split(".")[2] == name
                    and not path.endswith(".average")}
            one = {leaf: amount for (trace, leaf), amount in PER_TICK.items()
                   if trace == name}
            # The parts were added together, so each tells how often.
            ticks = {leaf: sent.get(f"bpf.testhost.{name}.{leaf}", 0) / amount
                     for leaf, amount in one.items()}
            print(f"{form} {name}: {len(sent)} series, ticks "
                  f"{sorted(set(ticks.values()))}")
            if form == "json":
                # What was printed with a divisor in END is no truth.
                lives = truth.lives_of_tee(self.path(f"{form}-{name}"))
                self.assertEqual(1, len(lives))
                if name == "top_of_end":
                    lives = [[one for one in lives[0] if len(one.values) == 4]]
                expected = truth.total(lives, cumulative)
                scratch = [leaf for leaf in expected if leaf[0] == "@begun"]
                for leaf in scratch:
                    del expected[leaf]
                self.same_sums(sent, {
                    path.replace("..", "."): value for path, value
                    in truth.paths(expected, name).items()}, name)
            # A count that a clear lost between two prints is lost for all.
            self.assertLessEqual(max(ticks.values()) - min(ticks.values()),
                                 1 if name == "print_clear_seconds" else 0,
                                 ticks)
            self.assertGreaterEqual(min(ticks.values()), 20, name)


if __name__ == "__main__":
    scenario.main()
