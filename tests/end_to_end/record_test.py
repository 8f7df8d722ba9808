#!/usr/bin/python3
"""The verb `record`: what bpftrace prints goes to a file byte for byte, with
its arrival times, and `parse` makes of it the values that were printed."""

import collections
import os
import pathlib
import re
import resource
import signal
import shlex
import stat
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
import truth  # noqa: E402
from daemon import Daemon, configuration  # noqa: E402
from receiver import Receiver  # noqa: E402

CLEARED = """//tee {kept}
interval:s:1 {{
  @u = hist(5); @u = hist(70); @u = hist(70); @k["tmux: server", 8] = hist(3);
  @n = count(); @s = stats(10); @s = stats(31);
  print(@u); clear(@u); print(@k); clear(@k); print(@n); clear(@n);
  print(@s); clear(@s);
}}
"""
# Prints only at its end: an interval is appended.
AT_THE_END = "//tee {kept}\ninterval:ms:100 {{ @u = hist(9); @n = count(); }}\n"


def sums(lines):
    """{path: sum} of Graphite's lines; averages cannot be added up."""
    found = collections.Counter()
    for line in lines.splitlines():
        path, value, _ = line.split()
        if not path.endswith(".average"):
            found[path] += int(value)
    return dict(found)


class Record(scenario.Scenario):
    def configure(self, script, fake=True, **keys):
        self.write("t.bt", script)
        program = scenario.program("fake_bpftrace" if fake else "tee_bpftrace")
        self.config = self.write("bpf2graphite.conf", configuration(
            {"t": {"script": self.path("t.bt"), **keys}}, self.folder, 1,
            bpftrace={"program": program}))

    def start(self, *arguments, name="out", **options):
        """A recording that runs."""
        words = self.path("words")
        with open(words, "wb") as err:
            process = subprocess.Popen(
                [scenario.program("binary"), "--config", self.config, "record",
                 "t", "--output", self.path(name), *arguments],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err,
                cwd=self.folder, start_new_session=True, **options)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def words(self):
        with open(self.path("words"), errors="replace") as file:
            return file.read()

    def record(self, *arguments, seconds=60, **options):
        return self.start(*arguments, **options).wait(seconds)

    def until_bytes(self, count, name="out"):
        scenario.wait_until(
            lambda: os.path.exists(self.path(name))
            and os.path.getsize(self.path(name)) >= count, 30,
            f"{count} bytes in {name}")

    def parse(self):
        """The lines, by the very command that `record` showed."""
        shown = re.search(r"^  bpf2graphite (.*)$", self.words(), re.MULTILINE)
        done = subprocess.run(
            [scenario.program("binary"), *shlex.split(shown[1])], check=False,
            capture_output=True, text=True, timeout=60, cwd=self.folder)
        self.assertEqual(0, done.returncode, done.stderr)
        return done.stdout

    def recorded(self, name="out"):
        return pathlib.Path(self.path(name)).read_bytes()

    # ---- real ----------------------------------------------------------------
    def test_a_real_recording_parses_to_what_was_printed(self):
        scenario.needs_bpftrace()
        for text, cumulative in ((CLEARED, ()), (AT_THE_END, ("@u", "@n"))):
            name = "cumulative" if cumulative else "cleared"
            kept = self.path("kept-" + name)
            for form in ("json", "text"):
                with self.subTest(name=name, form=form):
                    self.configure(text.format(kept=kept + form), fake=False,
                                   format=form)
                    self.assertEqual(0, self.record(
                        "--duration", "3500ms", "--force"), self.words())
                    whole = pathlib.Path(kept + form + ".000").read_bytes()
                    self.assertEqual(whole, self.recorded())
                    lines = self.parse()
                    times = {int(line.split()[2])
                             for line in lines.splitlines()}
                    self.assertGreater(len(times), 2, lines)
                    if form == "json":
                        printed = truth.paths(truth.total(
                            [truth.prints_in(whole)], cumulative), "t")
                        self.same_sums(sums(lines), printed)
                    else: # the same script, the same counts a second
                        found = sums(lines)
                        seconds = found["bpf.testhost.t.n"]
                        self.assertGreaterEqual(seconds, 3)
                        if not cumulative:
                            self.assertEqual(
                                2 * seconds, found["bpf.testhost.t.u.64"])
                        self.assertEqual(seconds, found[
                            "bpf.testhost.t.u." + ("8" if cumulative else "4")])

    # ---- exact ---------------------------------------------------------------
    def test_ctrl_c_takes_the_last_maps_and_the_times_are_right(self):
        record = self.path("fake.jsonl")
        self.configure(f"//fake record path={record}\n"
                       "//fake hist map=@u values=4:3,8:1 every=300 "
                       "kind=cumulative rest=5\n"
                       "interval:ms:300 { @u = hist(1); print(@u); }\n")
        process = self.start()
        self.until_bytes(400)
        process.send_signal(signal.SIGINT)
        self.assertEqual(0, process.wait(20), self.words())
        lives, _ = truth.lives_of_fake(record)
        self.assertEqual([truth.prints_in(self.recorded())], lives)
        self.same_sums(sums(self.parse()),
                       truth.paths(truth.total(lives, ("@u",)), "t"))
        rows = [tuple(map(int, line.split())) for line in
                self.recorded("out.times").decode().splitlines()
                if not line.startswith("#")]
        self.assertEqual(len(self.recorded()), rows[-1][1])
        self.assertEqual(rows, sorted(rows))
        began = float(re.search(rb"# began ([0-9.]+)",
                                self.recorded("out.times"))[1])
        # No print has come before it was written.
        written = [event["at"] for event in truth.events_of(record)
                   if event["event"] == "print"]
        late, end = [], 0
        for line in self.recorded().splitlines(keepends=True):
            end += len(line)
            if line.startswith(b'{"type": "hist"'):
                came = next(ms for ms, size in rows if size >= end)
                late.append(began * 1000 + came - written[len(late)])
        self.assertGreaterEqual(len(late), 3)
        self.assertGreaterEqual(min(late), -2) # two clocks in whole ms
        print(f"recorded {min(late):.0f} to {max(late):.0f} ms after it was "
              "written", flush=True)
        self.assertIn("last maps", self.words())

    def test_one_that_does_not_end_is_killed_at_the_second_ctrl_c(self):
        record = self.path("fake.jsonl")
        self.configure(f"//fake record path={record}\n"
                       "//fake count map=@c value=7 every=100 kind=cleared\n"
                       "//fake ignore signals=INT,TERM\n"
                       "interval:ms:100 { @c = count(); print(@c); clear(@c); }"
                       "\n")
        process = self.start()
        self.until_bytes(200)
        process.send_signal(signal.SIGINT)
        scenario.wait_until(lambda: "is ended" in self.words(), 20,
                            "it says that it ends")
        process.send_signal(signal.SIGINT)
        self.assertEqual(0, process.wait(20), self.words())
        # What was there is kept, whole lines of it at the least.
        found = sums(self.parse())["bpf.testhost.t.c"]
        self.assertEqual(0, found % 7)
        self.assertGreater(found, 0)

    def test_a_recording_that_is_killed_is_whole_up_to_there(self):
        self.configure("//fake count map=@c value=7 every=50 kind=cleared\n"
                       "interval:ms:50 { @c = count(); print(@c); clear(@c); }"
                       "\n")
        process = self.start()
        self.until_bytes(400)
        process.kill()
        process.wait()
        last = self.recorded("out.times").decode().splitlines()[-1]
        self.assertLessEqual(int(last.split()[1]), len(self.recorded()))
        self.assertGreaterEqual(len(truth.prints_in(self.recorded())), 5)

    def test_it_ends_at_its_size(self):
        self.configure("//fake flood at=100 text=abcdefgh\n"
                       "interval:s:1 { @c = count(); print(@c); }\n")
        self.assertEqual(0, self.record("--size-max", "200KiB"), self.words())
        both = len(self.recorded()) + len(self.recorded("out.times"))
        self.assertLessEqual(both, 200 << 10)
        self.assertGreater(both, 100 << 10)
        self.assertRegex(self.words(), r"204800 bytes.*--size-max")

    def test_a_file_that_takes_no_more_ends_it_with_the_reason(self):
        self.configure("//fake flood at=100 text=abcdefgh\n"
                       "interval:s:1 { @c = count(); print(@c); }\n")

        def small_files():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        self.assertEqual(69, self.record(preexec_fn=small_files), self.words())
        self.assertRegex(self.words(), r"/out: File too large; the recording")
        self.assertLessEqual(len(self.recorded()), 100_000)

    def test_nothing_is_replaced_without_force(self):
        self.configure("//fake exit at=200 dump=yes\n"
                       "//fake count map=@c value=7 every=100 kind=cleared\n"
                       "interval:s:1 { @c = count(); print(@c); clear(@c); }\n")
        for name, other in (("out", "out.times"), ("out.times", "out")):
            self.write(name, "mine\n")
            self.assertEqual(64, self.record())
            self.assertIn("--force", self.words())
            self.assertEqual(b"mine\n", self.recorded(name))
            self.assertFalse(os.path.exists(self.path(other)), other)
            os.unlink(self.path(name))
        # A link is no way out: what it points at stays as it is.
        victim = self.write("victim", "mine\n")
        os.symlink(victim, self.path("out"))
        for arguments in ((), ("--force",)):
            self.assertEqual(64, self.record(*arguments), self.words())
        self.assertEqual(b"mine\n", self.recorded("victim"))
        os.unlink(self.path("out"))
        self.write("out", "mine\n")
        self.assertEqual(0, self.record("--force"), self.words())
        self.assertNotIn(b"mine", self.recorded())
        self.assertEqual(0o600, stat.S_IMODE(os.stat(self.path("out")).st_mode))

    def test_what_cannot_start_leaves_no_file_and_says_why(self):
        self.configure("//fake fail code=1 text=stdin:1:1-3: ERROR: no such "
                       "thing\ninterval:s:1 { @c = count(); print(@c); }\n")
        self.assertEqual(69, self.record())
        self.assertRegex(self.words(), "exit status 1: .*no such thing")
        self.assertEqual([], [name for name in os.listdir(self.folder)
                              if name.startswith("out")])

    def test_mistakes_in_the_command_line(self):
        self.configure("interval:s:1 { @c = count(); print(@c); }\n")
        for arguments, word in ((("--duration", "soon"), "such as 60s"),
                                (("--duration", "0s"), "such as 60s"),
                                (("--size-max", "much"), "such as 64MiB"),
                                (("--size-max", "0"), "such as 64MiB")):
            self.assertEqual(64, self.record(*arguments))
            self.assertIn(word, self.words())
        self.assertFalse(os.path.exists(self.path("out")))

    def test_beside_a_running_daemon(self):
        receiver = self.must_end(Receiver())
        script = self.write("both.bt", "//fake count map=@c value=7 every=100 "
                            "kind=cleared\ninterval:ms:100 "
                            "{ @c = count(); print(@c); clear(@c); }\n")
        daemon = self.must_end(Daemon(
            self.folder, {"t": {"script": script}}, receiver.port,
            bpftrace={"program": scenario.program("fake_bpftrace")}).start())
        scenario.wait_until(receiver.taken, 30, "lines of the daemon")
        self.config = daemon.config
        before = set(daemon.descendants())
        self.assertEqual(0, self.record("--duration", "500ms"), self.words())
        self.assertGreater(sums(self.parse())["bpf.testhost.t.c"], 0)
        self.assertEqual(before, set(daemon.descendants()))
        self.assertEqual(0, daemon.stop())
        self.assertEqual({}, receiver.conflicts())


if __name__ == "__main__":
    scenario.main()
