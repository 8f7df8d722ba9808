#!/usr/bin/python3
"""The log never holds up a value: stderr is a pipe that nobody empties, a full
disk, or closed (row 27). And what it says can be read by machines."""

import fcntl
import json
import os
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
from fault_matrix import row  # noqa: E402
import truth  # noqa: E402
from daemon import Daemon  # noqa: E402
from receiver import Receiver  # noqa: E402

SCRIPT = """//fake record path={record}
//fake count map=@c value=1 every=100
{more}interval:ms:100 {{ @c = count(); print(@c); clear(@c); }}
"""


class Log(scenario.Scenario):
    def start(self, stderr=None, more="", **groups):
        self.receiver = self.must_end(Receiver())
        script = self.write("a.bt", SCRIPT.format(record=self.path("a"),
                                                  more=more))
        self.daemon = Daemon(
            self.folder, {"a": {"script": script}}, self.receiver.port,
            bpftrace={"program": scenario.program("fake_bpftrace")}, **groups)
        if stderr:
            self.daemon._log = stderr
            self.daemon.log = lambda: "(not kept)"
        self.must_end(self.daemon)
        self.daemon.start()

    def lateness(self, seconds):
        """The largest age of a slot when it arrived, from now on."""
        begun = time.time()
        scenario.wait_until(
            lambda: any(line.timestamp > begun + seconds
                        for line in self.receiver.taken()), seconds + 20,
            f"points of {seconds} more seconds")
        return max(line.arrived - line.timestamp
                   for line in self.receiver.taken()
                   if line.timestamp > begun)

    def same_as_printed(self):
        lives, _ = truth.lives_of_fake(self.path("a"))
        self.same_sums(self.receiver.sums(),
                       truth.paths(truth.total(lives, []), "a"))
        self.assertEqual({}, self.receiver.conflicts())

    # Several words a second, from the trace and about it.
    NOISE = "".join(f"//fake stderr at={at} text=noise {at} {'x' * 150}\n"
                    for at in range(0, 4000, 100))

    def test_a_full_pipe_delays_nothing(self):
        """Row 27."""
        self.start(more=self.NOISE)
        quiet = self.lateness(3)
        self.assertEqual(0, self.daemon.stop())
        fifo = self.path("stderr")
        os.mkfifo(fifo)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        writer = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, writer)
        os.unlink(self.path("a"))
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        filled = os.write(writer, b"-" * 4096)
        self.start(stderr=fifo, more=self.NOISE)
        late = self.lateness(3)
        print(f"row 27, full pipe: points {late - quiet:+.3f} s later than "
              f"with a log that is read (1 allowed)", flush=True)
        with row(27, "full pipe") as told:
            told.figure("later than with a log that is read", late - quiet,
                        "s", at_most=1)
        self.assertLess(late - quiet, 1.0 + 1.0)  # slack: a loaded machine
        # Somebody reads again: all that was said comes.
        text = b""

        def read():
            nonlocal text
            try:
                text += os.read(reader, 65536)
            except BlockingIOError:
                pass
            return b"noise 500" in text
        scenario.wait_until(read, 20, "the messages, once they are read")
        self.assertIn(b"1 trace, to 127.0.0.1", text[filled:])
        # Never more than so many from one place; the rest is counted.
        for _ in range(100):
            read()
        self.assertLess(text.count(b"bpftrace: noise"), 40)
        flags = fcntl.fcntl(writer, fcntl.F_GETFL)
        self.assertTrue(flags & os.O_NONBLOCK)
        self.assertEqual(0, self.daemon.stop())
        self.same_as_printed()

    def test_a_full_disk_delays_nothing(self):
        self.start(stderr="/dev/full", more=self.NOISE)
        late = self.lateness(3)
        print(f"row 27, /dev/full: points at most {late:.3f} s after the "
              f"beginning of their slot of 1 s", flush=True)
        with row(27, "/dev/full") as told:
            told.figure("after the end of a slot", late - 1, "s")
        self.assertEqual(0, self.daemon.stop())
        self.same_as_printed()

    def test_an_end_does_not_wait_for_the_log(self):
        fifo = self.path("stderr")
        os.mkfifo(fifo)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        writer = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, writer)
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        os.write(writer, b"-" * 4096)
        self.start(stderr=fifo)
        scenario.wait_until(self.receiver.taken, 20, "a point")
        self.assertEqual(0, self.daemon.stop(15))
        print(f"stopped in {self.daemon.stop_seconds:.2f} s while stderr was "
              f"full", flush=True)
        self.same_as_printed()

    def test_json_is_one_object_a_line(self):
        hostile = r'//fake stderr at=100 text=say "x\\y" \x1b[2J\xff' + "\n" \
            + "//fake stderr at=200 text=" + "long " * 200 + "\n" \
            + "//fake lost at=300 events=5\n"
        self.start(more=hostile, log={"format": "json"})
        self.daemon.wait_for_log("events were lost by bpftrace")
        self.assertEqual(0, self.daemon.stop())
        records = [json.loads(line) for line in
                   self.daemon.log().splitlines()]
        for record in records:
            self.assertRegex(record["time"],
                             r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertIn(record["level"], ("error", "warning", "notice",
                                            "info", "debug"))
            self.assertTrue(record["message"].isprintable())
        events = {record.get("event") for record in records}
        self.assertLessEqual({"started", "stopping", "ledger", "values-lost",
                              "trace-output"}, events)
        said = [record["message"] for record in records
                if record.get("event") == "trace-output"]
        self.assertTrue(any(r'say "x\y" \x1b[2J\xff' in text
                            for text in said), said)
        for text in said:
            self.assertLessEqual(len(text), len("bpftrace: ") + 200)
        lost = [record for record in records
                if record.get("event") == "values-lost"]
        self.assertEqual("a", lost[0]["trace"])
        self.assertTrue(lost[0]["message"].startswith(
            "5 events were lost by bpftrace"), lost)
        self.assertEqual("warning", lost[0]["level"])

    def test_losses_are_told_while_they_happen(self):
        lost = "".join(f"//fake lost at={at} events=3\n"
                       for at in range(100, 2000, 100))
        self.start(more=lost)
        self.daemon.wait_for_log(r"\d+ events were lost by bpftrace: .*RB_PAGES")
        scenario.wait_until(lambda: len(self.receiver.taken()) > 4, 20,
                            "points")
        self.assertEqual(1, self.daemon.log().count("lost by bpftrace"),
                         "told once a minute")
        self.assertEqual(0, self.daemon.stop())
        # At the end, the rest.
        self.assertEqual(2, self.daemon.log().count("lost by bpftrace"))


if __name__ == "__main__":
    scenario.main()
