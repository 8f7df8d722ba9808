"""A network of a test's own: a namespace with a loopback interface, where the
way to the oracle can be black, slow, or without names."""

import ctypes
import os
import re
import select
import shutil
import socket
import struct
import subprocess
import threading
import unittest

from daemon import _dies_with_us
from scenario import wait_until

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


def needs_network():
    """Skips where no namespace can be made or nft is not there."""
    if os.geteuid() != 0:
        raise unittest.SkipTest("a network namespace needs root")
    for name in ("nsenter", "unshare", "ip", "nft", "tc"):
        if shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
            raise unittest.SkipTest(f"{name} is not installed")
    tried = subprocess.run(["unshare", "--net", "--mount", "true"],
                           capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        raise unittest.SkipTest("no namespaces here: "
                                + tried.stderr.strip()[-200:])


class Network:
    """Exists until kill(), or until this process ends in any way: a process
    that sleeps holds it. Its only interface is lo, with 127.0.0.0/8 and what
    `addresses` names."""

    def __init__(self, addresses=()):
        needs_network()
        self._holder = subprocess.Popen(
            ["unshare", "--net", "sleep", "infinity"],
            stdin=subprocess.DEVNULL, preexec_fn=_dies_with_us)
        self._path = f"/proc/{self._holder.pid}/ns/net"
        ours = os.readlink("/proc/self/ns/net")
        wait_until(lambda: os.readlink(self._path) != ours, 10,
                   "a network namespace")
        self.run("ip", "link", "set", "lo", "up")
        for address in addresses:
            self.run("ip", "address", "add", address + "/32", "dev", "lo")
        self.run("nft", "add table inet test")
        self.run("nft", "add chain inet test in "
                 "{ type filter hook input priority 0; }")
        self._rules = 0

    def kill(self):
        self._holder.kill()
        self._holder.wait()

    def prefix(self, resolv_conf=None):
        """A command's beginning that runs the rest inside; with a
        resolv.conf of its own, if told."""
        enter = ["nsenter", f"--net={self._path}"]
        if resolv_conf is None:
            return enter
        return enter + ["unshare", "--mount", "--propagation", "private",
                        "/bin/sh", "-c",
                        f"mount --bind '{resolv_conf}' /etc/resolv.conf && "
                        'exec "$@"', "sh"]

    def run(self, *command):
        """Runs a command inside; returns what it printed."""
        done = subprocess.run(self.prefix() + list(command), text=True,
                              capture_output=True, check=False)
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(command)}: {done.stderr}")
        return done.stdout

    def socket(self, kind=socket.SOCK_STREAM):
        """A socket inside. A namespace belongs to a thread, so one is begun
        for it."""
        made = []

        def make():
            file = os.open(self._path, os.O_RDONLY)
            try:
                if _LIBC.setns(file, _CLONE_NEWNET) == 0:
                    made.append(socket.socket(socket.AF_INET, kind))
            finally:
                os.close(file)
        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if not made:
            raise AssertionError("cannot enter the network namespace")
        return made[0]

    # ---- faults --------------------------------------------------------------
    def black_hole(self, port):
        """What goes to and comes from that TCP port vanishes."""
        for which in ("dport", "sport"):
            self.run("nft", f"add rule inet test in tcp {which} {port} drop")

    def heal(self):
        """Takes away all black holes and counts."""
        self.run("nft", "flush chain inet test in")

    def count_connects(self, port):
        """Counts what wants to connect to that TCP port from now on."""
        self.run("nft", f"add rule inet test in tcp dport {port} "
                 "tcp flags & (syn|ack) == syn counter")

    def connects(self):
        text = self.run("nft", "list chain inet test in")
        return sum(int(line.split("packets ")[1].split()[0])
                   for line in text.splitlines() if "packets " in line)

    def slow(self, kilobits):
        """So many thousand bits a second on the only interface."""
        self.run("ip", "link", "set", "lo", "mtu", "1500")
        self.run("tc", "qdisc", "add", "dev", "lo", "root", "tbf",
                 "rate", f"{kilobits}kbit", "burst", "4kb", "latency", "400ms")

    def fast(self):
        self.run("tc", "qdisc", "del", "dev", "lo", "root")

    def sockets(self, port):
        """TCP connections to that port that are not over, by the number that
        the kernel has for the socket (0 when no process holds it):
        [(number, state)]."""
        found = []
        for line in self.run("ss", "-tanHe", f"dport = :{port}").splitlines():
            state = line.split()[0]
            number = re.search(r"\bino:(\d+)", line)
            if state not in ("TIME-WAIT", "LISTEN"):
                found.append((int(number[1]) if number else 0, state))
        return found


class NameServer:
    """Answers for A records on 127.0.0.1:53 of a network. `names`: {name:
    address}; a name that is not there does not exist. `mute`: it answers
    nothing at all."""

    def __init__(self, network):
        self.names = {}
        self.mute = False
        self.asked = 0
        self._socket = network.socket(socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 53))
        self._end, self._ender = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def kill(self):
        if self._ender is None:
            return
        os.close(self._ender)
        self._ender = None
        self._thread.join(5)
        self._socket.close()
        os.close(self._end)

    def _run(self):
        while True:
            ready, _, _ = select.select([self._socket, self._end], [], [])
            if self._end in ready:
                return
            question, peer = self._socket.recvfrom(512)
            self.asked += 1
            if not self.mute:
                self._socket.sendto(self._answer(question), peer)

    def _answer(self, question):
        """RFC 1035, section 4: header, the question as it came, one record."""
        levels, at = [], 12
        while question[at]:
            levels.append(question[at + 1:at + 1 + question[at]].decode())
            at += 1 + question[at]
        kind = struct.unpack(">H", question[at + 1:at + 3])[0]
        asked = question[12:at + 5]
        address = self.names.get(".".join(levels).lower())
        records = b""
        if address is not None and kind == 1:
            records = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 0, 4) + \
                socket.inet_aton(address)
        flags = 0x8180 if address is not None else 0x8183
        return question[:2] + struct.pack(
            ">HHHHH", flags, 1, 1 if records else 0, 0, 0) + asked + records
