#!/usr/bin/python3
"""Rows 1 to 8 and 11 of the fault matrix: what bpftrace may do to us. Beside
each trace that misbehaves run others, which lose nothing."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import process_figures as figures  # noqa: E402
import scenario  # noqa: E402
import truth  # noqa: E402
from daemon import Bare, Daemon  # noqa: E402
from fakes import Fakes, unlimited  # noqa: E402
from fault_matrix import LONG, row  # noqa: E402
from receiver import Receiver  # noqa: E402


def passed(seconds):
    """Lets time pass: for what has to be observed for so long."""
    end = time.monotonic() + seconds
    scenario.wait_until(lambda: time.monotonic() >= end, seconds + 60, "time")


class Ends(Fakes):
    def test_row_1_it_is_killed_crashes_or_exits(self):
        with row(1, "fakes") as report:
            # Some die as they are told, the others by our hand.
            own = {"t1": "//fake exit at=2500 code=1 life=1\n",
                   "t2": "//fake exit at=2500 code=0 dump=yes life=1\n"}
            for n in range(20):
                self.add(f"t{n}", own.get(f"t{n}", ""))
            self.start()
            ways = [signal.SIGKILL, signal.SIGSEGV] * 5
            victims = ["t0"] * 10 if LONG else \
                ["t0", "t3", "t4", "t5", "t6", "t7", "t8", "t9", "t0", "t3"]
            again = {True: [], False: []}
            for name, way in zip(victims, ways):
                self.wait_for_prints(2, name)
                before = self.pids(name)
                begun = time.monotonic()
                os.kill(before[-1], way)
                self.wait_for_life(name, len(before) + 1)
                again[len(before) == 1].append(time.monotonic() - begun)
            for name in own:
                self.wait_for_life(name, 2)
            self.wait_for_prints(4, *self.traces)
            others = [name for name in self.traces
                      if name not in victims and name not in own]
            self.assertEqual(0, self.daemon.stop(40))
            report.figure("ends", len(victims) + len(own))
            report.figure("new process, first time, after", max(again[True]),
                          "s", at_most=0.5)
            if again[False]:
                report.figure("later, after at most", max(again[False]), "s")
            report.figure("restarts of others", self.restarts(*others),
                          exactly=0)
            report.figure("slots missing in others",
                          sum(self.gaps(name) for name in others), exactly=0)
            self.judge(report)
            self.assertEqual(0, self.restarts(*others))

    def test_row_2_it_always_ends_at_once(self):
        seconds = 120 if LONG else 30
        with row(2) as report:
            self.add("fails", "//fake fail code=1 text=ERROR: no luck\n",
                     prints="")
            self.add("exits1", "//fake exit at=0 code=1\n", prints="")
            self.add("exits0", "//fake exit at=0 code=0\n", prints="")
            self.start(until_printed=False,
                       graphite={"interval": Bare("15s")},
                       slots={"resolution": Bare("15s")})
            self.daemon.wait_for_log("3 traces")
            cpu = figures.cpu_seconds(self.pid)
            passed(seconds)
            cpu = figures.cpu_seconds(self.pid) - cpu
            starts = {name: len(self.pids(name)) for name in self.traces}
            lines = {name: sum(f'"{name}"' in line for line
                               in self.daemon.log().splitlines())
                     for name in self.traces}
            log = self.daemon.log()
            self.assertEqual(0, self.daemon.stop())
            report.figure(f"starts in {seconds} s, at most",
                          max(starts.values()), at_most=25)
            report.figure("our CPU", 100 * cpu / seconds, "%", below=1)
            # Each end is told once, and once that it is failing.
            report.figure("log lines each, at most", max(lines.values()),
                          at_most=max(2, seconds // 30))
            for name, count in starts.items():
                self.assertGreaterEqual(count, 1, name)
                self.assertLessEqual(count, 25, name)
            self.assertIn("failing", log)
            self.assertIn("no luck", log)

    def test_row_4_it_ignores_signals(self):
        with row(4, "fakes") as report:
            for n in range(50):
                self.add(f"t{n}", "//fake ignore signals=INT,TERM\n",
                         every=1000)
            self.start(bpftrace={"starts-at-once": 16})
            self.assertEqual(0, self.daemon.stop(20))
            report.figure("stop of 50 took", self.daemon.stop_seconds, "s",
                          at_most=6)
            self.judge(report)

    def test_row_5_it_hangs(self):
        with row(5) as report:
            limit = 3
            self.add("hangs", "//fake hang at=1200 life=1\n", every=250,
                     **{"expect-output-within": Bare(f"{limit}s")})
            self.add("good")
            self.start()
            self.wait_for_life("hangs", 2)
            self.wait_for_prints(4, *self.traces)
            first = self.lives("hangs")
            said = self.daemon.wait_for_log('"hangs".*no output for')
            self.assertEqual(0, self.daemon.stop())
            self.assertTrue(said)
            self.assertGreaterEqual(len(first), 2)
            events = truth.events_of(self.record("hangs"))
            signalled = next(i for i, event in enumerate(events)
                             if event["event"] == "signal")
            quiet = max(event["at"] for event in events[:signalled]
                        if event["event"] == "done")
            report.figure("noticed after",
                          (events[signalled]["at"] - quiet) / 1000, "s",
                          at_most=limit + 1, at_least=limit - 0.5)
            report.figure("restarts of the other", self.restarts("good"),
                          exactly=0)
            self.judge(report)


class Floods(Fakes):
    def test_row_6_we_are_slow(self):
        with row(6) as report:
            # 80 KB a print, a hundred prints, as fast as they are taken.
            keys = ";".join(f"some_process_{n},{n}" for n in range(400))
            self.add("busy", "//fake hist map=@h values=8:1,64:2 every=1 "
                     f"start=3000 limit=100 keys={keys}\n", prints="",
                     code="interval:ms:10 {{ @h[comm, pid] = hist(8); "
                     "print(@h); clear(@h); }}\n",
                     **{"max-series": 20000})
            self.start(until_printed=False, bpftrace=unlimited(),
                       environment={"BPF2GRAPHITE_TEST_SLOW":
                                    "normalizer:busy:60"})
            self.wait_for_life("busy", 1)
            before = figures.forget_peak(self.pid)
            self.wait_for_prints(100, "busy", seconds=60)
            grown = figures.peak_mib(self.pid) - before
            took = [event["at"] for event in truth.events_of(self.record("busy"))
                    if event["event"] == "done"]
            self.assertEqual(0, self.daemon.stop(40))
            report.figure("printed", os.path.getsize(self.record("busy"))
                          // 1024, "KiB")
            report.figure("held back for", (took[-1] - took[0]) / 1000, "s")
            report.figure("RSS growth", grown, "MiB", below=5)
            self.judge(report)

    def test_row_7_a_flood(self):
        seconds = 60 if LONG else 18
        with row(7) as report:
            good = [self.add(f"good{n}") for n in range(9)]
            self.add("flood", "//fake flood at=9000 text=water\n", prints="")
            self.start(until_printed=False)
            # What is usual: the points of some batches.
            scenario.wait_until(
                lambda: len({line.timestamp for line
                             in self.receiver.taken()}) >= 4, 30, "batches")
            begun = time.time()
            before = figures.forget_peak(self.pid)
            cpu = figures.cpu_seconds(self.pid)
            usual = self.lateness(good, 0, begun)
            self.daemon.wait_for_log('"flood".*more output than', seconds + 20)
            passed(max(0.0, seconds - (time.time() - begun)))
            late = self.lateness(good, begun, time.time())
            grown = figures.peak_mib(self.pid) - before
            cpu = figures.cpu_seconds(self.pid) - cpu
            self.wait_for_prints(4, *good)
            self.assertEqual(0, self.daemon.stop(40))
            report.figure("others later than before by", late - usual, "s",
                          below=1)
            report.figure("RSS growth", grown, "MiB", below=16)
            report.figure("our CPU", 100 * cpu / (time.time() - begun), "%")
            report.figure("starts of the flood", len(self.pids("flood")))
            report.figure("restarts of others", self.restarts(*good),
                          exactly=0)
            self.judge(report, *good)
            self.assertEqual(0, self.restarts(*good))

    def test_row_8_a_line_without_an_end(self):
        size = 1 << 30
        for form in ("json", "text"):
            with self.subTest(form=form), row(8, form) as report:
                self.traces.clear()
                name = self.add(
                    f"endless_{form}", f"//fake line at=4000 bytes={size}\n",
                    every=500, format=form)
                self.start(bpftrace=unlimited())
                self.wait_for_prints(4, name)
                before = figures.forget_peak(self.pid)
                cpu = figures.cpu_seconds(self.pid)
                begun = time.monotonic()

                def read():
                    with open(f"/proc/{self.pid}/io") as file:
                        return int(file.readline().split()[1])
                target = read() + size
                scenario.wait_until(lambda: read() >= target, 120, "1 GiB read")
                took = time.monotonic() - begun
                self.wait_for_prints(6, name)
                grown = figures.peak_mib(self.pid) - before
                cpu = figures.cpu_seconds(self.pid) - cpu
                self.assertEqual(0, self.daemon.stop())
                report.figure("RSS growth", grown, "MiB", below=1)
                report.figure("read in", took, "s")
                report.figure("our CPU", cpu, "s")
                report.figure("restarts", self.restarts(name), exactly=0)
                self.judge(report, what="values lost before and after it")
                self.assertEqual(0, self.restarts(name))


class Names(Fakes):
    def test_row_11_a_hundred_thousand_names(self):
        with row(11, "fake") as report:
            cap = 500
            self.add("bomb", "//fake count map=@n every=50 start=3000 "
                     "limit=100 fresh=1000\n", prints="",
                     code="interval:ms:50 {{ @n[comm] = count(); print(@n); "
                     "clear(@n); }}\n", **{"max-series": cap})
            self.add("good")
            self.start(until_printed=False)
            self.wait_for_prints(4, "good")
            before = figures.forget_peak(self.pid)
            self.wait_for_prints(100, "bomb", seconds=60)
            grown = figures.peak_mib(self.pid) - before
            self.assertEqual(0, self.daemon.stop())
            sums = self.receiver.sums("bpf.testhost.bomb.")
            printed = self.expected("bomb")
            report.figure("names", len(printed))
            report.figure("series sent", len(sums), at_most=cap)
            report.figure("printed but not in a sum",
                          sum(printed.values()) - sum(sums.values()), exactly=0)
            report.figure("RSS growth", grown, "MiB", below=32)
            self.judge(report, "good", what="values of the other lost")
            self.assertGreaterEqual(len(printed), 100_000)
            self.assertLessEqual(len(sums), cap)
            self.assertEqual(sum(printed.values()), sum(sums.values()))


# As row 11 asks for it: processes rename themselves as fast as they can.
RENAME = """
import random
chance = random.Random({seed})
with open("/proc/self/comm", "w") as name:
    for n in range({count}):
        name.write("%08x-%05d" % (chance.randrange(1 << 32), n))
        name.flush()
        name.seek(0)
