#!/usr/bin/python3 -B
"""A good Python program that does the daemon's work, to compare costs with.

    python_pipeline.py HOST-ADDRESS PORT COUNT KIND PROGRAM [ARG ...]

starts COUNT times PROGRAM ARG ..., where %d in an ARG is the child's index,
and, in one thread: selectors over the pipes, 64 KiB a read, lines by split, no
regular expression; text by slicing at fixed places with each label and each
header looked up in a dict, JSON by json.loads; values added up for each series
(KIND = cumulative: differences to the print before), sent once a slot of 15 s
in one write. SIGTERM: SIGINT to the children, all is read to the end and sent.

No second try, no confirmation, no limits, no own figures.
"""

import json
import os
import resource
import selectors
import signal
import socket
import subprocess
import sys
import time

SLOT = 15
FACTORS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class Child:
    """One bpftrace: its pipe, what is left of a line, its series."""

    def __init__(self, process, prefix, cumulative):
        self.pipe = process.stdout.fileno()
        self.process = process
        self.prefix = prefix
        self.cumulative = cumulative
        self.rest = b""
        self.rows = None  # text: {label: path} of the block that we are in
        self.blocks = {}  # header: {label: path}
        self.paths = {}  # JSON: (map, key): {lower bound: path}
        self.sums = {}
        self.before = {}

    def take(self, chunk):
        lines = (self.rest + chunk).split(b"\n")
        self.rest = lines.pop()
        for line in lines:
            first = line[:1]
            if first == b"[":
                self.row(line)
            elif first == b"{":
                self.record(json.loads(line))
            elif first == b"@":
                self.header(line)

    def add(self, path, value):
        if self.cumulative:
            self.sums[path] = self.sums.get(path, 0) + value \
                - self.before.get(path, 0)
            self.before[path] = value
        else:
            self.sums[path] = self.sums.get(path, 0) + value

    def header(self, line):
        name, _, value = line.rpartition(b":")
        if value.strip():
            self.add(self.path(name), int(value))
            return
        self.rows = self.blocks.get(name)
        if self.rows is None:
            self.rows = self.blocks[name] = {}
            self.rows[b""] = self.path(name) + "."

    def path(self, name):
        name, _, key = name.decode().lstrip("@").partition("[")
        return self.prefix + name + ("." + key[:-1] if key else "")

    def row(self, line):
        label = line[:16]
        path = self.rows.get(label)
        if path is None:
            low = label.decode()[1:].partition(",")[0]
            bound = int(low[:-1]) * FACTORS[low[-1]] if low[-1] in FACTORS \
                else int(low)
            path = self.rows[label] = self.rows[b""] + str(bound)
        self.add(path, int(line[16:line.index(b"|", 16)]))

    def record(self, record):
        kind = record["type"]
        if kind == "hist":
            for name, value in record["data"].items():
                keys = value.items() if isinstance(value, dict) \
                    else (("", value),)
                for key, rows in keys:
                    self.hist(name, key, rows)
        elif kind == "map":
            for name, value in record["data"].items():
                for key, number in value.items():
                    self.add(f"{self.prefix}{name[1:]}.{key}", number)

    def hist(self, name, key, rows):
        paths = self.paths.setdefault((name, key), {})
        add = self.add
        for row in rows:
            low = row["min"]
            path = paths.get(low)
            if path is None:
                level = "." + key if key else ""
                path = paths[low] = f"{self.prefix}{name[1:]}{level}.{low}"
            add(path, row["count"])

    def flush(self, slot):
        lines = [f"{path} {value} {slot}\n"
                 for path, value in self.sums.items()]
        self.sums = dict.fromkeys(self.sums, 0)
        return lines


def main():
    address, port, count, kind = sys.argv[1:5]
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    graphite = socket.create_connection((address, int(port)))
    selector = selectors.DefaultSelector()
    over = []
    woken, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGTERM, lambda *_: over.append(True))
    selector.register(woken, selectors.EVENT_READ, None)
    children = []
    for n in range(int(count)):
        process = subprocess.Popen(
            [word.replace("%d", str(n)) for word in sys.argv[5:]],
            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, bufsize=0,
            start_new_session=True)
        child = Child(process, f"bpf.testhost.t{n}.", kind == "cumulative")
        children.append(child)
        selector.register(child.pipe, selectors.EVENT_READ, child)

    def flush(slot):
        graphite.sendall("".join(
            line for child in children for line in child.flush(slot)).encode())

    left = len(children)
    slot = time.time() // SLOT * SLOT
    told = False
    while left:
        if over and not told:
            told = True
            for child in children:
                child.process.send_signal(signal.SIGINT)
        for key, _ in selector.select(max(0, slot + SLOT - time.time())):
            child = key.data
            if child is None:
                os.read(woken, 512)
                continue
            chunk = os.read(child.pipe, 65536)
            if chunk:
                child.take(chunk)
            else:
                selector.unregister(child.pipe)
                left -= 1
        now = time.time()
        if now >= slot + SLOT:
            flush(int(slot))
            slot = now // SLOT * SLOT
    flush(int(slot))
    for child in children:
        child.process.wait()
    graphite.shutdown(socket.SHUT_WR)
    while graphite.recv(4096):
        pass


if __name__ == "__main__":
    main()
