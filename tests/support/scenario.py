"""What every end-to-end test stands on: conditions with deadlines, scratch
folders, skips that say why, and the exit status that ctest understands."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

SUPPORT = pathlib.Path(__file__).resolve().parent
TOP = SUPPORT.parents[1]
SKIPPED = 77  # ctest's SKIP_RETURN_CODE


def wait_until(condition, seconds, what):
    """Polls until condition() is true and returns what it gave. No guess about
    how long something takes, only a limit: AssertionError names `what`."""
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


def program(name):
    """A program of the build that is tested, or of this folder: from the
    environment (BPF2GRAPHITE_<NAME>), else compiled here and now."""
    told = os.environ.get("BPF2GRAPHITE_" + name.upper())
    if told:
        return told
    source = SUPPORT / f"{name}.cpp"
    if not source.exists():
        raise unittest.SkipTest(f"BPF2GRAPHITE_{name.upper()} is not set")
    built = pathlib.Path(tempfile.gettempdir()) / \
        f"bpf2graphite-{os.getuid()}-{name}-{int(source.stat().st_mtime)}"
    if not built.exists():
        half = built.with_suffix(f".{os.getpid()}")
        subprocess.run(["g++", "-std=c++20", "-O1", "-I", TOP, source, "-o",
                        half], check=True)
        half.rename(built)
    return str(built)


def needs_bpftrace():
    """Skips where a real bpftrace cannot trace."""
    if os.geteuid() != 0:
        raise unittest.SkipTest("bpftrace needs root")
    if shutil.which("bpftrace") is None:
        raise unittest.SkipTest("bpftrace is not installed")
    if not any(os.path.isdir(folder + "/events") for folder in
               ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")):
        raise unittest.SkipTest("tracefs is not mounted")
    tried = subprocess.run(["bpftrace", "-e", "BEGIN { exit(); }"],
                           stdin=subprocess.DEVNULL, capture_output=True,
                           text=True, timeout=60, check=False)
    if tried.returncode != 0:
        raise unittest.SkipTest("bpftrace does not run here: "
                                + tried.stderr.strip()[-200:])


def needs_carbon():
    """Skips where no carbon-cache is installed."""
    if not os.path.exists("/usr/bin/carbon-cache"):
        raise unittest.SkipTest("graphite-carbon is not installed")


class Scenario(unittest.TestCase):
    """One test with a folder of its own (`self.folder`) and daemons whose logs
    are shown when it fails. `self.must_end(x)` calls x.kill() at the end."""

    maxDiff = None

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="bpf2graphite-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.shown = []

    def must_end(self, thing):
        self.addCleanup(thing.kill)
        if hasattr(thing, "log"):
            self.shown.append(thing)
        return thing

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, 0o644)
        return path

    def path(self, name):
        return os.path.join(self.folder, name)

    def tearDown(self):
        result = self._outcome.result
        if any(test is self for test, _ in result.failures + result.errors):
            for thing in self.shown:
                print(f"---- {thing} of {self.id()}:\n{thing.log()[-6000:]}",
                      file=sys.stderr)

    def same_sums(self, received, truth, message=""):
        """Every path of `truth` (path: total) arrived with exactly that total;
        no other path has a value but zero. A missing path counts as 0."""
        wrong = {path: (f"arrived {received.get(path, 0):g}",
                        f"printed {truth.get(path, 0)}")
                 for path in sorted(set(received) | set(truth))
                 if received.get(path, 0) != truth.get(path, 0)}
        self.assertEqual({}, wrong, message)
        self.assertGreater(sum(abs(v) for v in truth.values()), 0,
                           "nothing was printed: the test tests nothing")


def main():
    """Runs the tests of the calling file. Exit status: 0; 1 on a failure, or
    on a skip where CI=true; 77 when all was skipped. Each skip's reason is
    printed on a line of its own: `skipped: TEST: reason`."""
    result = unittest.main(exit=False, verbosity=2).result
    for test, reason in result.skipped:
        print(f"skipped: {test.id()}: {reason}", flush=True)
    if not result.wasSuccessful() or result.testsRun == 0:
        sys.exit(1)
    if result.skipped and os.environ.get("CI") == "true":
        print("a skip is a failure where CI=true", flush=True)
        sys.exit(1)
    sys.exit(SKIPPED if len(result.skipped) >= result.testsRun else 0)