"""


class Real(scenario.Scenario):
    """The same with bpftrace itself."""

    def setUp(self):
        super().setUp()
        scenario.needs_bpftrace()
        self.receiver = self.must_end(Receiver())

    def start(self, traces, until_printed=True, **groups):
        daemon = self.must_end(Daemon(self.folder, traces, self.receiver.port,
                                      **groups))
        daemon.start()
        if until_printed:
            scenario.wait_until(lambda: all(
                any(line.path.startswith(f"bpf.testhost.{name}.")
                    for line in self.receiver.taken()) for name in traces),
                                90, "points of each trace")
        return daemon

    def trace(self, name, **settings):
        return {"script": self.write(
            f"{name}.bt", "interval:ms:500 { @n = count(); print(@n); }\n"),
                "program": "bpftrace", **settings}

    def test_row_3_the_program_is_gone_for_ten_seconds(self):
        with row(3, "real bpftrace") as report:
            program = self.path("bin/bpftrace")
            os.mkdir(self.path("bin"))
            shutil.copy2(shutil.which("bpftrace"), program)
            daemon = self.start({"one": self.trace("one", program=program)})
            [pid] = daemon.descendants("bpftrace")
            os.rename(program, program + ".old")
            os.kill(pid, signal.SIGKILL)
            daemon.wait_for_log("bin/bpftrace is no program")
            passed(10)
            os.rename(program + ".old", program)
            back = time.monotonic()
            scenario.wait_until(lambda: daemon.descendants("bpftrace"), 60,
                                "bpftrace runs again")
            report.figure("running after its return after",
                          time.monotonic() - back, "s", at_most=30)
            fresh = time.time()
            scenario.wait_until(
                lambda: any(line.timestamp > fresh
                            for line in self.receiver.taken()), 30,
                "fresh values")
            self.assertEqual(0, daemon.stop())

    def test_row_4_it_does_not_answer_signals(self):
        with row(4, "real bpftrace") as report:
            count = 10
            daemon = self.start({f"t{n}": self.trace(f"t{n}")
                                 for n in range(count)})
            pids = daemon.descendants("bpftrace")
            self.assertEqual(count, len(pids))
            for pid in pids:  # a stopped process takes SIGKILL alone
                os.kill(pid, signal.SIGSTOP)
            self.assertEqual(0, daemon.stop(30))
            report.figure(f"stop of {count}, each SIGSTOPped, took",
                          daemon.stop_seconds, "s", at_most=6)

    def test_row_11_processes_that_rename_themselves(self):
        with row(11, "real bpftrace") as report:
            cap, count = 500, 100_000
            trace = {"script": self.write(
                "bomb.bt", f"//tee {self.path('bomb')}\n"
                "tracepoint:task:task_rename "
                "{ @n[args->newcomm] = count(); }\n"
                "interval:s:1 { @beat = count(); print(@beat); "
                "print(@n); clear(@n); }\n"), "max-series": cap,
                     "environment": {"BPFTRACE_MAP_KEYS_MAX": "150000"},
                     "program": scenario.program("tee_bpftrace")}
            daemon = self.start({"bomb": trace})
            before = figures.forget_peak(daemon.process.pid)
            subprocess.run([sys.executable, "-c",
                            RENAME.format(seed=11, count=count)], check=True)

            def seen():
                return sum(one.map == "@n" for life in
                           truth.lives_of_tee(self.path("bomb"))
                           for one in life)
            prints = seen()
            scenario.wait_until(lambda: seen() >= prints + 3, 60, "prints")
            grown = figures.peak_mib(daemon.process.pid) - before
            self.assertEqual(0, daemon.stop(40))
            totals = truth.total(truth.lives_of_tee(self.path("bomb")),
                                 ("@beat",))
            names = {leaf: value for leaf, value in totals.items()
                     if leaf[0] == "@n"}
            sums = self.receiver.sums("bpf.testhost.bomb.n.")
            series = len(self.receiver.sums("bpf.testhost.bomb."))
            missing = sum(names.values()) - sum(sums.values())
            report.figure("names that bpftrace printed", len(names))
            report.figure("series sent", series, at_most=cap)
            report.figure("printed but not in a sum", missing, exactly=0)
            report.figure("RSS growth", grown, "MiB", below=32)
            self.assertGreater(len(names), cap)
            self.assertLessEqual(series, cap)
            self.assertEqual(0, missing, daemon.log()[-2000:])


if __name__ == "__main__":
    scenario.main()
