#!/usr/bin/python3
"""Row 17: what we send vanishes, while we send and while we wait for the
server's word."""

import os
import random
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
from fault_matrix import LONG, row  # noqa: E402
from network import Network  # noqa: E402
from oracle import Fault, Issued, descriptors, rss_mib, wait_seconds  # noqa: E402
from receiver import Receiver  # noqa: E402


class BlackHole(Fault):
    def sockets_of(self, daemon):
        folder = f"/proc/{daemon.process.pid}/fd"
        found = set()
        for name in os.listdir(folder):
            try:
                found.add(os.readlink(f"{folder}/{name}"))
            except FileNotFoundError:
                pass
        return found

    def test_it_is_noticed_and_what_was_sent_is_sent_again(self):
        chance = random.Random(17)
        with row(17) as report:
            network = self.must_end(Network())
            # One takes batches; the other one reads, and its end is due.
            sending = self.must_end(Receiver(create=network.socket))
            waiting = self.must_end(Receiver(create=network.socket))
            both = (sending, waiting)
            trace = Issued(self, "t")
            daemon = self.start([trace], 1, prefix=network.prefix(), graphite={
                "destinations": [f"127.0.0.1:{one.port}" for one in both]})
            scenario.wait_until(lambda: all(one.clean >= 2 for one in both),
                                30, "first batches")
            before = descriptors(daemon.process.pid)
            noticed = {one: [] for one in both}
            recovered = []
            for _ in range(8 if LONG else 2):
                waiting.hold()
                scenario.wait_until(
                    lambda: "FIN-WAIT-2" in [state for _, state in
                                             network.sockets(waiting.port)],
                    20, "a batch waits for the server's end")
                standing = {}
                for one in both:
                    standing[one] = scenario.wait_until(
                        lambda one=one: [f"socket:[{number}]" for number, _ in
                                         network.sockets(one.port) if number],
                        20, "a connection stands")
                hole = time.monotonic()
                for one in both:
                    network.black_hole(one.port)
                left = set(both)
                while left:
                    scenario.wait_until(
                        lambda: any(self.sockets_of(daemon).isdisjoint(
                            standing[one]) for one in left), 40, "the hole "
                        "is noticed")
                    held = self.sockets_of(daemon)
                    for one in list(left):
                        if held.isdisjoint(standing[one]):
                            noticed[one].append(time.monotonic() - hole)
                            left.remove(one)
                wait_seconds(chance.uniform(0, 7))
                waiting.hold(False)
                healed = time.time()
                network.heal()
                for one in both:
                    recovered.append(self.fresh(one, healed)[0])
            report.figure("noticed while sending",
                          round(max(noticed[sending]), 1), "s", at_most=12)
            report.figure("noticed while waiting for the end",
                          round(max(noticed[waiting]), 1), "s", at_most=12)
            report.figure("recovery after the heal, longest of "
                          f"{len(recovered)}", round(max(recovered), 2), "s",
                          at_most=5)
            report.figure("largest RSS",
                          rss_mib(daemon.process.pid, "VmHWM"), "MiB")
            status, more = self.no_leftovers(daemon, before, network,
                                             sending.port)
            report.figure("descriptors more", more)
            self.assertEqual(0, status)
            found = [self.judge_receiver(one, [trace]) for one in both]
            report.figure("lost", sum(one.lost for one in found), exactly=0)
            report.figure("duplicates", sum(one.duplicates for one in found))
            self.assertLess(max(noticed[sending] + noticed[waiting]), 20)
            self.assertLess(max(recovered), 15)


if __name__ == "__main__":
    scenario.main()
