#!/usr/bin/python3
"""What goes wrong is said clearly and hurts nobody else: beside each bad trace
or destination runs a good one, which loses nothing."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
import truth  # noqa: E402
from carbon import graphite_lab  # noqa: E402
from daemon import Bare, Daemon  # noqa: E402
from receiver import Receiver  # noqa: E402

GOOD = ("//fake hist map=@u values=8:1,64:2 every=200 vary=3\n"
        "interval:ms:200 { @u = hist(8); print(@u); clear(@u); }\n")


class BadInput(scenario.Scenario):
    def run_beside(self, traces, until, seconds=30, ahead=(), **groups):
        """Runs a good trace and `traces` until until(daemon, receiver) holds,
        and 10 prints longer. `ahead`: destinations before the good one.
        Returns the daemon, ended."""
        receiver = self.must_end(Receiver())
        self.receiver = receiver
        good = {"script": self.write(
            "good.bt", f"//fake record path={self.path('good')}\n" + GOOD),
                "program": scenario.program("fake_bpftrace")}
        if ahead:
            destinations = [*ahead, f"127.0.0.1:{receiver.port}"]
            groups = groups | {"graphite": {"destinations": destinations}}
        daemon = self.must_end(Daemon(self.folder, {"good": good, **traces},
                                      receiver.port, **groups))
        daemon.start()

        def prints():
            lives = truth.lives_of_fake(self.path("good"))[0]
            self.assertLessEqual(len(lives), 1, "the good trace was restarted")
            return sum(len(life) for life in lives)

        scenario.wait_until(lambda: until(daemon), seconds,
                            "the fault is noticed")
        enough = prints() + 10
        scenario.wait_until(lambda: prints() >= enough, 15, "prints go on")
        self.assertEqual(0, daemon.stop())
        totals = truth.total(truth.lives_of_fake(self.path("good"))[0], ())
        self.same_sums(receiver.sums("bpf.testhost.good."),
                       truth.paths(totals, "good"))
        self.assertEqual({}, receiver.conflicts())
        self.assertEqual([], receiver.bad)
        return daemon

    def fake_trace(self, name, directives):
        return {name: {"script": self.write(
            f"{name}.bt", f"//fake record path={self.path(name)}\n"
            + directives + "interval:ms:200 { @u = hist(8); print(@u); "
            "clear(@u); }\n"), "program": scenario.program("fake_bpftrace")}}

    def one_line(self, daemon, *parts):
        """Some line of the log holds all the parts."""
        return any(all(part in line for part in parts)
                   for line in daemon.log().splitlines())

    def test_a_script_that_is_missing(self):
        self.run_beside(
            {"lost": {"script": self.path("nowhere.bt"),
                      "program": scenario.program("fake_bpftrace")}},
            lambda daemon: self.one_line(daemon, "lost", "nowhere.bt"))

    def test_a_script_that_is_a_folder(self):
        pathlib.Path(self.path("folder.bt")).mkdir()
        self.run_beside(
            {"lost": {"script": self.path("folder.bt"),
                      "program": scenario.program("fake_bpftrace")}},
            lambda daemon: self.one_line(daemon, "lost", "folder.bt"))

    def test_a_script_that_everybody_may_write(self):
        path = pathlib.Path(self.write("loose.bt", GOOD))
        path.chmod(0o666)
        self.run_beside(
            {"lost": {"script": str(path),
                      "program": scenario.program("fake_bpftrace")}},
            lambda daemon: self.one_line(daemon, "loose.bt", "chmod"))

    def test_a_syntax_error(self):
        scenario.needs_bpftrace()
        self.run_beside(
            {"broken": {"script": self.write(
                "broken.bt", "interval:s:1 { @a = hist(; print(@a); }\n"),
                "program": "bpftrace"}},
            lambda daemon: self.one_line(daemon, "broken", "syntax error"))

    def test_a_bpftrace_that_is_missing(self):
        trace = self.fake_trace("orphan", "")
        trace["orphan"]["program"] = "/nonexistent/bpftrace"
        self.run_beside(trace, lambda daemon: self.one_line(
            daemon, "orphan", "/nonexistent/bpftrace"))

    def test_a_port_that_refuses(self):
        port = graphite_lab.free_ports(1)[0]
        self.run_beside(
            {}, lambda daemon: self.one_line(daemon, str(port), "refused"),
            ahead=[f"127.0.0.1:{port}"], stop={"flush-timeout": Bare("1s")})

    def test_a_name_that_does_not_resolve(self):
        self.run_beside(
            {}, lambda daemon: self.one_line(daemon, "no-such-host.invalid"),
            ahead=["no-such-host.invalid:2003"],
            stop={"flush-timeout": Bare("1s")})

    def test_garbage_on_standard_output(self):
        daemon = self.run_beside(
            self.fake_trace("noisy", "".join(
                f"//fake garbage at={at} bytes=20000 seed={at}\n"
                for at in range(100, 3000, 300))
                + "//fake hist map=@u values=8:1 every=250\n"),
            lambda daemon: len(truth.events_of(self.path("noisy"))) >= 24)
        self.assertEqual(1, len(truth.lives_of_fake(self.path("noisy"))[0]))
        # JSON: each record after the noise is whole, so nothing of it is lost.
        self.same_sums(
            self.receiver.sums("bpf.testhost.noisy."), truth.paths(truth.total(
                truth.lives_of_fake(self.path("noisy"))[0], ()), "noisy"),
            daemon.log()[-1000:])

    def test_a_line_of_ten_megabytes(self):
        self.run_beside(
            self.fake_trace("long", "//fake line at=300 bytes=10000000\n"
                            "//fake hist map=@u values=8:1 every=250\n"),
            lambda daemon: len(truth.events_of(self.path("long"))) >= 12)
        self.same_sums(
            self.receiver.sums("bpf.testhost.long."), truth.paths(truth.total(
                truth.lives_of_fake(self.path("long"))[0], ()), "long"))

    def test_a_record_of_ten_megabytes_cut_in_the_middle(self):
        self.run_beside(
            self.fake_trace(
                "cut", '//fake raw at=300 text={"type": "hist", "data": {"@u"\n'
                "//fake line at=301 bytes=10000000\n"
                "//fake hist map=@u values=8:1 every=250 start=500\n"),
            lambda daemon: len(truth.events_of(self.path("cut"))) >= 12)
        self.same_sums(
            self.receiver.sums("bpf.testhost.cut."), truth.paths(truth.total(
                truth.lives_of_fake(self.path("cut"))[0], ()), "cut"))

    def test_output_that_ends_in_the_middle(self):
        self.run_beside(
            self.fake_trace("half", "//fake hist map=@u values=8:1 every=100\n"
                            "//fake exit prints=5 code=1 cut=yes\n"),
            lambda daemon: len(truth.lives_of_fake(self.path("half"))[0]) >= 3)
        self.same_sums(
            self.receiver.sums("bpf.testhost.half."), truth.paths(truth.total(
                truth.lives_of_fake(self.path("half"))[0], ()), "half"))

    def test_a_flood(self):
        self.run_beside(
            self.fake_trace("flood", "//fake flood at=300 text=water\n"),
            lambda daemon: truth.events_of(self.path("flood")),
            bpftrace={"output-budget": "1MiB"})

    def test_a_bpftrace_that_fails_before_it_attaches(self):
        daemon = self.run_beside(
            self.fake_trace("fails",
                            "//fake fail code=1 text=ERROR: no luck\n"),
            lambda daemon: self.one_line(daemon, "fails", "no luck"))
        starts = len(truth.lives_of_fake(self.path("fails"))[0])
        self.assertLessEqual(starts, 2, "started again without a pause\n"
                             + daemon.log()[-1000:])


if __name__ == "__main__":
    scenario.main()
