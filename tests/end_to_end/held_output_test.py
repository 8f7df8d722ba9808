#!/usr/bin/python3
"""Prints that are left in their pipes until a batch is due: each lands in the
slot of its own arrival, as if it had been read at once; and who looks at
`status` finds what was printed."""

import collections
import fcntl
import json
import os
import pathlib
import subprocess
import sys
import termios
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
import truth  # noqa: E402
from daemon import Bare, Daemon  # noqa: E402
from receiver import Receiver  # noqa: E402

RESOLUTION = 5


class HeldOutput(scenario.Scenario):
    def script(self, name, kind):
        """A print a second, at 0.8 s of it: less half a gap, that is 0.3 s, and
        no read delay carries it over the end of a slot."""
        body = "print(@c); clear(@c);" if kind == "cleared" else "print(@c);"
        return self.write(f"{name}.bt", (
            f"//fake record path={self.path(name + '.record')}\n"
            "//fake align ms=800\n"
            f"//fake count map=@c keys=one;two every=1000 vary=1000 "
            f"kind={kind}\n"
            f"interval:s:1 {{ @c[comm] = count(); {body} }}\n"))

    def prints(self, name):
        """[(ms since the epoch, value of key one)]"""
        return [(event["at"], event["values"]["one"])
                for event in truth.events_of(self.path(name + ".record"))
                if event["event"] == "print" and not event.get("final")]

    def prints_in_status(self, daemon):
        done = subprocess.run(
            [scenario.program("binary"), "status", "--json", "--config",
             daemon.config], capture_output=True, text=True, timeout=30,
            check=True, stdin=subprocess.DEVNULL)
        return json.loads(done.stdout)["traces"][0]["counts"]["snapshots"]

    def in_pipe(self, pid):
        """Bytes that a process has written and nobody has read."""
        fd = os.open(f"/proc/{pid}/fd/1", os.O_RDONLY | os.O_NONBLOCK)
        try:
            room = bytearray(4)
            fcntl.ioctl(fd, termios.FIONREAD, room)
            return int.from_bytes(room, sys.byteorder)
        finally:
            os.close(fd)

    def test_each_print_is_in_its_slot(self):
        receiver = self.must_end(Receiver())
        fake = scenario.program("fake_bpftrace")
        forms = [(form, kind) for form in ("json", "text")
                 for kind in ("cleared", "cumulative")]
        traces = {}
        for form, kind in forms:
            for how in ("held", "read"):
                name = f"{how}-{form}-{kind}"
                traces[name] = {"script": self.script(name, kind),
                                "program": fake, "format": form}
                if how == "read":  # a limit of silence: nothing is held
                    traces[name]["expect-output-within"] = Bare("60s")
        daemon = self.must_end(Daemon(
            self.folder, traces, receiver.port,
            bpftrace={"starts-at-once": 8},
            graphite={"interval": Bare("5s")},
            slots={"resolution": Bare(f"{RESOLUTION}s")}))
        daemon.start()
        # Ten seconds after its start a trace may be held; then some slots.
        name = f"held-{forms[0][0]}-{forms[0][1]}"
        scenario.wait_until(lambda: len(self.prints(name)) >= 40, 90,
                            "40 prints")
        self.assertEqual(0, daemon.stop())
        values = receiver.values()
        for name in traces:
            prints = self.prints(name)
            expected = collections.Counter()
            for at, value in prints:
                expected[(at - 500) // 1000 // RESOLUTION * RESOLUTION] += \
                    value if "cleared" in name else 0
            if "cumulative" in name:
                before = 0
                for at, value in prints:
                    expected[(at - 500) // 1000 // RESOLUTION * RESOLUTION] \
                        += value - before
                    before = value
            path = f"bpf.testhost.{name}.c.one"
            got = {timestamp: value for (one, timestamp), value
                   in values.items() if one == path}
            # The first ones may hold more (nothing goes to a slot before our
            # start), the last has the final dump.
            whole = sorted(expected)[2:-2]
            self.assertGreaterEqual(len(whole), 4)
            self.assertEqual({slot: expected[slot] for slot in whole},
                             {slot: int(got.get(slot, -1)) for slot in whole},
                             name)
        books = daemon.ledger()
        self.assertEqual(0, books["late"])
        self.assertEqual(0, books["inconsistent"])

    def test_who_looks_sees_what_was_printed(self):
        receiver = self.must_end(Receiver())
        daemon = self.must_end(Daemon(
            self.folder, {"t": {
                "script": self.script("t", "cleared"), "format": "json",
                "program": scenario.program("fake_bpftrace")}}, receiver.port,
            graphite={"interval": Bare("15s")},
            slots={"resolution": Bare("15s")}))
        daemon.start()
        scenario.wait_until(lambda: self.prints("t"), 30, "a first print")
        [pid] = daemon.descendants()
        most = 0

        def some_held():
            nonlocal most
            most = max(most, self.in_pipe(pid))
            return most > 200  # prints of 60 bytes
        scenario.wait_until(some_held, 60, "prints wait in their pipe")
        self.prints_in_status(daemon)
        # One print may be under way.
        scenario.wait_until(
            lambda: self.prints_in_status(daemon)
            >= len(self.prints("t")) - 1, 2, "status knows of them")
        # And for a while nothing is left there longer than the read delay.
        seen = 0
        for _ in range(20):
            time.sleep(0.2)
            seen = max(seen, self.in_pipe(pid))
        print(f"in the pipe at most {most} bytes, {seen} after a look")
        self.assertLess(seen, 130)
        self.assertEqual(0, daemon.stop())
        total = sum(value for _, value in self.prints("t"))
        final = [event["values"] for event in
                 truth.events_of(self.path("t.record"))
                 if event["event"] == "print" and event.get("final")]
        total += sum(values.get("one", 0) for values in final)
        self.assertEqual(total, receiver.sums()["bpf.testhost.t.c.one"])


if __name__ == "__main__":
    scenario.main()
