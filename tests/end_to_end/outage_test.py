#!/usr/bin/python3
"""Graphite is away: nothing that was printed is missing afterwards. A real
bpftrace and a real carbon; sums are compared to the unit."""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
import truth  # noqa: E402
from carbon import Carbon  # noqa: E402
from daemon import Bare, Daemon  # noqa: E402
from receiver import Receiver  # noqa: E402

SCRIPT = """
interval:s:1 {
  @usecs = hist(5); @usecs = hist(70); @by["bash"] = hist(3);
  @calls = count(); @calls = count();
  print(@usecs); clear(@usecs); print(@by); clear(@by); print(@calls);
}
"""


class Outage(scenario.Scenario):
    def setUp(self):
        super().setUp()
        scenario.needs_bpftrace()

    def start(self, port, **groups):
        script = self.write("known.bt",
                            f"//tee {self.path('kept')}\n" + SCRIPT)
        daemon = self.must_end(Daemon(
            self.folder, {"known": {"script": script}}, port,
            bpftrace={"program": scenario.program("tee_bpftrace")}, **groups))
        return daemon.start()

    def expected(self, cumulative=("@calls",)):
        return truth.paths(
            truth.total(truth.lives_of_tee(self.path("kept")), cumulative),
            "known")

    def prints(self):
        return sum(len(life) for life in
                   truth.lives_of_tee(self.path("kept")))

    def wait_for_prints(self, more):
        upto = self.prints() + more
        scenario.wait_until(lambda: self.prints() >= upto, more + 15,
                            f"{more} more prints")

    def test_carbon_comes_late_freezes_dies_and_returns(self):
        scenario.needs_carbon()
        carbon = self.must_end(Carbon(self.path("carbon")))
        daemon = self.start(carbon.port)
        self.wait_for_prints(3 * 40)  # three maps a second, for 40 seconds
        carbon.start()
        calls = "bpf.testhost.known.calls"
        scenario.wait_until(lambda: carbon.series(calls)
                            and len(carbon.points(calls)) >= 6, 20,
                            "what waited arrives")
        # Two batches or more lie in the kernel, unread, when it is killed.
        carbon.freeze()
        self.wait_for_prints(3 * 4)
        carbon.kill()
        self.wait_for_prints(3 * 3)
        carbon.start()
        self.wait_for_prints(3 * 3)
        last = int(time.time())
        scenario.wait_until(
            lambda: max(carbon.points(calls), default=0) >= last, 20,
            "new points in carbon after its death")
        self.assertEqual(0, daemon.stop())
        carbon.end()
        self.same_sums(carbon.sums("bpf.testhost."), self.expected())
        books = daemon.ledger()
        self.assertEqual((0, 0, 0), (books["dropped_buffer"],
                                     books["dropped_stop"], books["parked"]),
                         books)

    def test_a_receiver_that_refuses_resets_and_closes_loses_nothing(self):
        receiver = self.must_end(Receiver())
        receiver.refuse()
        daemon = self.start(receiver.port)
        self.wait_for_prints(3 * 3)
        receiver.listen()
        receiver.cut_after(1, "reset")
        receiver.cut_after(100, "close")
        receiver.cut_after(150, "reset", times=2)
        scenario.wait_until(lambda: receiver.clean >= 2, 30,
                            "batches are accepted after the cuts")
        receiver.freeze()
        self.wait_for_prints(3 * 2)
        receiver.refuse()
        self.wait_for_prints(3 * 2)
        receiver.thaw()
        receiver.listen()
        clean = receiver.clean
        scenario.wait_until(lambda: receiver.clean >= clean + 2, 20,
                            "batches are accepted after the outage")
        self.assertEqual(0, daemon.stop())
        self.assertEqual([], [line for line in receiver.bad])
        self.assertEqual({}, receiver.conflicts())
        # The harmless line of our own that tells a bad line from a bad server.
        probe = "bpf.testhost.bpf2graphite.probe"
        self.same_sums({path: total for path, total in receiver.sums().items()
                        if path != probe}, self.expected())

    def test_what_does_not_fit_the_buffer_is_counted(self):
        receiver = self.must_end(Receiver())
        receiver.refuse()
        # 100 series of some 40 bytes a second: 16 KiB are full in 4 s.
        keys = ";".join(f"key{n}" for n in range(100))
        script = self.write("wide.bt", f"//fake count map=@c keys={keys} "
                            f"every=500\n//fake record path={self.path('wide')}"
                            "\ninterval:ms:500 { @c[comm] = count(); "
                            "print(@c); clear(@c); }\n")
        daemon = self.must_end(Daemon(
            self.folder, {"wide": {"script": script}}, receiver.port,
            bpftrace={"program": scenario.program("fake_bpftrace")},
            graphite={"buffer": "16KiB"}))
        daemon.start()
        # Three times what fits.
        scenario.wait_until(lambda: len(truth.events_of(self.path("wide"))) > 48,
                            30, "24 prints")
        receiver.listen()
        scenario.wait_until(lambda: receiver.clean >= 2, 20,
                            "batches are accepted")
        self.assertEqual(0, daemon.stop())
        books = daemon.ledger()
        self.assertGreater(books["dropped_buffer"], 0, books)
        self.assertEqual(books["points"], len(receiver.values())
                         + books["dropped_buffer"], books)


if __name__ == "__main__":
    scenario.main()
