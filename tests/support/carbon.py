"""Real servers in a scratch folder: carbon-cache, and what whisper has of it;
carbon-c-relay."""

import importlib.machinery
import importlib.util
import os
import re
import signal
import socket
import struct
import subprocess
import time
import unittest

from scenario import TOP, wait_until

_LAB = str(TOP / "app" / "graphite_lab")
_loader = importlib.machinery.SourceFileLoader("graphite_lab", _LAB)
graphite_lab = importlib.util.module_from_spec(
    importlib.util.spec_from_loader("graphite_lab", _loader))
_loader.exec_module(graphite_lab)


MARKER = "carbon-test.marker"


class Carbon(graphite_lab.Lab):
    """carbon-cache on ports that stay the same over restarts, as does its
    storage. `retentions`: of every metric. `debian_limits`: with those that
    Debian's carbon.conf sets. `tags`: it tells graphite-web of series with
    tags (start_web). Not started by the constructor."""

    def __init__(self, folder, retentions="1s:1h", debian_limits=False,
                 tags=False):
        schemas = ("[carbon]\npattern = ^carbon\\.\nretentions = 5s:1h\n"
                   f"[all]\npattern = .*\nretentions = {retentions}\n")
        super().__init__(folder, schemas, tags=tags)
        if debian_limits:
            with open(os.path.join(folder, "conf/carbon.conf")) as file:
                text = file.read()
            for key, value in (("MAX_UPDATES_PER_SECOND", 500),
                               ("MAX_CREATES_PER_MINUTE", 50),
                               ("MAX_CACHE_SIZE", "inf")):
                text = re.sub(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
            self.write("conf/carbon.conf", text)
        self.port = self.line
        self._markers = 0

    def start(self):
        """Starts carbon and waits until it listens."""
        stale = os.path.join(self.folder, "run/carbon-cache-a.pid")
        if os.path.exists(stale):
            os.unlink(stale)
        self.start_carbon()
        return self

    def __str__(self):
        return "carbon's log"

    def log(self):
        return self.log_end("log/console.txt")

    def freeze(self):
        """SIGSTOP: its kernel still takes bytes, nobody reads them."""
        self.carbon.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.carbon.send_signal(signal.SIGCONT)

    def kill(self):
        """SIGKILL: what it had read and not stored is gone."""
        if self.carbon is not None:
            self.carbon.kill()
            self.carbon.wait()
            self.carbon = None

    def settle(self):
        """Waits until all that it has read is on disk. SIGTERM alone does not
        do that: its writer sleeps for a second between two rounds, and when it
        finds itself stopped then, it leaves what came in meanwhile (seen with
        1.1.7). A marker on disk says that a round with all that came before it
        has begun; a second one, sent after that, says that it has ended."""
        for _ in range(2):
            self._markers += 1
            with socket.create_connection(("127.0.0.1", self.port)) as sender:
                sender.sendall(f"{MARKER} {self._markers} {int(time.time())}\n"
                               .encode())
            wait_until(
                lambda: os.path.exists(self._file(MARKER))
                and self._markers in self.points(MARKER).values(), 60,
                f"marker {self._markers} on disk")

    def end(self):
        """Ends it when all that it has read is on disk."""
        self.settle()
        self.carbon.terminate()
        self.carbon.wait(30)
        self.carbon = None

    def create(self, names):
        """Makes the whisper files of these metrics, of the marker and of
        carbon's own counters that a test asks for, with a slot a second for
        an hour: where few may be created, before carbon gets a point."""
        import whisper
        host = socket.gethostname().replace(".", "_")
        own = [f"carbon.agents.{host}-a.{counter}" for counter in
               ("droppedCreates", "cache.overflow", "cache.size", "errors")]
        for name in [*names, MARKER, *own]:
            path = self._file(name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            whisper.create(path, [(5 if name in own else 1, 3600)], 0, "sum")

    def _file(self, metric):
        return os.path.join(self.folder, "storage/whisper",
                            metric.replace(".", "/") + ".wsp")

    def series(self, prefix=""):
        """Names of all metrics below the prefix, carbon's own left out."""
        root = os.path.join(self.folder, "storage/whisper")
        names = []
        for here, _, files in os.walk(root):
            for name in files:
                if name.endswith(".wsp"):
                    path = os.path.relpath(os.path.join(here, name[:-4]), root)
                    names.append(path.replace("/", "."))
        return sorted(name for name in names if name.startswith(prefix)
                      and not name.startswith("carbon.")
                      and name != MARKER)

    def points(self, metric, seconds=1800):
        """{timestamp: value} of a metric, as whisper reads them. The slots of
        the next minute too: a daemon that was restarted may be ahead."""
        import whisper  # Debian's python3-whisper: absent, tests skip
        path = self._file(metric)
        now = int(time.time())
        for tries_left in range(5, -1, -1):
            try:
                (start, _, step), found = whisper.fetch(
                    path, now - seconds, now + 60, now + 60)
                break
            except (whisper.WhisperException, struct.error):
                # carbon is just making the file.
                if tries_left == 0:
                    raise
                time.sleep(0.1)
        return {start + i * step: value for i, value in enumerate(found)
                if value is not None}

    def sums(self, prefix=""):
        """{metric: sum of its points}."""
        return {name: sum(self.points(name).values())
                for name in self.series(prefix)}

    def own(self, counter):
        """The sum of one of carbon's own counters, such as `cache.overflow`,
        `droppedCreates`, `errors`; 0 where it was never written."""
        folder = os.path.join(self.folder, "storage/whisper/carbon/agents")
        total = 0
        for agent in os.listdir(folder) if os.path.isdir(folder) else []:
            name = f"carbon.agents.{agent}.{counter}"
            if os.path.exists(os.path.join(
                    folder, agent, counter.replace(".", "/") + ".wsp")):
                total += sum(self.points(name).values())
        return total

    def wait_for_series(self, prefix, seconds=20):
        """Until a metric below the prefix is on disk."""
        return wait_until(lambda: self.series(prefix), seconds,
                          f"a metric {prefix}* in carbon")


class Relay:
    """carbon-c-relay on a port that stays the same over restarts, which sends
    all on to 127.0.0.1:`target`. Not started by the constructor."""

    def __init__(self, folder, target):
        if not os.path.exists("/usr/bin/carbon-c-relay"):
            raise unittest.SkipTest("carbon-c-relay is not installed")
        os.makedirs(folder)
        self.folder = folder
        self.port = graphite_lab.free_ports(1)[0]
        self._process = None
        self._config = os.path.join(folder, "relay.conf")
        with open(self._config, "w") as file:
            file.write(f"listen type linemode 127.0.0.1:{self.port} "
                       "proto tcp;\n"
                       f"cluster all forward 127.0.0.1:{target};\n"
                       "match * send to all stop;\n")

    def __str__(self):
        return "the relay's log"

    def log(self):
        with open(os.path.join(self.folder, "log"), errors="replace") as file:
            return file.read()

    def start(self):
        """Starts it and waits until it listens."""
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self._process = subprocess.Popen(
                # -s: it keeps its own statistics to itself.
                ["/usr/bin/carbon-c-relay", "-s", "-f", self._config],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=graphite_lab.dies_with_us)
        wait_until(lambda: graphite_lab.listens(self.port), 20,
                   "carbon-c-relay listens")
        return self

    def freeze(self):
        self._process.send_signal(signal.SIGSTOP)

    def kill(self):
        """SIGKILL: what it had read and not sent on is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def end(self):
        """Ends it when it has sent on what it holds."""
        self._process.terminate()
        self._process.wait(30)
        self._process = None
