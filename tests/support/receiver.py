"""A receiver of Graphite's plaintext that behaves exactly as badly as told."""

import collections
import os
import selectors
import socket
import struct
import threading
import time

from carbon import graphite_lab

Line = collections.namedtuple("Line", "path value timestamp arrived connection")


class _Connection:
    def __init__(self, number, sock, cut):
        self.number = number
        self.sock = sock
        self.rest = b""
        self.taken = 0  # bytes
        self.cut = cut  # (bytes, how), or None


class Receiver:
    """Listens on 127.0.0.1:port until kill(). Keeps every complete line.

    freeze()/thaw()       the kernel takes connections and bytes, we read none
    refuse()/listen()     nobody listens on the port; again
    cut_after(n, how, times)  the next `times` connections end when n bytes are
                          read: how is "close" (FIN) or "reset"
    drop_connections()    resets all that are open, as a killed server does
    """

    def __init__(self):
        self.port = graphite_lab.free_ports(1)[0]
        self.lines = []
        self.bad = []  # lines that are no plaintext
        self.connections = 0
        self.clean = 0  # connections that the peer closed, all read
        self._lock = threading.RLock()
        self._frozen = False
        self._cuts = []
        self._open = {}
        self._selector = selectors.DefaultSelector()
        self._wake, other = os.pipe()
        self._waker = other
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._server = None
        self._ended = False
        self.listen()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    # ---- what a test tells it ------------------------------------------------
    def listen(self):
        with self._lock:
            server = socket.socket()
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind(("127.0.0.1", self.port))
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
            for key in list(self._selector.get_map().values()):
                if key.fileobj is not self._wake:
                    self._selector.unregister(key.fileobj)
            self._poke()

    def thaw(self):
        with self._lock:
            self._frozen = False
            if self._server is not None:
                self._selector.register(self._server, selectors.EVENT_READ)
            for connection in self._open.values():
                self._selector.register(connection.sock,
                                        selectors.EVENT_READ, connection)
            self._poke()

    def cut_after(self, taken, how, times=1):
        assert how in ("close", "reset")
        with self._lock:
            self._cuts += [(taken, how)] * times

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
    def taken(self):
        """A copy of the lines so far."""
        with self._lock:
            return list(self.lines)

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

    def sums(self, prefix=""):
        """{path: sum of its points}."""
        result = collections.defaultdict(int)
        for (path, _), value in self.values().items():
            if path.startswith(prefix):
                result[path] += value
        return dict(result)

    # ---- the thread ----------------------------------------------------------
    def _poke(self):
        os.write(self._waker, b"x")

    def _run(self):
        while not self._ended:
            for key, _ in self._selector.select(1.0):
                with self._lock:
                    if key.fileobj is self._wake:
                        os.read(self._wake, 4096)
                    elif self._frozen:
                        continue
                    elif key.fileobj is self._server:
                        self._take_connection()
                    elif key.data in self._open.values():
                        self._read(key.data)
        self._selector.close()
        os.close(self._wake)

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
        self._selector.register(sock, selectors.EVENT_READ, connection)

    def _read(self, connection):
        limit = 65536
        if connection.cut:
            limit = max(1, min(limit, connection.cut[0] - connection.taken))
        try:
            piece = connection.sock.recv(limit)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self.clean += 1
            self._end(connection, "close")
            return
        connection.taken += len(piece)
        *whole, connection.rest = (connection.rest + piece).split(b"\n")
        for line in whole:
            self._keep(line, connection.number)
        if connection.cut and connection.taken >= connection.cut[0]:
            self._end(connection, connection.cut[1])

    def _keep(self, line, number):
        try:
            path, value, timestamp = line.decode("ascii").split(" ")
            exact = int(value) if value.lstrip("-").isdigit() else float(value)
            self.lines.append(Line(path, exact, int(timestamp), time.time(),
                                   number))
        except ValueError:
            self.bad.append(line)

    def _end(self, connection, how):
        del self._open[connection.sock.fileno()]
        if not self._frozen:
            self._selector.unregister(connection.sock)
        if how == "reset":
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                       struct.pack("ii", 1, 0))
        connection.sock.close()
