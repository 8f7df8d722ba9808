#!/usr/bin/python3
"""Streaming: one connection for all batches, and nothing is lost when the
receiver resets it, stalls, dies with what it had not read, or never closes."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
import truth  # noqa: E402
from daemon import Bare, Daemon  # noqa: E402
from receiver import Receiver  # noqa: E402

SCRIPT = ("//fake hist map=@u values=8:1,64:2 every=200 rest=3\n"
          "//fake count map=@c every=200 kind=cumulative rest=2\n"
          "interval:ms:200 { @u = hist(8); @c = count(); print(@u); clear(@u); "
          "print(@c); }\n")


class Streaming(scenario.Scenario):
    def start(self, receiver, **graphite):
        script = self.write("t0.bt", f"//fake record path={self.path('t0')}\n"
                            + SCRIPT)
        daemon = self.must_end(Daemon(
            self.folder, {"t0": {"script": script}}, receiver.port,
            bpftrace={"program": scenario.program("fake_bpftrace"),
                      "stop-timeout": Bare("2s")},
            graphite=graphite or {"delivery": "streaming"}))
        return daemon.start()

    def wait_for_batches(self, receiver, more):
        """Slots that arrive for the first time."""
        def slots():
            return len({line.timestamp for line in receiver.taken()})
        upto = slots() + more
        scenario.wait_until(lambda: slots() >= upto, more + 20,
                            f"{more} more slots")

    def wait_for_prints(self, more):
        def prints():
            return sum(len(life) for life in
                       truth.lives_of_fake(self.path("t0"))[0])
        upto = prints() + more
        scenario.wait_until(lambda: prints() >= upto, 20, "more prints")

    def all_arrived(self, receiver, daemon):
        lives, _ = truth.lives_of_fake(self.path("t0"))
        self.same_sums({path: total for path, total
                        in receiver.sums().items()
                        if not path.endswith(".probe")},
                       truth.paths(truth.total(lives, ("@c",)), "t0"))
        self.assertEqual({}, receiver.conflicts())
        books = daemon.ledger()
        self.assertEqual(books["points"], books["accepted"], books)
        print(f"connections {receiver.connections}, lines "
              f"{len(receiver.taken())}, points {books['points']}, lost 0")

    def test_one_connection_carries_everything(self):
        receiver = self.must_end(Receiver())
        daemon = self.start(receiver)
        self.wait_for_batches(receiver, 4)
        self.assertEqual(0, daemon.stop())
        self.assertEqual(1, receiver.connections)
        self.all_arrived(receiver, daemon)

    def test_resets_stalls_and_deaths_lose_nothing(self):
        receiver = self.must_end(Receiver())
        receiver.refuse()
        daemon = self.start(receiver)
        self.wait_for_prints(10)
        receiver.cut_after(1, "reset")
        receiver.cut_after(100, "close")
        receiver.listen()
        self.wait_for_batches(receiver, 2)
        # What its kernel has taken dies with it.
        receiver.freeze()
        self.wait_for_prints(15)
        receiver.refuse()
        self.wait_for_prints(5)
        receiver.thaw()
        receiver.listen()
        self.wait_for_batches(receiver, 2)
        receiver.cut_after(500, "reset", times=2)
        receiver.drop_connections()
        self.wait_for_batches(receiver, 2)
        self.assertEqual(0, daemon.stop())
        self.all_arrived(receiver, daemon)

    def test_a_receiver_that_never_closes_is_streamed_to(self):
        receiver = self.must_end(Receiver())
        receiver.hold(True)
        daemon = self.start(receiver, **{"confirm-timeout": Bare("500ms")})
        daemon.wait_for_log("never closes its side", 20)
        connections = receiver.connections
        self.wait_for_batches(receiver, 3)
        self.assertLessEqual(receiver.connections, connections + 1)
        self.assertEqual(1, daemon.log().count("never closes its side"))
        self.assertEqual(0, daemon.stop(10))
        self.all_arrived(receiver, daemon)


if __name__ == "__main__":
    scenario.main()
