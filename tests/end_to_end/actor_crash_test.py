#!/usr/bin/python3
"""Each of the six kinds of actor throws once (a build with test hooks): no
bpftrace is stopped, cumulative maps stay exact, cleared ones lack exactly what
the ledger calls `crash`, and the other trace lacks nothing. Row 33 of the fault
matrix."""

import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
import truth  # noqa: E402
from daemon import Daemon  # noqa: E402
from fault_matrix import row  # noqa: E402
from receiver import Receiver  # noqa: E402

# One value a print, and that value is 1: so a sum that falls short says how
# many values are missing, whatever the ledger counts them in.
CLEARED = "//fake count map=@cleared value=1 every=100\n" \
    "interval:ms:100 { @cleared = count(); print(@cleared); " \
    "clear(@cleared); }\n"
CUMULATIVE = "//fake count map=@grows value=1 every=100 kind=cumulative\n" \
    "interval:ms:100 { @grows = count(); print(@grows); }\n"
SCRIPTS = {"cleared": CLEARED, "grows": CUMULATIVE, "other": CLEARED}
PRINTS = 35


class Crash(scenario.Scenario):
    def crash(self, actor, trace, message):
        """Runs three traces, lets one actor throw at that message of its own,
        and returns (missing per trace, ledger)."""
        receiver = self.must_end(Receiver())
        run = f"{actor}-{trace}"  # a folder
        record = {name: self.path(f"{run}/{name}.record") for name in SCRIPTS}
        traces = {name: {"script": self.write(
            f"{run}/{name}.bt", f"//fake record path={record[name]}\n" + text)}
                  for name, text in SCRIPTS.items()}
        daemon = self.must_end(Daemon(
            self.path(run), traces, receiver.port,
            bpftrace={"program": scenario.program("fake_bpftrace")},
            environment={"BPF2GRAPHITE_TEST_THROW":
                         f"{actor}:{trace}:{message}"}))
        daemon.start()
        scenario.wait_until(
            lambda: all(sum(len(life) for life in
                            truth.lives_of_fake(record[name])[0]) >= PRINTS
                        for name in traces), 30, f"{PRINTS} prints of each")
        daemon.wait_for_log(r"BPF2GRAPHITE_TEST_THROW|thrown for a test")
        self.assertEqual(0, daemon.stop())
        missing = {}
        for name in traces:
            lives, how = truth.lives_of_fake(record[name])
            self.assertEqual(1, len(lives), f"{name}: bpftrace was restarted")
            printed = truth.paths(truth.total(
                lives, [m for m in how if how[m] == "cumulative"]), name)
            sums = receiver.sums(f"bpf.testhost.{name}.")
            missing[name] = sum(printed.values()) - sum(sums.values())
        self.assertEqual({}, receiver.conflicts())
        self.assertEqual([], receiver.bad)
        self.delays = [int(ms) for ms in re.findall(r"starts again in (\d+) ms",
                                                    daemon.log())]
        return missing, daemon.ledger()

    def report(self, report, missing, books):
        """`missing`: of what may lack nothing."""
        self.assertTrue(self.delays, "no actor was started again")
        report.figure("back after", max(self.delays) / 1000, "s", at_most=1)
        report.figure("lost and counted", books["crash"])
        report.figure("lost beyond that", missing, exactly=0)

    def check(self, actor, message):
        """One of the four actors of a trace: first that of a cleared map, then
        that of a cumulative one."""
        with row(33, actor) as report:
            missing, books = self.crash(actor, "cleared", message)
            self.report(report, sum(missing.values()) - books["crash"], books)
            self.assertEqual({"cleared": books["crash"], "grows": 0,
                              "other": 0}, missing, books)
        with row(33, f"{actor} of a cumulative map") as report:
            missing, books = self.crash(actor, "grows", message)
            self.report(report, sum(missing.values()), books)
            self.assertEqual({"cleared": 0, "grows": 0, "other": 0}, missing,
                             books)

    def test_watchdog(self):
        self.check("watchdog", 1)

    def test_line_reader(self):
        self.check("line_reader", 4)

    def test_histogram_parser(self):
        self.check("histogram_parser", 4)

    def test_normalizer(self):
        self.check("normalizer", 4)

    def check_shared(self, actor):
        with row(33, actor) as report:
            missing, books = self.crash(actor, "", 3)
            self.report(report, sum(missing.values()) - books["crash"], books)
            self.assertEqual(books["crash"], sum(missing.values()),
                             (missing, books))

    def test_batcher(self):
        self.check_shared("batcher")

    def test_graphite_connection(self):
        self.check_shared("graphite_connection")


if __name__ == "__main__":
    scenario.main()
