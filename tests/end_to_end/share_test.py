#!/usr/bin/python3
"""Several traces in one bpftrace (`share = true`), with a real bpftrace: the
same series as alone, a script that does not start takes nobody with it, the
death of the process starts all of them again, a reload restarts nobody, and
fifty traces need at most 200 MB of real memory."""

import os
import pathlib
import re
import signal
import stat
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
from daemon import Bare, Daemon, configuration  # noqa: E402
from receiver import Receiver  # noqa: E402

LONG = bool(os.environ.get("BPF2GRAPHITE_LONG"))

# What each of them counts does not depend on how often an interval fires: it is
# filled once, and printed again and again, or printed and cleared. Names and
# keys are such that only a strict reader keeps them apart.
SCRIPTS = {
    "hist": """BEGIN { @us = hist(5); @us = hist(70); @us = hist(-1); }
        interval:ms:300 { print(@us); }""",
    "hist-too": """BEGIN { $x = 9; @us = hist($x); }
        interval:ms:300 { print(@us); }""",
    "keyed": """BEGIN { $x = "p1_us"; @us[$x, 7] = hist(3);
          @us["@p1_us[1]: 5", 8] = hist(3000); }
        interval:ms:300 { print(@us); }""",
    "cleared": """BEGIN { @us["one"] = count(); @us["two"] = count(); }
        interval:ms:300 { print(@us); clear(@us); }""",
    "nameless": """BEGIN { @ = count(); @p1_us = count(); }
        interval:ms:300 { print(@); print(@p1_us); }""",
    "linear": """BEGIN { @l = lhist(15, 0, 100, 10); @l = lhist(200, 0, 100,
          10); } /* @not["a map"] } */
        interval:ms:300 { print(@l); }""",
    "stats": """BEGIN { @s = stats(10); @s = stats(31); @a = avg(4); }
        interval:ms:300 { print(@s); print(@a); }""",
    "extremes": """BEGIN { @least = min(4); @most = max(9); @level = 17; }
        interval:ms:300 { print(@least); print(@most); print(@level); }""",
    "at-the-end": """BEGIN { @n = count(); }
        interval:ms:300 { print(@n); }
        END { @n = count(); @n = count(); @us = hist(6); print(@us); }
        interval:hz:1 { print(@us); }""",
    "defines": """#define WEIGHT 21
        struct pair { int first; int second; };
        BEGIN { @sum = sum(WEIGHT); }
        interval:ms:300 { print(@sum); }""",
    "only-at-its-end": """BEGIN { @total = count(); @total = count(); }
        interval:s:100 { @total = count(); }""",
    "talkative": """BEGIN { printf("@p1_us: %d\\n", 5); printf("Tracing"); }
        interval:ms:300 { @c = count(); time("%H"); clear(@c); }
        interval:s:100 { print(@c); }
        END { clear(@c); printf("bye\\n"); }""",
}
GAUGES = ("average", "least", "most", "level", ".a")


