#!/usr/bin/python3
"""Row 13: the server's name resolves to nothing, is not answered at all,
resolves, moves, and the name server falls silent again."""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
from fault_matrix import LONG, row  # noqa: E402
from network import Network  # noqa: E402
from oracle import Fault, Issued, descriptors, rss_mib, wait_seconds  # noqa: E402
from receiver import Receiver  # noqa: E402

from network import NameServer  # noqa: E402

OLD, NEW = "10.9.0.1", "10.9.0.2"


class Names(Fault):
    def lateness(self, receiver, since, until):
        """The longest time from the end of a slot to its line's arrival."""
        return max(line.arrived - line.timestamp - 1
                   for line in receiver.taken()
                   if since <= line.arrived <= until)

    def test_a_dead_resolver_blocks_nothing_and_a_new_address_is_found(self):
        with row(13) as report:
            network = self.must_end(Network([OLD, NEW]))
            names = self.must_end(NameServer(network))
            old = self.must_end(Receiver(OLD, create=network.socket))
            new = self.must_end(Receiver(NEW, port=old.port,
                                         create=network.socket))
            # The other destination shows that nothing stands still meanwhile.
            other = self.must_end(Receiver(create=network.socket))
            trace = Issued(self, "t")
            resolv = self.write("resolv.conf", "nameserver 127.0.0.1\n")
            daemon = self.start(
                [trace], 1, prefix=network.prefix(resolv), graphite={
                    "destinations": [f"graphite.test:{old.port}",
                                     f"127.0.0.1:{other.port}"]})
            scenario.wait_until(lambda: other.clean >= 2, 30, "first batches")
            before = descriptors(daemon.process.pid)
            faults = time.time()
            wait_seconds(60 if LONG else 4)  # there is no such name
            self.assertGreater(names.asked, 0)
            names.mute = True
            wait_seconds(60 if LONG else 11)
            names.names["graphite.test"] = OLD
            names.mute = False
            begun = time.time()
            found, _ = self.fresh(old, begun, 60)
            new_begun = time.time()
            names.names["graphite.test"] = NEW
            old.refuse()
            moved, _ = self.fresh(new, new_begun, 60)
            # The last good answer has to do.
            names.mute = True
            silent = time.time()
            new.drop_connections()
            kept, _ = self.fresh(new, silent, 60)
            wait_seconds(6)
            ended = time.time()
            names.mute = False
            wait_seconds(4)  # calm, to compare with
            stall = self.lateness(other, faults, ended)
            calm = self.lateness(other, ended, time.time())
            report.figure("stall of parsing", max(0, round(
                (stall - calm) * 1000)), "ms", at_most=1000)
            report.figure("longest lateness of the other destination", round(
                stall, 2), "s")
            report.figure("delivery after the name resolves", round(found, 1),
                          "s")
            report.figure("after its address changed", round(moved, 1), "s")
            report.figure("with a mute name server after a reset",
                          round(kept, 1), "s")
            report.figure("largest RSS",
                          rss_mib(daemon.process.pid, "VmHWM"), "MiB")
            status, more = self.no_leftovers(daemon, before, network, old.port)
            report.figure("descriptors more", more)
            report.figure("stop", round(daemon.stop_seconds, 1), "s")
            self.assertEqual(0, status)
            # One destination, two machines.
            lines = old.taken() + new.taken()
            values = {(line.path, line.timestamp): line.value
                      for line in lines}
            self.assertEqual(len(values), len(
                {(line.path, line.timestamp, line.value) for line in lines}))
            first = self.judge(trace, values, len(lines) - len(values))
            second = self.judge_receiver(other, [trace])
            report.figure("lost", first.lost + second.lost, exactly=0)
            report.figure("duplicates", first.duplicates + second.duplicates)
            # A blocked thread would stand for the resolver's 5 s and more.
            self.assertLess(stall - calm, 5)


if __name__ == "__main__":
    scenario.main()
