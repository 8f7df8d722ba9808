"""systemd's end of sd_notify: a datagram socket that keeps what it is told."""

import os
import socket
import threading
import time

from scenario import wait_until


class NotifySocket:
    """Listens at `path` until kill()."""

    def __init__(self, path):
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._told = []  # (monotonic time, text)
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while True:
            try:
                message = self._socket.recv(65536)
            except OSError:
                return
            if message == b"end":
                return
            with self._lock:
                self._told.append((time.monotonic(), message.decode()))

    def told(self):
        """[(monotonic time, message)] so far."""
        with self._lock:
            return list(self._told)

    def messages(self):
        return [message for _, message in self.told()]

    def status(self):
        """The STATUS that was told last."""
        found = [line[7:] for message in self.messages()
                 for line in message.split("\n") if line.startswith("STATUS=")]
        return found[-1] if found else ""

    def pings(self):
        """When WATCHDOG=1 came."""
        return [at for at, message in self.told() if "WATCHDOG=1" in message]

    def wait_for(self, text, seconds=20):
        wait_until(lambda: any(text in message for message in self.messages()),
                   seconds, f"systemd is told {text}")

    def kill(self):
        if self._thread.is_alive():
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
                other.sendto(b"end", self.path)
            self._thread.join(5)
        self._socket.close()
        if os.path.exists(self.path):
            os.unlink(self.path)