class Share(scenario.Scenario):
    def setUp(self):
        super().setUp()
        scenario.needs_bpftrace()

    def traces(self, scripts, **settings):
        for name, text in scripts.items():
            self.write(f"{name}.bt", text + "\n")
        return {name: {"script": self.path(f"{name}.bt"), **settings}
                for name in scripts}

    def start(self, scripts, **bpftrace):
        self.receiver = self.must_end(Receiver())
        self.groups = {"bpftrace": {"share": True, "restart": "always",
                                    **bpftrace}}
        self.daemon = self.must_end(Daemon(
            self.folder, self.traces(scripts), self.receiver.port,
            **self.groups))
        # One daemon after the other in one folder: each has its own log.
        self.before = len(self.daemon.log()) \
            if os.path.exists(self.path("daemon.log")) else 0
        self.daemon.start()
        return self.daemon

    def log(self):
        return self.daemon.log()[self.before:]

    def said(self, pattern, times=1, seconds=30):
        return scenario.wait_until(
            lambda: len(found := re.findall(pattern, self.log())) >= times
            and found, seconds, f"{times} times {pattern!r}")

    def shared(self, traces, times=1):
        """The process that so many traces share; the newest of `times`."""
        return int(self.said(rf"{traces} traces share bpftrace (\d+)",
                             times)[-1])

    def processes(self):
        return set(self.daemon.descendants("bpftrace"))

    def wait_for_series(self, *traces, after=0.0):
        """A point of each of them that came after that time."""
        def there():
            return {line.path.split(".")[2] for line in self.receiver.lines
                    if line.arrived > after}
        scenario.wait_until(lambda: set(traces) <= there(), 30,
                            f"points of {traces}")

    def totals(self, scripts, wanted, **bpftrace):
        """All series of a run: their sums, and of gauges their last value."""
        self.start(scripts, **bpftrace)
        scenario.wait_until(lambda: wanted <= set(self.receiver.sums()), 40,
                            "all series that are printed while it runs")
        if bpftrace.get("share", True):
            self.assertEqual(1, len(self.processes()), self.log())
        else:
            self.assertEqual(len(scripts), len(self.processes()))
        self.assertEqual(0, self.daemon.stop())
        self.assertEqual({}, self.receiver.conflicts())
        books = self.daemon.ledger()
        for name in ("invalid", "rejected", "truncated", "inconsistent",
                     "crash", "on_the_way"):
            self.assertEqual(0, books[name], name)
        last = {line.path: float(line.value) for line in self.receiver.lines}
        sums = {path: total for path, total in self.receiver.sums().items()
                if not path.endswith(GAUGES)}
        return sums, {path: value for path, value in last.items()
                      if path.endswith(GAUGES)}

    # What is printed while they run, so that no daemon is stopped before.
    SERIES = {"bpf.testhost." + path for path in (
        "hist.us.64", "hist-too.us.8", "keyed.us._p1_us_1___5.8.2048",
        "cleared.us.two", "nameless", "nameless.p1_us", "linear.l.10",
        "stats.s.total", "stats.a", "extremes.level", "at-the-end.n",
        "defines.sum", "only-at-its-end.total")}

    def compare(self, scripts, wanted, **bpftrace):
        alone = self.totals(scripts, wanted, share=False, **bpftrace)
        merged = self.totals(scripts, wanted, **bpftrace)
        self.assertEqual(alone, merged)
        self.assertGreater(sum(alone[0].values()), 0)
        print(f"{len(scripts)} traces alone and merged: "
              f"{len(alone[0])} sums and {len(alone[1])} gauges are the same")
        return alone

    def test_series_are_those_of_traces_that_run_alone(self):
        sums, gauges = self.compare(SCRIPTS, self.SERIES)
        self.assertEqual(3, sums["bpf.testhost.at-the-end.n"],
                         "the last dump counts")
        self.assertEqual(1, sums["bpf.testhost.at-the-end.us.4"])
        self.assertEqual(17, gauges["bpf.testhost.extremes.level"])

    def test_so_they_are_in_text(self):
        silent = {name: text for name, text in SCRIPTS.items()
                  if "printf" not in text}
        self.compare(silent, self.SERIES, format="text")

    def test_a_script_that_does_not_start_runs_and_fails_alone(self):
        """Its line is named, or its probe; and where neither is, the program is
        halved until it is found."""
        scripts = {f"good{i}": SCRIPTS["hist"] for i in range(8)}
        scripts["bad-type"] = SCRIPTS["hist"] \
            + ' interval:s:1 { @us = "text"; }'
        scripts["bad-probe"] = "tracepoint:sched:no_such_one { @n = count(); }"
        self.start(scripts)
        # Two failed starts at most: each names at least one of them.
        pid = self.shared(8)
        self.said(r'trace "bad-type": bpftrace: exit status 1')
        self.said(r'trace "bad-probe": bpftrace: exit status 1')
        self.assertLessEqual(len(re.findall("does not start", self.log())), 2)
        self.wait_for_series(*(f"good{i}" for i in range(8)))
        self.assertIn(pid, self.processes())
        self.assertEqual(0, self.daemon.stop())

        # One that fails by words that are true of all.
        wrapper = self.write("picky", f"""#!/bin/sh
            case $1 in --version) exec bpftrace --version;; esac
            text=$(mktemp {self.folder}/program.XXXXXX)
            for last; do :; done
            case $last in -) cat > $text;; *) cat $last > $text;; esac
            echo start >> {self.folder}/starts
            if grep -q poison $text; then
              echo 'ERROR: Error loading program: BEGIN' >&2; exit 1
            fi
            exec bpftrace -f json $text
            """.replace("\n            ", "\n"))
        os.chmod(wrapper, os.stat(wrapper).st_mode | stat.S_IXUSR)
        del scripts["bad-type"], scripts["bad-probe"]
        scripts["good3"] += " interval:s:1 { @poison = count(); }"
        self.start(scripts, program=wrapper)
        self.said(r'trace "good3": bpftrace: exit status 1: ERROR: Error load')
        self.wait_for_series(*(f"good{i}" for i in range(8) if i != 3))
        with open(self.path("starts")) as file:
            starts = len(file.readlines())
        print(f"found among 8 with {starts} starts in "
              f"{len(self.processes())} processes")
        self.assertLessEqual(starts, 9)
        self.assertEqual(0, self.daemon.stop())

    def test_the_death_of_the_process_starts_all_again_in_one(self):
        names = [f"t{i}" for i in range(6)]
        self.start({name: SCRIPTS["hist"] for name in names})
        first = self.shared(6)
        self.wait_for_series(*names)
        os.kill(first, signal.SIGKILL)
        second = self.shared(6, times=2)
        self.assertNotEqual(first, second)
        self.wait_for_series(*names, after=time.time())
        self.assertEqual({second}, self.processes())
        self.assertEqual(0, self.daemon.stop())
        books = self.daemon.ledger()
        self.assertEqual((12, 6), (books["starts"], books["restarts"]))

    def test_a_reload_restarts_nobody(self):
        scripts = {f"t{i}": SCRIPTS["hist"] for i in range(4)}
        self.start(scripts)
        first = self.shared(4)
        self.wait_for_series(*scripts)
        # Two come, one goes, one is changed.
        del scripts["t0"]
        scripts["t1"] = SCRIPTS["hist"] + " interval:s:1 { @more = count(); }"
        scripts["new1"] = scripts["new2"] = SCRIPTS["stats"]
        self.write("bpf2graphite.conf", configuration(
            self.traces(scripts), self.folder, self.receiver.port,
            **self.groups))
        self.daemon.send(signal.SIGHUP)
        second = self.shared(3)
        begun = time.time()
        self.wait_for_series("t1", "t2", "t3", "new1", "new2", after=begun)
        self.assertEqual({first, second}, self.processes())
        gone = [line for line in self.receiver.lines
                if ".t0." in line.path and line.timestamp > begun + 2]
        self.assertEqual([], gone)
        self.assertEqual(0, self.daemon.stop())
        self.assertEqual({}, self.receiver.conflicts())
        self.assertEqual(0, self.daemon.ledger()["restarts"])

    def test_check_names_who_shares_and_who_does_not(self):
        scripts = {"a": SCRIPTS["hist"], "b": SCRIPTS["hist"],
                   "leaves": SCRIPTS["hist"] + " kprobe:f { exit(); }"}
        traces = self.traces(scripts, share=True)
        traces["own"] = {"script": self.path("a.bt")}
        conf = self.write("check.conf", configuration(traces, self.folder, 1))

        def check(*arguments):
            return subprocess.run(
                [scenario.program("binary"), "--config", conf, "check",
                 *arguments], capture_output=True, text=True, timeout=120,
                check=True).stdout
        plan = check()
        self.assertIn("\n2 traces share one bpftrace: a, b\n", plan)
        self.assertIn('\ntrace "leaves" runs alone: it calls exit() (line 2)\n',
                      plan)
        self.assertIn("\n3 processes in all", plan)
        merged = check("--show-merged")
        self.assertTrue(merged.startswith("// a, b\nBEGIN {\n"), merged)
        self.assertIn("print(@p2_us)", merged)
        tried = subprocess.run(["bpftrace", "-d", "-"], input=merged,
                               capture_output=True, text=True, timeout=60,
                               check=False)
        self.assertEqual(0, tried.returncode, tried.stderr)

    def test_shipped_and_captured_scripts_compile_together(self):
        """All that are right for 0.17 and print a map; without their exit()."""
        top = pathlib.Path(__file__).resolve().parents[2]
        scripts = {}
        for folder in ("config/traces", "tests/golden/corpus"):
            for path in sorted((top / folder).glob("*.bt")):
                text = re.sub(r"\bexit\(\d*\);?", "", path.read_text())
                if not re.search("undefined_function|no_such_event|tseries",
                                 text):
                    scripts[re.sub(r"\W", "_", path.stem)] = text
        for name in ("exit_code", "hist_bits", "syntax_error"):
            scripts.pop(name, None)
        conf = self.write("all.conf", configuration(
            self.traces(scripts, share=True), self.folder, 1))
        made = subprocess.run(
            [scenario.program("binary"), "--config", conf, "check",
             "--show-merged"], capture_output=True, text=True, timeout=120,
            check=False)
        self.assertEqual(0, made.returncode, made.stderr)
        programs = re.split(r"(?m)^(?=// \w+, )", made.stdout)
        merged = 0
        for program in filter(None, programs):
            merged += program.split("\n")[0].count(",") + 1
            tried = subprocess.run(["bpftrace", "-d", "-"], input=program,
                                   capture_output=True, text=True, timeout=120,
                                   check=False)
            self.assertEqual(0, tried.returncode, tried.stderr)
        print(f"{merged} of {len(scripts)} scripts compile together")
        self.assertGreater(merged, 25)

    def test_fifty_traces_need_at_most_200_mb(self):
        shipped = pathlib.Path(__file__).resolve().parents[2] / "config/traces"
        texts = [path.read_text() for path in sorted(shipped.glob("*.bt"))
                 if "kprobe" not in path.read_text()]
        texts += list(SCRIPTS.values())
        scripts = {f"t{i:02}": texts[i % len(texts)] for i in range(50)}

        def real_memory(count, **bpftrace):
            some = dict(list(scripts.items())[:count])
            self.start(some, **bpftrace)
            wanted = 1 if bpftrace.get("share", True) else count
            scenario.wait_until(lambda: len(self.processes()) >= wanted, 60,
                                f"{wanted} processes")
            lively = [name for name, text in some.items() if "@us " in text]
            self.wait_for_series(*lively)
            total = 0
            processes = [self.daemon.process.pid, *self.processes()]
            for pid in processes:
                with open(f"/proc/{pid}/smaps_rollup") as file:
                    total += int(re.search(r"^Pss: +(\d+)", file.read(),
                                           re.M).group(1))
            self.assertEqual(0, self.daemon.stop(40))
            return total / 1024, len(processes) - 1
        shared, processes = real_memory(50)
        few = 50 if LONG else 5
        alone, _ = real_memory(few, share=False)
        print(f"50 traces: {shared:.0f} MB of real memory in {processes} "
              f"bpftrace and the daemon; {few} alone: {alone:.0f} MB"
              + ("" if few == 50 else f", so 50 about {alone * 50 / few:.0f}"))
        self.assertLessEqual(shared, 200)


if __name__ == "__main__":
    scenario.main()
