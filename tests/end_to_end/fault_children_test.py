#!/usr/bin/python3
"""Rows 1, 4 and 5 of the fault matrix: bpftrace ends, does not end, says nothing.
Beside each trace that misbehaves run others, which lose nothing."""

import os
import pathlib
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
import truth  # noqa: E402
from daemon import Bare  # noqa: E402
from fakes import Fakes, Real  # noqa: E402
from fault_matrix import LONG, row  # noqa: E402


class Children(Fakes):
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


class RealChildren(Real):
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



if __name__ == "__main__":
    scenario.main()
