"""The oracle: a receiver of Graphite's plaintext that behaves exactly as badly
as told and keeps every line that it has read."""

import collections
import heapq
import itertools
import os
import re
import selectors
import socket
import struct
import threading
import time

from carbon import graphite_lab

Line = collections.namedtuple("Line", "path value timestamp arrived connection")

HOW = ("close", "reset", "fin")


class _Connection:
    def __init__(self, number, sock, cut):
        self.number = number
        self.sock = sock
        self.rest = b""
        self.taken = 0  # bytes
        self.lines = 0
        self.cut = cut  # (bytes, how), or None
        self.deaf = False  # we said FIN, and read only to throw away
        self.ended = False  # the peer said FIN, and we do not answer
        self.watched = False
        self.last = time.monotonic()


class Receiver:
    """Listens on address:port until kill(). Keeps every complete line.

    freeze()/thaw()       the kernel takes connections and bytes, we read none
    refuse()/listen()     nobody listens on the port; again
    cut_after(n, how, times)  the next `times` connections end when n bytes are
                          read
    hang_up_on(pattern, how)  every connection ends at a line that matches the
                          regular expression; the line is not kept
    close_quiet(seconds, how)  a connection on which nothing came for so long
                          ends, whether its batch is whole or has not begun;
                          None: no more
    hold(yes)             all is read, but no end of the peer is answered
    read_slowly(n)        n bytes a second at most over all; None: no limit
    end_idle(how)         ends those on which nothing ever came
    drop_connections()    resets all that are open, as a killed server does

    how: "close" is close(2), which is a reset where bytes lie unread; "reset"
    always one; "fin" a FIN at once, while the rest is read and thrown away.

    `create`: makes the listening socket, for a network of its own.
    """

    def __init__(self, address="127.0.0.1", port=None, create=socket.socket):
        self.address = address
        self.port = port or graphite_lab.free_ports(1)[0]
        self.lines = []
        self.bad = []  # lines that are no plaintext
        self.connections = 0
        self.open_most = 0  # at one time
        self.clean = 0  # connections that the peer ended by FIN, all read
        self.broken = 0  # connections that the peer reset
        self.cut = 0  # connections that we ended
        self._create = create
        self._lock = threading.RLock()
        self._frozen = False
        self._holding = False
        self._cuts = []
        self._hang_up = None
        self._quiet = None
        self._rate = None
        self._timers = []  # a heap of (when, order, act, connection)
        self._order = itertools.count()
        self._open = {}
        self._selector = selectors.DefaultSelector()
        self._wake, self._waker = os.pipe()
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._server = None
        self._ended = False
        self.listen()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    # ---- what a test tells it ------------------------------------------------
    def listen(self):
        with self._lock:
            server = self._create()
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._rate is not None:
                server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            server.bind((self.address, self.port))
            server.listen(128)
            server.setblocking(False)
            self._server = server
            if not self._frozen:
                self._selector.register(server, selectors.EVENT_READ)
            self._poke()
        return self

    def refuse(self):
        with self._lock:
            if self._server is not None:
                if not self._frozen:
                    self._selector.unregister(self._server)
                self._server.close()
                self._server = None
            self.drop_connections()

    def freeze(self):
        with self._lock:
            self._frozen = True
            if self._server is not None:
                self._selector.unregister(self._server)
            for connection in self._open.values():
                self._watch(connection, False)
            self._poke()

    def thaw(self):
        with self._lock:
            self._frozen = False
            if self._server is not None:
                self._selector.register(self._server, selectors.EVENT_READ)
            for connection in self._open.values():
                self._watch(connection, not connection.ended)
            self._poke()

    def cut_after(self, taken, how, times=1):
        assert how in HOW
        with self._lock:
            self._cuts += [(taken, how)] * times

    def cut_every_other(self, cuts):
        """As cut_after for each (bytes, how); between two of them a connection
        that is left alone."""
        with self._lock:
            for cut in cuts:
                self._cuts += [cut, None]

    def cuts_left(self):
        """How many of these connections have not begun."""
        with self._lock:
            return len(self._cuts)

    def hang_up_on(self, pattern, how="close"):
        assert how in HOW
        with self._lock:
            self._hang_up = pattern and (re.compile(pattern.encode()), how)

    def close_quiet(self, seconds, how="close"):
        assert how in HOW
        with self._lock:
            self._quiet = seconds and (seconds, how)
            for connection in self._open.values():
                self._expect_quiet(connection)
            self._poke()

    def hold(self, yes=True):
        with self._lock:
            self._holding = yes
            if not yes:
                for connection in list(self._open.values()):
                    if connection.ended:
                        self.clean += 1
                        self._end(connection, "close")

    def read_slowly(self, bytes_per_second):
        """Takes hold of connections that begin after the next listen()."""
        with self._lock:
            self._rate = bytes_per_second

    def end_idle(self, how="close"):
        assert how in HOW
        with self._lock:
            for connection in list(self._open.values()):
                if connection.taken == 0 and not connection.deaf:
                    self._hang_up_now(connection, how)

    def drop_connections(self):
        with self._lock:
            for connection in list(self._open.values()):
                self._end(connection, "reset")

    def kill(self):
        with self._lock:
            if self._ended:
                return
            self._ended = True
            self.refuse()
            self._poke()
        self._thread.join(5)
        os.close(self._waker)

    # ---- what a test reads ---------------------------------------------------
    def taken(self, since=0):
        """A copy of the lines so far, the first `since` left out."""
        with self._lock:
            return self.lines[since:]

    def newest(self, count):
        """A copy of the last lines alone."""
        with self._lock:
            return self.lines[-count:]

    def open_connections(self):
        with self._lock:
            return len(self._open)

    def values(self):
        """{(path, timestamp): value}: the last one wins, as in whisper."""
        return {(line.path, line.timestamp): line.value
                for line in self.taken()}

    def conflicts(self):
        """What no sender may do: one path and timestamp, two values."""
        seen = collections.defaultdict(set)
        for line in self.taken():
            seen[line.path, line.timestamp].add(line.value)
        return {where: values for where, values in seen.items()
                if len(values) > 1}

    def duplicates(self):
        """Lines that came once more."""
        lines = self.taken()
        return len(lines) - len({(line.path, line.timestamp)
                                 for line in lines})

    def sums(self, prefix=""):
        """{path: sum of its points}."""
        result = collections.defaultdict(int)
        for (path, _), value in self.values().items():
            if path.startswith(prefix):
                result[path] += value
        return dict(result)

    def open(self):
        """How many connections stand."""
        with self._lock:
            return len(self._open)

    # ---- the thread ----------------------------------------------------------
    def _poke(self):
        os.write(self._waker, b"x")

    def _run(self):
        while not self._ended:
            for key, _ in self._selector.select(self._pause()):
                with self._lock:
                    if key.fileobj is self._wake:
                        os.read(self._wake, 4096)
                    elif self._frozen:
                        continue
                    elif key.fileobj is self._server:
                        self._take_connection()
                    elif key.data in self._open.values():
                        self._read(key.data)
            self._act_in_time()
        self._selector.close()
        os.close(self._wake)

    def _pause(self):
        with self._lock:
            if not self._timers:
                return 1.0
            return min(1.0, max(0.0, self._timers[0][0] - time.monotonic()))

    def _act_in_time(self):
        with self._lock:
            while self._timers and self._timers[0][0] <= time.monotonic():
                _, _, act, connection = heapq.heappop(self._timers)
                if connection in self._open.values():
                    act(connection)

    def _later(self, seconds, act, connection):
        heapq.heappush(self._timers, (time.monotonic() + seconds,
                                      next(self._order), act, connection))

    def _watch(self, connection, yes):
        if yes and not connection.watched:
            self._selector.register(connection.sock, selectors.EVENT_READ,
                                    connection)
        elif connection.watched and not yes:
            self._selector.unregister(connection.sock)
        connection.watched = yes

    def _take_connection(self):
        try:
            sock, _ = self._server.accept()
        except OSError:
            return
        sock.setblocking(False)
        self.connections += 1
        cut = self._cuts.pop(0) if self._cuts else None
        connection = _Connection(self.connections, sock, cut)
        self._open[sock.fileno()] = connection
        self.open_most = max(self.open_most, len(self._open))
        self._watch(connection, True)
        self._expect_quiet(connection)

    def _expect_quiet(self, connection):
        if self._quiet:
            self._later(self._quiet[0], self._if_quiet, connection)

    def _if_quiet(self, connection):
        if self._quiet is None or self._frozen or connection.deaf:
            return
        left = connection.last + self._quiet[0] - time.monotonic()
        if left > 0:
            self._later(left, self._if_quiet, connection)
        else:
            self._hang_up_now(connection, self._quiet[1])

    def _read(self, connection):
        limit = 65536
        if connection.cut:
            limit = max(1, min(limit, connection.cut[0] - connection.taken))
        if self._rate is not None:
            limit = max(1, min(limit, self._rate // 20))
            self._watch(connection, False)
            self._later(0.05, lambda c: self._watch(
                c, not self._frozen and not c.ended), connection)
        try:
            piece = connection.sock.recv(limit)
        except BlockingIOError:
            return
        except OSError:
            self.broken += 1
            self._end(connection, "close")
            return
        if not piece:
            if self._holding and not connection.deaf:
                connection.ended = True
                self._watch(connection, False)
                return
            self.clean += not connection.deaf
            self._end(connection, "close")
            return
        if connection.deaf:
            return
        connection.last = time.monotonic()
        connection.taken += len(piece)
        *whole, connection.rest = (connection.rest + piece).split(b"\n")
        for line in whole:
            if self._hang_up and self._hang_up[0].search(line):
                self._hang_up_now(connection, self._hang_up[1])
                return
            self._keep(line, connection)
        if connection.cut and connection.taken >= connection.cut[0]:
            self._hang_up_now(connection, connection.cut[1])

    def _keep(self, line, connection):
        try:
            path, value, timestamp = line.decode("ascii").split(" ")
            exact = int(value) if value.lstrip("-").isdigit() else float(value)
            self.lines.append(Line(path, exact, int(timestamp), time.time(),
                                   connection.number))
            connection.lines += 1
        except ValueError:
            self.bad.append(line)

    def _hang_up_now(self, connection, how):
        self.cut += 1
        if how != "fin":
            self._end(connection, how)
            return
        connection.deaf = True
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._end(connection, "close")

    def _end(self, connection, how):
        del self._open[connection.sock.fileno()]
        self._watch(connection, False)
        if how == "reset":
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                       struct.pack("ii", 1, 0))
        connection.sock.close()
