"""A headless Chromium for tests, over its debugging pipe: what the page shows,
what it asked for, what it complained of."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
import unittest

from scenario import wait_until

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def needs_browser():
    """Skips where no Chromium is installed; returns its path."""
    for name in PROGRAMS:
        if shutil.which(name):
            return shutil.which(name)
    raise unittest.SkipTest("chromium is not installed")


def _numbers_of_the_pipe(to_browser, from_browser):
    """In the child: its descriptors 3 and 4, whatever they were before."""
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10)
            for fd in (to_browser, from_browser)]
    os.dup2(high[0], 3)
    os.dup2(high[1], 4)


class Browser:
    """One page. `requests`: addresses it asked for; `complaints`: errors and
    violations of the policy that it logged; `dialogs`: what alert() showed."""

    def __init__(self, width=1280, height=900, dark=True):
        self._folder = tempfile.mkdtemp(prefix="bpf2graphite-browser-")
        ours, self._out = os.pipe()
        self._in, theirs = os.pipe()
        self.requests, self.complaints, self.dialogs = [], [], []
        self._number, self._rest, self._answers = 0, b"", {}
        self._process = subprocess.Popen(
            [needs_browser(), "--headless", "--no-sandbox", "--disable-gpu",
             "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
             "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--disable-extensions", "--hide-scrollbars",
             "--force-color-profile=srgb", "--remote-debugging-pipe",
             # Nothing but loopback can be reached, whatever a page asks for.
             "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
             f"--user-data-dir={self._folder}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
            close_fds=False,
            preexec_fn=lambda: _numbers_of_the_pipe(ours, theirs))
        os.close(ours)
        os.close(theirs)
        target = self._call("Target.createTarget", url="about:blank")
        self._session = None
        self._session = self._call("Target.attachToTarget", flatten=True,
                                   targetId=target["targetId"])["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._call(domain + ".enable")
        self.size(width, height)
        self.colours(dark)

    # ---- the wire ------------------------------------------------------------
    def _call(self, method, **words):
        self._number += 1
        message = {"id": self._number, "method": method, "params": words}
        if getattr(self, "_session", None):
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        number, deadline = self._number, time.monotonic() + 60
        while number not in self._answers:
            if not self._take(deadline - time.monotonic()):
                raise AssertionError(f"the browser did not answer {method}")
        answer = self._answers.pop(number)
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        return answer.get("result", {})

    def _take(self, seconds):
        """Reads what there is; False when nothing came in time."""
        if seconds <= 0 or not select.select([self._in], [], [], seconds)[0]:
            return False
        part = os.read(self._in, 1 << 20)
        if not part:
            raise AssertionError("the browser ended")
        *whole, self._rest = (self._rest + part).split(b"\0")
        for text in whole:
            self._note(json.loads(text))
        return True

    def _note(self, message):
        if "id" in message:
            self._answers[message["id"]] = message
            return
        words = message["params"]
        kind = message["method"]
        if kind == "Network.requestWillBeSent":
            self.requests.append(words["request"]["url"])
        elif kind == "Log.entryAdded" and words["entry"]["level"] == "error":
            self.complaints.append(words["entry"]["text"])
        elif kind == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(words["exceptionDetails"]))
        elif kind == "Page.javascriptDialogOpening":
            self.dialogs.append(words["message"])

    # ---- what a test does ----------------------------------------------------
    def open(self, url):
        self._call("Page.navigate", url=url)

    def size(self, width, height, scale=1, mobile=False):
        self._call("Emulation.setDeviceMetricsOverride", width=width,
                   height=height, deviceScaleFactor=scale, mobile=mobile)

    def colours(self, dark):
        self._call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme",
             "value": "dark" if dark else "light"}])

    def run(self, script):
        """The value of a JavaScript expression. (While a page is loaded there
        is no document.body: ask for `document.body?.x`.)"""
        answer = self._call("Runtime.evaluate", expression=script,
                            returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise AssertionError(json.dumps(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def wait(self, script, seconds, what):
        """Until the expression is true; its value."""
        return wait_until(lambda: self.run(script), seconds, what)

    def press(self, key):
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key)

    def hover(self, x, y):
        self._call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def picture(self, path, whole=False):
        """A PNG of what can be seen, or of the whole page."""
        data = self._call("Page.captureScreenshot", format="png",
                          captureBeyondViewport=whole)["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def kill(self):
        self._process.kill()
        self._process.wait()
        for fd in (self._in, self._out):
            os.close(fd)
        shutil.rmtree(self._folder, ignore_errors=True)
