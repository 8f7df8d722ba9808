#!/usr/bin/python3
"""Row 28 of the fault matrix: a stop while 20 scripts print, with Graphite up
and with Graphite down."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
import truth  # noqa: E402
from daemon import Bare, alive  # noqa: E402
from fakes import Fakes  # noqa: E402
from fault_matrix import row  # noqa: E402

STOP, FLUSH = 5, 4  # stop-timeout and flush-timeout, in seconds


class Stop(Fakes):
    def begin(self, **groups):
        for n in range(20):
            self.add(f"t{n}", every=200)
        return self.start(stop={"flush-timeout": Bare(f"{FLUSH}s")}, **groups)

    def end(self, seconds):
        below = self.daemon.descendants()
        self.assertEqual(20, len(below))
        status = self.daemon.stop(seconds)
        self.assertFalse([pid for pid in below if alive(pid)])
        return status

    def test_row_28_with_graphite_up(self):
        with row(28, "up") as report:
            self.begin()
            self.wait_for_prints(10, *self.traces)
            self.assertEqual(0, self.end(30))
            report.figure("stopped in", self.daemon.stop_seconds, "s",
                          at_most=5)
            for name in self.traces:
                events = truth.events_of(self.record(name))
                self.assertEqual("end", events[-1]["event"], name)
                self.assertEqual(1, sum(event["event"] == "signal"
                                        for event in events), name)
            self.judge(report)

    def test_row_28_with_graphite_down(self):
        for how in ("refuses", "frozen"):
            with self.subTest(graphite=how), row(28, how) as report:
                for name in self.traces:
                    pathlib.Path(self.record(name)).unlink()
                self.traces.clear()
                self.receiver.lines.clear()
                self.begin()
                self.wait_for_prints(6, *self.traces)
                if how == "refuses":
                    self.receiver.refuse()
                else:
                    self.receiver.freeze()
                self.wait_for_prints(10, *self.traces)
                self.end(STOP + FLUSH + 20)
                books = self.daemon.ledger()
                report.figure("stopped in", self.daemon.stop_seconds, "s",
                              at_most=STOP + FLUSH)
                report.figure("points lost, as it says", books["dropped_stop"])
                unaccounted = books["points"] - books["accepted"] \
                    - books["dropped_buffer"] - books["dropped_stop"] \
                    - books["parked"]
                report.figure("points not accounted for", unaccounted,
                              exactly=0)
                self.assertGreater(books["dropped_stop"], 0, books)
                self.assertEqual(0, unaccounted, books)
                self.assertIn("did not accept", self.daemon.log())
                if how == "refuses":
                    self.receiver.listen()
                else:
                    self.receiver.thaw()


if __name__ == "__main__":
    scenario.main()
