#!/usr/bin/python3
"""A reload by SIGHUP: the new configuration is checked first; then only what
has changed is stopped and started, and no value is lost or sent twice."""

import os
import pathlib
import re
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
from fault_matrix import row  # noqa: E402
import truth  # noqa: E402
from daemon import Bare, Daemon, configuration  # noqa: E402
from notify_socket import NotifySocket  # noqa: E402
from receiver import Receiver  # noqa: E402

SCRIPT = """//fake record path={record}
//fake hist map=@u values=4:3,8:1 every=50
//fake count map=@c value=7 every=70 kind=cumulative
interval:ms:50 {{ @u = hist(1); print(@u); clear(@u); }}
interval:ms:70 {{ @c = count(); print(@c); }}
{more}"""


class Reload(scenario.Scenario):
    def script(self, name, more=""):
        self.write(f"{name}.bt", SCRIPT.format(record=self.path(name),
                                               more=more))
        return {"script": self.path(f"{name}.bt")}

    def start(self, traces, **groups):
        self.receiver = self.must_end(Receiver())
        self.notify = self.must_end(NotifySocket(self.path("notify")))
        self.groups = {"bpftrace": {"program":
                                    scenario.program("fake_bpftrace"),
                                    "stop-timeout": Bare("5s")}, **groups}
        self.daemon = self.must_end(Daemon(
            self.folder, traces, self.receiver.port,
            environment={"NOTIFY_SOCKET": self.notify.path}, **self.groups))
        self.daemon.start()
        self.notify.wait_for("READY=1")
        for name in traces:
            self.wait_for_prints(name, 3)

    def events(self, name, what):
        return [e for e in truth.events_of(self.path(name))
                if e["event"] == what]

    def pids(self, *names):
        return {name: self.events(name, "start")[-1]["pid"] for name in names}

    def wait_for_prints(self, name, more):
        """Until a life that runs has printed that much."""
        have = len(self.events(name, "done"))
        scenario.wait_until(
            lambda: len(self.events(name, "done")) >= have + more, 20,
            f"{more} more prints of {name}")

    def wait_for_start(self, name, lives):
        scenario.wait_until(
            lambda: len(self.events(name, "start")) >= lives, 20,
            f"life {lives} of {name}")
        self.wait_for_prints(name, 3)

    def reload(self, traces, text=None, **groups):
        """Writes the configuration, sends SIGHUP and waits for the answer:
        what was told to systemd from RELOADING to READY."""
        self.write("bpf2graphite.conf", text or configuration(
            traces, self.folder, self.receiver.port,
            **{**self.groups, **groups}))
        return self.hang_up()

    def hang_up(self):
        before = len(self.notify.messages())

        def told():
            """From the first RELOADING on."""
            messages = self.notify.messages()[before:]
            while messages and "RELOADING=1" not in messages[0]:
                messages.pop(0)
            return messages
        self.daemon.send(signal.SIGHUP)
        scenario.wait_until(
            lambda: any("READY=1" in message for message in told()), 20,
            "READY after a SIGHUP")
        told = told()
        self.assertRegex(told[0], r"MONOTONIC_USEC=\d+")
        return told

    def finish(self, names=(), series=None):
        """Stops it; every value printed is there, once. `series`: {name: what
        it is called} where that is not its name."""
        self.assertEqual(0, self.daemon.stop())
        whole = {}
        for name in names:
            lives, how = truth.lives_of_fake(self.path(name))
            for path, total in truth.paths(truth.total(
                    lives, [m for m in how if how[m] == "cumulative"]),
                    (series or {}).get(name, name)).items():
                whole[path] = whole.get(path, 0) + total
        self.same_sums(self.receiver.sums(), whole)
        self.assertEqual({}, self.receiver.conflicts())
        self.assertEqual([], self.receiver.bad)
        self.check_books()

    def check_books(self):
        books = self.daemon.ledger()
        self.assertEqual(books["read"], books["measured"] + books["combined"]
                         + books["unchanged"] + books["merged"]
                         + books["folded"] + books["open"]
                         + books["dropped_values"], books)
        self.assertEqual(books["points"], books["accepted"], books)

    def test_a_bad_file_changes_nothing_and_is_one_error(self):
        """Row 31, bad."""
        good = {name: self.script(name) for name in ("a", "b")}
        self.start(good)
        pids = self.pids("a", "b")
        bad = [
            ("a mistake", configuration(
                good, self.folder, 1, graphite={"prot": 1}),
             r"bpf2graphite\.conf:\d+:\d+: .*unknown key \"prot\""),
            ("no script", configuration(
                {**good, "c": {"script": "/nowhere/c.bt"}}, self.folder, 1),
             r"bpf2graphite\.conf:\d+:\d+: .*trace \"c\": .*/nowhere/c\.bt"),
            ("no configuration", "}", r"bpf2graphite\.conf:1"),
            ("no trace", configuration({}, self.folder, 1), "no trace"),
        ]
        unsafe = self.script("unsafe")
        os.chmod(unsafe["script"], 0o666)
        bad.append(("a script that anybody may change", configuration(
            {**good, "unsafe": unsafe}, self.folder, 1,
            ), r"unsafe\.bt.*chmod"))
        never = self.write("never.bt", "BEGIN { @ = 1; }\n")
        for number, (what, text, pattern) in enumerate(bad, 1):
            with self.subTest(what):
                before = set(self.daemon.descendants())
                begun = time.monotonic()
                told = self.reload({}, text=text)
                print(f"row 31, bad ({what}): old configuration stays, READY "
                      f"after {time.monotonic() - begun:.3f} s", flush=True)
                with row(31, f"bad, {what}") as report:
                    report.figure("READY after", time.monotonic() - begun, "s")
                    report.figure("processes begun anew", len(
                        set(self.daemon.descendants()) ^ before), exactly=0)
                self.assertIn("READY=1", told[-1])
                errors = re.findall(r"error: (.*)", self.daemon.log())
                self.assertEqual(number, len(errors), errors)
                self.assertRegex(errors[-1], "reload refused.*" + pattern)
        self.wait_for_prints("a", 3)
        self.assertEqual(pids, self.pids("a", "b"))
        os.unlink(never)
        self.finish("ab")

    def test_only_what_has_changed_is_touched(self):
        """Row 31, good: changed, added, removed, and a script that reads
        otherwise; the rest keeps its process."""
        names = ["same1", "same2", "other_words", "other_script", "gone"]
        traces = {name: self.script(name) for name in names}
        self.start(traces)
        pids = self.pids(*names)
        traces["other_words"] |= {"args": ["7"]}
        self.script("other_script", "// it reads otherwise\n")
        traces["new"] = self.script("new")
        del traces["gone"]
        begun = time.monotonic()
        self.reload(traces)
        took = time.monotonic() - begun
        for name in ("other_words", "other_script"):
            self.wait_for_start(name, 2)
        self.wait_for_start("new", 1)
        after = self.pids(*names)
        same = [name for name in ("same1", "same2")
                if pids[name] == after[name]]
        self.assertEqual(["same1", "same2"], same)
        for name in ("other_words", "other_script"):
            self.assertNotEqual(pids[name], after[name])
        self.assertEqual(1, len(self.events("gone", "end")))
        self.assertEqual(1, len(self.events("gone", "start")))
        self.assertEqual(5, len(self.daemon.descendants()))
        print(f"row 31, good: {len(same)} of 2 unchanged pids identical, "
              f"READY after {took:.3f} s", flush=True)
        with row(31, "good") as report:
            report.figure("unchanged processes that stayed, of 2", len(same),
                          exactly=2)
            report.figure("READY after", took, "s")
        self.daemon.wait_for_log(
            r"configuration reloaded: 2 traces unchanged, 2 restarted "
            r"\(other_words, other_script\), 1 added \(new\), 1 removed "
            r"\(gone\)")
        # Once more: nothing has changed now.
        self.hang_up()
        self.daemon.wait_for_log("configuration reloaded: 5 traces unchanged\n")
        self.finish(names + ["new"])

    def test_other_names_and_slots_begin_where_the_old_ones_end(self):
        self.start({name: self.script(name) for name in
                    ("named", "slotted", "meant", "x", "y")})
        traces = {
            "named": self.script("named") | {"name": "renamed"},
            "slotted": self.script("slotted") | {"resolution": Bare("2s")},
            "meant": self.script("meant") | {"accumulate": "max"},
            # The names go from one to the other.
            "x": self.script("x") | {"name": "y"},
            "y": self.script("y") | {"name": "x"},
        }
        self.reload(traces)
        for name in traces:
            self.wait_for_start(name, 2)
        self.assertEqual(0, self.daemon.stop())
        self.assertEqual({}, self.receiver.conflicts())
        self.check_books()
        sums = self.receiver.sums()
        lives = {name: truth.lives_of_fake(self.path(name)) for name in traces}

        def printed(name, life):
            which, how = lives[name]
            return truth.total([which[life]],
                               [m for m in how if how[m] == "cumulative"])
        for name, before, after in (("named", "named", "renamed"),
                                    ("slotted", "slotted", "slotted")):
            expected = {}
            for life, trace in ((0, before), (1, after)):
                for path, n in truth.paths(printed(name, life), trace).items():
                    expected[path] = expected.get(path, 0) + n
            self.same_sums({path: n for path, n in sums.items() if path.split(
                ".")[2] in (before, after)}, expected, name)
        expected = {}
        for name, other in (("x", "y"), ("y", "x")):
            for life, trace in ((0, name), (1, other)):
                for path, n in truth.paths(printed(name, life), trace).items():
                    expected[path] = expected.get(path, 0) + n
        self.same_sums({path: n for path, n in sums.items()
                        if path.split(".")[2] in "xy"}, expected, "x and y")

    def test_what_can_be_taken_over_is_and_the_rest_is_named(self):
        trace = {"a": self.script("a")}
        self.start(trace)
        pid = self.pids("a")
        other = self.must_end(Receiver())
        self.reload(trace, graphite={"port": other.port,
                                     "buffer": "32MiB", "resend": Bare("0s"),
                                     "interval": Bare("2s")},
                    slots={"resolution": Bare("1s")}, log={"level": "info"})
        self.daemon.wait_for_log("changed, but needs a restart: "
                                 "graphite.buffer, graphite.resend\n")
        scenario.wait_until(other.taken, 20, "lines at the other Graphite")
        self.assertEqual(pid, self.pids("a"))
        # It says so each time: it is still so.
        self.hang_up()
        self.assertEqual(2, len(re.findall("needs a restart: graphite.buffer",
                                           self.daemon.log())))
        self.assertEqual(0, self.daemon.stop())
        self.check_books()
        lives, how = truth.lives_of_fake(self.path("a"))
        sums = other.sums()
        for path, n in self.receiver.sums().items():
            sums[path] = sums.get(path, 0) + n
        self.same_sums(sums, truth.paths(truth.total(lives, ["@c"]), "a"))
        self.assertEqual({"@c": "cumulative", "@u": "cleared"}, how)

    def test_the_environment_stays_before_the_file(self):
        trace = {"a": self.script("a")}
        self.receiver = self.must_end(Receiver())
        self.notify = self.must_end(NotifySocket(self.path("notify")))
        self.groups = {"bpftrace": {
            "program": scenario.program("fake_bpftrace")}}
        self.daemon = self.must_end(Daemon(
            self.folder, trace, 1, **self.groups, environment={
                "NOTIFY_SOCKET": self.notify.path,
                "BPF2GRAPHITE_PORT": str(self.receiver.port)}))
        self.daemon.start()
        self.notify.wait_for("READY=1")
        self.wait_for_prints("a", 3)
        self.reload(trace, text=configuration(trace, self.folder, 2,
                                              **self.groups))
        self.wait_for_prints("a", 20)
        self.finish("a")

    def test_a_storm_of_hangups(self):
        """50 SIGHUPs, the file changing all the time: nothing is lost, and
        what was written last is in force."""
        steady = {"steady": self.script("steady")}
        comes, changes = self.script("comes"), self.script("changes")
        self.start(steady | {"comes": comes})
        pids = self.pids("steady")
        begun = time.monotonic()
        for number in range(50):
            traces = dict(steady)
            if number % 2:
                traces["comes"] = comes
            if number % 3:
                traces["changes"] = changes | {"args": [str(number)]}
            self.write("bpf2graphite.conf.new", configuration(
                traces, self.folder, self.receiver.port, **self.groups))
            os.rename(self.path("bpf2graphite.conf.new"),
                      self.daemon.config)
            self.daemon.send(signal.SIGHUP)
            time.sleep(0.01)  # no wait for anything: what makes it a storm
        # Not by the log: it has a limit of its own, which a storm reaches.
        scenario.wait_until(self.runs_as_the_last_file_says, 30,
                            "all is as the last file says")
        print(f"a storm of 50 SIGHUPs was over after "
              f"{time.monotonic() - begun:.1f} s, "
              f"{self.daemon.log().count('configuration reloaded')} reloads",
              flush=True)
        self.assertEqual(pids, self.pids("steady"))
        self.wait_for_prints("changes", 3)
        self.finish(["steady", "comes", "changes"])

    def runs_as_the_last_file_says(self):
        """Three traces, the changing one with the last argument."""
        commands = []
        for pid in self.daemon.descendants("fake_bpftrace"):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    commands.append(file.read().split(b"\0"))
            except (FileNotFoundError, ProcessLookupError):
                return False
        return (len(commands) == 3
                and any(b"49" in command for command in commands)
                and len({pathlib.Path(part.decode()).name
                         for command in commands for part in command
                         if part.endswith(b".bt")}) == 3)

    def test_a_trace_taken_out_and_put_back_sends_no_slot_twice(self):
        """In two reloads, so quickly that both are within one slot."""
        steady = {"steady": self.script("steady")}
        comes = {"comes": self.script("comes")}
        self.start(steady | comes)
        for _ in range(8):
            self.wait_for_prints("comes", 2)
            for traces, word in ((steady, r"removed \(comes"),
                                 (steady | comes, r"added \(comes")):
                done = len(re.findall(word, self.daemon.log()))
                self.reload(traces)
                scenario.wait_until(
                    lambda word=word, done=done: len(re.findall(
                        word, self.daemon.log())) > done, 20, word)
        self.finish(["steady", "comes"])

    def test_a_stop_in_the_middle_of_a_reload_loses_nothing(self):
        slow = "//fake ignore signals=INT\n"
        self.start({"a": self.script("a"), "stays": self.script("stays"),
                    "slow": self.script("slow", slow)},
                   bpftrace={"program": scenario.program("fake_bpftrace"),
                             "stop-timeout": Bare("2s")})
        self.groups["bpftrace"]["stop-timeout"] = Bare("2s")
        self.write("bpf2graphite.conf", configuration(
            {"a": self.script("a") | {"args": ["1"]},
             "stays": self.script("stays")}, self.folder, self.receiver.port,
            **self.groups))
        self.daemon.send(signal.SIGHUP)
        self.daemon.wait_for_log("configuration reloaded")
        self.finish(["a", "stays", "slow"])


if __name__ == "__main__":
    scenario.main()
