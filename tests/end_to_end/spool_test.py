#!/usr/bin/python3
"""What Graphite did not accept before the end is kept in the spool, arrives
after the next start, and nothing that was not ours is ever sent."""

import glob
import os
import pathlib
import signal
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
import truth  # noqa: E402
from daemon import Bare, Daemon  # noqa: E402
from receiver import Receiver  # noqa: E402

SCRIPT = ("//fake hist map=@u values=8:1,64:2 every=200 rest=3\n"
          "interval:ms:200 { @u = hist(8); print(@u); clear(@u); }\n")


class Spool(scenario.Scenario):
    def setUp(self):
        super().setUp()
        self.receiver = self.must_end(Receiver())
        self.spool = self.path("spool")

    def daemon(self, **groups):
        record = f"//fake record path={self.path('t0')}\n"
        settings = {"bpftrace": {"program": scenario.program("fake_bpftrace"),
                                 "stop-timeout": Bare("2s")},
                    "graphite": {"spool": self.spool},
                    "stop": {"flush-timeout": Bare("1s")}, **groups}
        return self.must_end(Daemon(
            self.folder, {"t0": {"script": self.write("t0.bt",
                                                      record + SCRIPT)}},
            self.receiver.port, **settings))

    def prints(self):
        return sum(len(life) for life in
                   truth.lives_of_fake(self.path("t0"))[0])

    def run_until_printed(self, daemon, more=10):
        upto = self.prints() + more
        daemon.start()
        scenario.wait_until(lambda: self.prints() >= upto, 20, "prints")

    def spool_files(self, end=".spool"):
        return sorted(glob.glob(self.spool + "/*" + end))

    def stopped_while_graphite_is_down(self):
        self.receiver.refuse()
        daemon = self.daemon()
        self.run_until_printed(daemon)
        daemon.stop(2 + 1 + 5)
        print(f"stop with Graphite down: {daemon.stop_seconds:.1f} s")
        return daemon

    def arrived(self):
        lives, _ = truth.lives_of_fake(self.path("t0"))
        self.same_sums({path: total for path, total
                        in self.receiver.sums().items()
                        if not path.endswith(".probe")},
                       truth.paths(truth.total(lives, ()), "t0"))
        self.assertEqual({}, self.receiver.conflicts())

    def test_what_waited_at_the_stop_arrives_after_the_start(self):
        daemon = self.stopped_while_graphite_is_down()
        books = daemon.ledger()
        self.assertGreater(books["spooled"], 0, books)
        self.assertEqual((0, 0), (books["dropped_stop"], books["waiting"]))
        self.assertEqual(books["points"], books["accepted"] + books["spooled"]
                         + books["dropped_buffer"] + books["parked"], books)
        self.assertEqual(1, len(self.spool_files()))
        self.assertEqual(0o700, os.stat(self.spool).st_mode & 0o777)
        # Down over a second life, too: the file is replaced, not forgotten.
        self.run_until_printed(daemon)
        daemon.stop(2 + 1 + 5)
        second = daemon.ledger()
        self.assertEqual(books["spooled"], second["from_spool"], second)
        self.assertGreater(second["spooled"], books["spooled"], second)
        self.receiver.listen()
        daemon.start()
        scenario.wait_until(lambda: not self.spool_files(), 20,
                            "the spool file is removed")
        first = self.receiver.taken()[0]
        self.assertEqual(min(line.timestamp for line in self.receiver.taken()),
                         first.timestamp, "the oldest did not come first")
        self.assertEqual(0, daemon.stop())
        third = daemon.ledger()
        self.assertEqual(second["spooled"], third["from_spool"], third)
        self.assertEqual(0, third["spooled"] + third["dropped_stop"], third)
        self.arrived()

    def test_a_damaged_file_is_kept_aside_and_nothing_of_it_is_sent(self):
        daemon = self.stopped_while_graphite_is_down()
        name, = self.spool_files()
        with open(name, "r+b") as file:
            file.seek(os.path.getsize(name) // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
        self.receiver.listen()
        daemon.start()
        daemon.wait_for_log(r"is damaged: its checksum does not fit; nothing "
                            r"of it is sent, it is kept as .*\.damaged")
        self.assertEqual([name + ".damaged"], self.spool_files(".damaged"))
        scenario.wait_until(lambda: self.receiver.clean >= 2, 20,
                            "new batches are delivered")
        self.assertEqual(0, daemon.stop())
        self.assertEqual(0, daemon.ledger()["from_spool"])
        self.assertEqual([], self.spool_files())

    def test_a_file_of_another_destination_is_kept_with_one_warning(self):
        daemon = self.stopped_while_graphite_is_down()
        name, = self.spool_files()
        other = os.path.join(self.spool, "old.example.com_2003-0.spool")
        os.rename(name, other)
        self.receiver.listen()
        daemon.start()
        daemon.wait_for_log("for a destination that is not configured")
        scenario.wait_until(lambda: self.receiver.clean >= 1, 20, "a batch")
        self.assertEqual(0, daemon.stop())
        self.assertEqual(1, daemon.log().count("is not configured"))
        self.assertEqual([other], self.spool_files())

    def test_a_second_signal_writes_no_spool_and_says_so(self):
        self.receiver.refuse()
        daemon = self.daemon(stop={"flush-timeout": Bare("60s")})
        self.run_until_printed(daemon)
        daemon.send(signal.SIGTERM)
        daemon.wait_for_log("stopping", 5)
        scenario.wait_until(lambda: daemon.send(signal.SIGTERM)
                            or not daemon.alive(), 5, "it has ended")
        self.assertIn("what waits is not kept in the spool", daemon.log())
        self.assertEqual([], self.spool_files())

    def test_a_folder_that_others_may_enter_is_refused_with_the_remedy(self):
        os.mkdir(self.spool, 0o755)
        os.chmod(self.spool, 0o755)
        daemon = self.daemon()
        daemon.start()
        self.assertEqual(77, daemon.process.wait(10), daemon.log())
        self.assertIn(f"chmod 0700 {self.spool}", daemon.log())


if __name__ == "__main__":
    scenario.main()
