#!/usr/bin/python3
"""The tools of the other scenarios, held against the real things: a wrong
oracle would make every other result worthless."""

import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
import truth  # noqa: E402
from carbon import Carbon  # noqa: E402
from daemon import alive  # noqa: E402
from network import NameServer, Network  # noqa: E402
from oracle import Fault, Issued  # noqa: E402
from receiver import Receiver  # noqa: E402

CORPUS = scenario.TOP / "tests" / "golden" / "corpus"


class Fake(scenario.Scenario):
    def run_fake(self, directives, *, text=False, seconds=10, stop_after=None,
                 number=signal.SIGINT):
        """Runs fake_bpftrace; sends `number` once the record shows so many
        prints. Returns (status, output, errors)."""
        script = self.write("script.bt", directives)
        form = [] if text else ["-f", "json"]
        process = subprocess.Popen(
            [scenario.program("fake_bpftrace"), *form, "-B", "line", script],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.kill)
        if stop_after is not None:
            scenario.wait_until(
                lambda: sum(e["event"] == "done" for e in
                            truth.events_of(self.path("record"))) >= stop_after
                and not process.poll(), seconds, "enough prints")
            process.send_signal(number)
        output, errors = process.communicate(timeout=seconds)
        return process.returncode, output, errors

    def test_what_it_printed_is_what_it_recorded(self):
        status, output, _ = self.run_fake(
            f"//fake record path={self.path('record')}\n"
            "//fake hist map=@u values=neg:2,0:1,8:3 every=20 vary=3\n"
            "//fake hist map=@k values=1024:5 keys=bash;a,7 every=20 rest=1\n"
            "//fake count map=@c value=7 every=20 kind=cumulative\n"
            "//fake stats map=@s count=2 total=21 every=20\n", stop_after=20)
        self.assertEqual(0, status)
        lives, how = truth.lives_of_fake(self.path("record"))
        self.assertEqual("cumulative", how["@c"])
        self.assertEqual([truth.prints_in(output)], lives)
        totals = truth.total(lives, {"@c"})
        prints = sum(one.map == "@c" for one in lives[0]) - 1  # the last dump
        self.assertEqual(7 * prints, totals["@c", "", ""])
        k = [one for one in lives[0] if one.map == "@k"]
        self.assertEqual(5 * len(k), totals["@k", "bash", "1024"])
        self.assertEqual(10 * len(k), totals["@k", "a,7", "1024"])
        self.assertEqual({"bpf.testhost.t.k.bash.1024": 5 * len(k),
                          "bpf.testhost.t.k.a.7.1024": 10 * len(k)},
                         {path: total for path, total in
                          truth.paths(totals, "t").items() if ".k." in path})

    def test_its_text_has_the_form_of_the_real_one(self):
        status, output, _ = self.run_fake(
            f"//fake record path={self.path('record')}\n"
            "//fake hist map=@u values=neg:1,1:2,512:1 limit=1 every=10\n"
            "//fake count map=@c value=3 keys=a,b limit=1 every=20\n"
            "//fake stats map=@s count=2 total=21 limit=1 every=30\n",
            text=True, stop_after=3)
        self.assertEqual(0, status)
        text = output.decode()
        self.assertTrue(text.startswith("Attaching 1 probe...\n@u: \n"), text)
        self.assertIn("(..., 0)               1 |" + "@" * 26 + " " * 26
                      + "|\n[0]                    0 |" + " " * 52 + "|\n"
                      "[1]                    2 |" + "@" * 52 + "|\n", text)
        self.assertIn("[512, 1K)              1 |", text)
        self.assertIn("@c[a, b]: 3\n", text)
        self.assertIn("@s: count 2, average 10, total 21\n\n", text)
        self.assertTrue(text.endswith("\n\n\n\n"), repr(text[-20:]))

    def test_it_replays_a_capture_with_its_times(self):
        capture = CORPUS / "run-queue-latency.0.17.0.json"
        script = (f"//fake replay at=0 file={capture} times={capture}.times\n"
                  "//fake exit at=4000 code=3\n")
        begun = time.monotonic()
        status, output, _ = self.run_fake(script)
        self.assertEqual(3, status)
        self.assertTrue(output.endswith(capture.read_bytes()))
        last = int((pathlib.Path(f"{capture}.times")).read_text().split()[-2])
        self.assertGreaterEqual(time.monotonic() - begun, last / 1000)

    def test_it_fails_hangs_ignores_and_dies_as_told(self):
        self.assertEqual(
            (5, b"", b"no such probe\n"),
            self.run_fake("//fake fail code=5 text=no such probe\n"))
        status, output, _ = self.run_fake(
            f"//fake record path={self.path('record')}\n"
            "//fake count map=@c every=10\n//fake exit prints=3 cut=yes\n")
        self.assertEqual(0, status)
        self.assertEqual(3, len(truth.prints_in(output)))
        whole = b'{"type": "map", "data": {"@c": 1}}\n'
        self.assertTrue(output.endswith(whole + whole[:len(whole) // 2]),
                        output)
        status, output, _ = self.run_fake(
            "//fake line at=1 bytes=10000000\n//fake garbage at=2 bytes=5000\n"
            "//fake die at=50 signal=9\n")
        self.assertEqual(-9, status)
        self.assertGreater(len(output), 10005000)
        script = self.write("deaf.bt", "//fake ignore signals=INT,TERM\n")
        deaf = subprocess.Popen([scenario.program("fake_bpftrace"), script],
                                stdout=subprocess.PIPE)
        self.addCleanup(deaf.stdout.close)
        self.addCleanup(deaf.kill)
        deaf.stdout.readline()
        deaf.send_signal(signal.SIGINT)
        deaf.send_signal(signal.SIGTERM)
        with self.assertRaises(subprocess.TimeoutExpired):
            deaf.wait(0.5)
        deaf.kill()
        deaf.wait()

    def test_a_directive_can_be_for_one_life_only(self):
        script = (f"//fake record path={self.path('record')}\n"
                  "//fake exit at=1 code=4 life=1\n"
                  "//fake exit at=1 code=6 life=2\n")
        self.assertEqual(4, self.run_fake(script)[0])
        self.assertEqual(6, self.run_fake(script)[0])

    def test_its_version_follows_its_name(self):
        link = self.path("fake_bpftrace-0.23.2")
        os.symlink(scenario.program("fake_bpftrace"), link)
        for path, version in ((link, b"0.23.2"),
                              (scenario.program("fake_bpftrace"), b"0.17.0")):
            told = subprocess.run([path, "--version"], capture_output=True,
                                  check=True).stdout
            self.assertEqual(b"bpftrace v" + version + b"\n", told)


class Tee(scenario.Scenario):
    def test_it_keeps_what_the_real_bpftrace_prints(self):
        scenario.needs_bpftrace()
        kept = self.path("kept")
        script = self.write("known.bt", f"//tee {kept}\n" + """
          interval:ms:100 {
            @u = hist(5); @u = hist(70); @u = hist(70);
            @k["a b"] = count(); @s = stats(10); @s = stats(30);
            print(@u); clear(@u); print(@s); clear(@s);
            print(@k);
          }""")
        for life in range(2):
            process = subprocess.Popen(
                [scenario.program("tee_bpftrace"), "-f", "json", script],
                stdout=subprocess.PIPE, start_new_session=True)
            self.addCleanup(process.kill)
            lines = [process.stdout.readline() for _ in range(10)]
            os.killpg(process.pid, signal.SIGINT)
            rest = process.communicate(timeout=20)[0]
            self.assertEqual(0, process.returncode)
            with open(f"{kept}.00{life}", "rb") as file:
                self.assertEqual(b"".join(lines) + rest, file.read())
        lives = truth.lives_of_tee(kept)
        self.assertEqual(2, len(lives))
        for one in lives[0] + lives[1]:
            if one.map == "@u":
                self.assertEqual({("@u", "", "4"): 1, ("@u", "", "8"): 0,
                                  ("@u", "", "16"): 0, ("@u", "", "32"): 0,
                                  ("@u", "", "64"): 2}, one.values)
            if one.map == "@s":
                self.assertEqual({("@s", "", "samples"): 2,
                                  ("@s", "", "total"): 40}, one.values)
        self.assertEqual(
            sum(max(one.values["@k", "a b", ""] for one in life
                    if one.map == "@k") for life in lives),
            truth.total(lives, {"@k"})["@k", "a b", ""])

    def test_it_ends_as_bpftrace_ends_and_bpftrace_ends_with_it(self):
        scenario.needs_bpftrace()
        script = self.write("t.bt", f"//tee {self.path('kept')}\n"
                            "interval:s:1 { @ = count(); print(@); }")

        def start():
            process = subprocess.Popen(
                [scenario.program("tee_bpftrace"), "-f", "json", script],
                stdout=subprocess.PIPE)
            self.addCleanup(process.stdout.close)
            self.addCleanup(process.kill)
            process.stdout.readline()
            with open(f"/proc/{process.pid}/task/{process.pid}/children") as f:
                return process, int(f.read())

        process, child = start()
        os.kill(child, signal.SIGKILL)
        self.assertEqual(-9, process.wait(10))
        process, child = start()
        process.kill()
        process.wait()
        scenario.wait_until(lambda: not alive(child), 5, "bpftrace is gone")


class RealCarbon(scenario.Scenario):
    def test_points_survive_a_stop_a_freeze_and_a_restart(self):
        scenario.needs_carbon()
        carbon = self.must_end(Carbon(self.path("carbon")))
        carbon.start()
        now = int(time.time())
        with socket.create_connection(("127.0.0.1", carbon.port)) as sender:
            sender.sendall(f"bpf.h.t.u.4 3 {now}\nbpf.h.t.u.4 4 {now + 1}\n"
                           f"bpf.h.t.u.4 9 {now + 30}\n".encode())
        carbon.wait_for_series("bpf.h.t.")
        carbon.end()
        self.assertEqual({now: 3, now + 1: 4, now + 30: 9},
                         carbon.points("bpf.h.t.u.4"))
        port = carbon.port
        carbon.start()
        carbon.freeze()
        with socket.create_connection(("127.0.0.1", carbon.port)) as sender:
            sender.sendall(f"bpf.h.t.u.4 5 {now}\n".encode())
            carbon.thaw()
            scenario.wait_until(
                lambda: carbon.points("bpf.h.t.u.4")[now] == 5, 20, "the 5")
        carbon.kill()
        carbon.start()
        self.assertEqual(port, carbon.port)
        carbon.end()
        self.assertEqual({"bpf.h.t.u.4": 18}, carbon.sums("bpf."))
        self.assertEqual(0, carbon.own("cache.overflow"))


class PlaintextReceiver(scenario.Scenario):
    def setUp(self):
        super().setUp()
        self.receiver = self.must_end(Receiver())

    def send(self, text):
        with socket.create_connection(
                ("127.0.0.1", self.receiver.port), timeout=5) as sender:
            sender.sendall(text)
            sender.shutdown(socket.SHUT_WR)
            return sender.recv(10)

    def test_it_keeps_lines_and_sees_conflicts(self):
        self.send(b"a.b 1 10\na.b 2 11\na.b 2 11\nno line\n\xff 1 2\nhalf 1 1")
        self.assertEqual({"a.b": 3}, self.receiver.sums("a."))
        self.assertEqual({}, self.receiver.conflicts())
        self.assertEqual(2, len(self.receiver.bad))
        self.send(b"a.b 18446744073709551615 11\n")
        self.assertEqual({("a.b", 11): {2, 18446744073709551615}},
                         self.receiver.conflicts())

    def test_it_misbehaves_as_told(self):
        self.receiver.cut_after(6, "reset")
        with self.assertRaises(OSError): # at the write, or what comes after
            self.send(b"a 1 1\n" * 100000)
        self.assertEqual(1, len(self.receiver.taken()))
        self.receiver.cut_after(12, "close")
        try:
            self.assertEqual(b"", self.send(b"a 1 1\na 1 2\na 1 3\n"))
        except OSError:
            pass  # its kernel still held the rest: a reset
        self.assertEqual(3, len(self.receiver.taken()))
        self.receiver.refuse()
        with self.assertRaises(ConnectionRefusedError):
            self.send(b"")
        self.receiver.listen()
        self.receiver.freeze()
        with socket.create_connection(
                ("127.0.0.1", self.receiver.port)) as sender:
            sender.sendall(b"late 1 1\n")
            sender.shutdown(socket.SHUT_WR)
            sender.settimeout(0.3)
            with self.assertRaises(TimeoutError):
                sender.recv(1)
            self.assertEqual({}, self.receiver.sums("late"))
            self.receiver.thaw()
            sender.settimeout(5)
            self.assertEqual(b"", sender.recv(1))
        self.assertEqual({"late": 1}, self.receiver.sums("late"))

    def test_it_hangs_up_holds_reads_slowly_and_ends_what_is_quiet(self):
        self.receiver.hang_up_on("^b ", "reset")
        with self.assertRaises(OSError):
            self.send(b"a 1 1\nb 1 1\na 1 2\n")
        self.assertEqual({("a", 1): 1}, self.receiver.values())
        self.receiver.hang_up_on(None)
        # A FIN of its own while the rest is thrown away: no reset.
        self.receiver.cut_after(6, "fin")
        with socket.create_connection(
                ("127.0.0.1", self.receiver.port), timeout=5) as sender:
            sender.sendall(b"a 1 3\na 1 4\n")
            self.assertEqual(b"", sender.recv(1))
            sender.sendall(b"a 1 5\n")
        self.assertEqual({("a", 1), ("a", 3)}, set(self.receiver.values()))
        self.receiver.hold()
        with socket.create_connection(
                ("127.0.0.1", self.receiver.port), timeout=5) as sender:
            sender.sendall(b"h 1 1\n")
            sender.shutdown(socket.SHUT_WR)
            scenario.wait_until(lambda: self.receiver.sums("h"), 5, "the line")
            sender.settimeout(0.3)
            with self.assertRaises(TimeoutError):
                sender.recv(1)
            self.receiver.hold(False)
            sender.settimeout(5)
            self.assertEqual(b"", sender.recv(1))
        self.receiver.close_quiet(0.2)
        with socket.create_connection(
                ("127.0.0.1", self.receiver.port), timeout=5) as sender:
            sender.sendall(b"q 1 1\n")
            self.assertEqual(b"", sender.recv(1))
        self.assertEqual({"q": 1}, self.receiver.sums("q"))
        self.receiver.close_quiet(None)
        self.receiver.refuse()
        self.receiver.read_slowly(2000)
        self.receiver.listen()
        begun = time.monotonic()
        self.assertEqual(b"", self.send(b"s 1 1\n" * 500))
        self.assertGreater(time.monotonic() - begun, 1)
        self.assertEqual(499, self.receiver.duplicates())

    def test_a_reset_by_the_sender_is_no_clean_end(self):
        sender = socket.create_connection(("127.0.0.1", self.receiver.port))
        sender.sendall(b"a 1 1\n")
        scenario.wait_until(self.receiver.taken, 5, "the line")
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                          struct.pack("ii", 1, 0))
        sender.close()
        scenario.wait_until(lambda: self.receiver.broken == 1, 5, "the reset")
        self.assertEqual(0, self.receiver.clean)

    def test_a_condition_that_never_holds_is_an_error(self):
        with self.assertRaisesRegex(AssertionError, "pigs fly"):
            scenario.wait_until(lambda: False, 0.1, "pigs fly")


class Assertions(Fault):
    """The judge of the faults sees each way in which a sender can be wrong."""

    def setUp(self):
        super().setUp()
        self.trace = Issued(self, "t", keys=2)
        with open(self.trace.record, "w") as record:
            for n in (1, 2, 3, 4):
                record.write(json.dumps(
                    {"event": "print", "n": n, "at": 1000_600 + n * 1000,
                     "values": {"key001": n, "key002": 2 * n}}) + "\n"
                    + json.dumps({"event": "done", "n": n}) + "\n")
        one, two = self.trace.keys
        self.right = {(one, 1001): 1, (one, 1002): 5, (one, 1003): 0,
                      (one, 1004): 4, (two, 1001): 6, (two, 1003): 6,
                      (two, 1004): 8}

    def test_it_accepts_what_is_right(self):
        verdict = self.judge(self.trace, self.right)
        self.assertEqual((8, 0), (verdict.issued, verdict.lost))
        self.assertAlmostEqual(1.6, verdict.latest)
        self.assertAlmostEqual(0.6, verdict.earliest)

    def test_it_refuses_what_is_wrong(self):
        one, two = self.trace.keys
        for change in ({(one, 1004): 5}, {(one, 1004): 0}, {(two, 1002): 1},
                       {(one, 1003): 4, (one, 1004): 0, (one, 1002): 4},
                       {(one, 1001): 5, (one, 1002): 1}):
            with self.subTest(change), self.assertRaises(AssertionError):
                self.judge(self.trace, self.right | change)
        for slot in (-10, 10):
            with self.subTest(slot), self.assertRaises(AssertionError):
                self.judge(self.trace, {(path, at + slot): value for
                                        (path, at), value
                                        in self.right.items()})

    def test_it_counts_what_may_be_lost_and_judges_the_rest(self):
        one, two = self.trace.keys
        some = {(one, 1003): 3, (two, 1004): 8}
        self.assertEqual(6, self.judge(self.trace, some, may_lose=True).lost)
        del some[one, 1003]
        self.assertEqual(7, self.judge(self.trace, some, may_lose=True).lost)
        some[one, 1004] = 5
        with self.assertRaises(AssertionError):
            self.judge(self.trace, some, may_lose=True)


class OwnNetwork(scenario.Scenario):
    def test_its_faults_are_real_and_nothing_of_it_stays(self):
        network = self.must_end(Network())
        receiver = self.must_end(Receiver(create=network.socket))
        where = ("127.0.0.1", receiver.port)
        with self.assertRaises(ConnectionRefusedError):  # it is elsewhere
            socket.create_connection(where, timeout=0.5)
        network.count_connects(receiver.port)
        sender = network.socket()
        sender.settimeout(5)
        sender.connect(where)
        sender.sendall(b"a 1 1\n")
        scenario.wait_until(receiver.taken, 5, "the line")
        self.assertEqual(1, network.connects())
        self.assertEqual(["ESTAB"], [state for _, state
                                     in network.sockets(receiver.port)])
        network.black_hole(receiver.port)
        sender.sendall(b"a 1 2\n")
        deaf = network.socket()
        deaf.settimeout(0.5)
        with self.assertRaises(TimeoutError):
            deaf.connect(where)
        deaf.close()
        self.assertEqual(1, len(receiver.taken()))
        network.heal()
        scenario.wait_until(lambda: len(receiver.taken()) == 2, 10,
                            "what was sent into the hole")
        network.slow(256)
        begun = time.monotonic()
        sender.sendall(b"a 1 3\n" * 8000)
        sender.shutdown(socket.SHUT_WR)
        self.assertEqual(b"", sender.recv(1))
        self.assertGreater(time.monotonic() - begun, 1)
        sender.close()
        network.kill()
        receiver.kill()

    def test_its_name_server_answers_denies_and_is_silent(self):
        # Where only loopback has addresses, the resolver finds none.
        network = self.must_end(Network(["10.9.0.1"]))
        names = self.must_end(NameServer(network))
        names.names["graphite.test"] = "10.9.0.7"
        resolv = self.write("resolv.conf", "nameserver 127.0.0.1\n"
                            "options timeout:1 attempts:1\n")

        def look_up():
            return subprocess.run(
                network.prefix(resolv) + ["getent", "ahostsv4",
                                          "graphite.test"],
                capture_output=True, text=True, check=False).stdout
        self.assertTrue(look_up().startswith("10.9.0.7 "), look_up())
        del names.names["graphite.test"]
        self.assertEqual("", look_up())
        names.mute = True
        asked = names.asked
        self.assertEqual("", look_up())
        self.assertGreater(names.asked, asked)


if __name__ == "__main__":
    scenario.main()
