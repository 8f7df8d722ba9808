#!/usr/bin/python3
"""`bpf2graphite parse --records` against the truth beside each capture: exactly
the expected records, with arrival times and version given, from the binary.
Each capture three times: as a file, and on a socket that keeps the limits of
its packets, so that each read() of the binary returns 4096 bytes, or one. (A
megabyte of single bytes takes a busy machine a minute: the largest captures are
cut so in the long form, and always in the tests of the parsers.)"""

import ctypes
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402

CORPUS = scenario.TOP / "tests" / "golden" / "corpus"
FIELDS = ("map", "keys", "keys_hex", "kind", "bucket", "value", "snapshot",
          "field", "time")
LONG = any(os.environ.get(name) for name in
           ("BPF2GRAPHITE_SOAK_SECONDS", "BPF2GRAPHITE_LONG"))
SINGLE_BYTES_MAX = 48 << 10
# What the truth has wrong, and why we say so.
TRUTH_IS_WRONG = {
    "sigint-end-block.0.17.0":
        "leaves out the rows whose keys span lines (`x\\ny 1 1` and a false "
        "histogram row), which the JSON capture of the same script has",
}


class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class Header(ctypes.Structure):
    """struct msghdr of sendmsg(2)."""
    _fields_ = [("name", ctypes.c_void_p), ("name_length", ctypes.c_uint),
                ("vectors", ctypes.POINTER(Vector)),
                ("vectors_length", ctypes.c_size_t),
                ("control", ctypes.c_void_p),
                ("control_length", ctypes.c_size_t), ("flags", ctypes.c_int)]


class Message(ctypes.Structure):
    """struct mmsghdr of sendmmsg(2)."""
    _fields_ = [("header", Header), ("sent", ctypes.c_uint)]


LIBC = ctypes.CDLL(None, use_errno=True)
AT_ONCE = 512


def send_pieces(to, data, size):
    """Writes `data` as packets of `size` bytes, many a system call: one by one
    a megabyte of single bytes takes Python too long."""
    held = ctypes.create_string_buffer(data, len(data))
    at = ctypes.addressof(held)
    vectors = (Vector * AT_ONCE)()
    messages = (Message * AT_ONCE)()
    for vector, message in zip(vectors, messages):
        message.header.vectors = ctypes.pointer(vector)
        message.header.vectors_length = 1
    offset = 0
    while offset < len(data):
        count = 0
        end = offset
        while count < AT_ONCE and end < len(data):
            vectors[count].base = at + end
            vectors[count].length = min(size, len(data) - end)
            end += vectors[count].length
            count += 1
        sent = 0
        while sent < count:
            done = LIBC.sendmmsg(
                to.fileno(),
                ctypes.byref(messages, sent * ctypes.sizeof(Message)),
                count - sent, socket.MSG_NOSIGNAL)
            if done < 0:
                raise OSError(ctypes.get_errno(), "sendmmsg")
            sent += done
        offset = end


def run(capture, arguments, size):
    """The binary's result; `size` 0: it opens the file itself."""
    command = [scenario.program("binary"), "parse", "--records", *arguments]
    if size == 0:
        return subprocess.run([*command, str(capture)], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=120, check=False)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        process = subprocess.Popen([*command, "-"], stdin=theirs,
                                   stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        theirs.close()
        failed = []

        def feed():
            try:
                send_pieces(ours, capture.read_bytes(), size)
            except OSError as error:
                failed.append(error)
            ours.close()

        feeder = threading.Thread(target=feed)
        feeder.start()
        out, err = process.communicate(timeout=120)
        feeder.join()
        if failed:
            raise failed[0]
        return subprocess.CompletedProcess(command, process.returncode, out,
                                           err)


def records(text):
    return [{name: one[name] for name in FIELDS if name in one}
            for one in map(json.loads, text.splitlines())]


class ParseRecords(unittest.TestCase):
    def check(self, way, size, bytes_max=float("inf")):
        passed, failures = 0, {}
        captures = sorted(CORPUS.glob("*.expected.jsonl"))
        left_out = []
        for truth in captures:
            name = truth.name[:-len(".expected.jsonl")]
            json_run = name.endswith(".json")
            capture = CORPUS / (name if json_run else name + ".out")
            if capture.stat().st_size > bytes_max:
                left_out.append(name)
                continue
            version = re.search(r"\.(\d+\.\d+\.\d+)", name).group(1)
            result = run(
                capture,
                ["--format", "json" if json_run else "text",
                 "--times", str(CORPUS / (name + ".times")),
                 "--bpftrace-version", version], size)
            expected = records(truth.read_text())
            got = records(result.stdout.decode())
            if result.returncode == 0 and got == expected:
                passed += 1
            else:
                failures[name] = TRUTH_IS_WRONG.get(
                    name, f"{len(got)} records, {len(expected)} expected: "
                    + result.stderr.decode()[-200:])
        done = len(captures) - len(left_out)
        print(f"{way}: {passed} of {done}", file=sys.stderr)
        if left_out:
            print(f"  only in the long form: {len(left_out)} captures over "
                  f"{bytes_max} bytes", file=sys.stderr)
        for name, reason in failures.items():
            print(f"  {name}: {reason}", file=sys.stderr)
        self.assertGreater(done, 150)
        self.assertLessEqual(set(failures), set(TRUTH_IS_WRONG))

    def test_every_capture_gives_its_records(self):
        self.check("whole", 0)

    def test_every_capture_in_pieces_of_4096_bytes_gives_them(self):
        self.check("cut at 4096", 4096)

    def test_every_capture_in_single_bytes_gives_them(self):
        self.check("single bytes", 1,
                   float("inf") if LONG else SINGLE_BYTES_MAX)


if __name__ == "__main__":
    scenario.main()
