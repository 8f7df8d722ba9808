#!/usr/bin/python3
"""The Debian package, from cpack to purge, in a booted systemd: what the first
hour of an administrator is made of."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import package  # noqa: E402
import scenario  # noqa: E402
from booted import Booted  # noqa: E402
from receiver import Receiver  # noqa: E402

UNIT = "bpf2graphite.service"
CONFIG = "/etc/bpf2graphite/caf-application.conf"
# What every package leaves: dpkg's and apt's memory, systemd's, and logs.
ALWAYS_LEFT = re.compile(
    r"/var/(lib/(dpkg|apt|systemd)|log|cache|backups)(/|$)")


class Package(scenario.Scenario):
    @classmethod
    def setUpClass(cls):
        package.needs_tools()
        cls.made = tempfile.mkdtemp(prefix="bpf2graphite-package-")
        cls.addClassCleanup(shutil.rmtree, cls.made, ignore_errors=True)
        cls.package = package.make_package(cls.made + "/first")
        print(f"{os.path.basename(cls.package)}: "
              f"{os.path.getsize(cls.package) / 1024:.0f} KiB from "
              f"{package.build_folder().name}", flush=True)

    def control(self, field):
        return subprocess.run(["dpkg-deb", "-f", self.package, field],
                              capture_output=True, text=True,
                              check=True).stdout.strip()

    def listing(self):
        """{path: mode and owner} of what is in it."""
        text = subprocess.run(["dpkg-deb", "-c", self.package],
                              capture_output=True, text=True,
                              check=True).stdout
        found = {}
        for line in text.splitlines():
            mode, owner, _, _, _, path = line.split(maxsplit=5)
            found[path.removeprefix(".").rstrip("/")] = (mode, owner)
        return found

    def test_1_lintian_finds_no_error(self):
        if shutil.which("lintian") is None:
            raise unittest.SkipTest("lintian is not installed")
        done = subprocess.run(
            ["lintian", "--allow-root", "--fail-on", "error",
             "--tag-display-limit", "0", self.package], capture_output=True,
            text=True, timeout=120, check=False)
        print(f"lintian: {done.stdout.strip() or 'nothing to say'}",
              flush=True)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        # None is needed so far; one would have to say why.
        self.assertNotIn("/usr/share/lintian/overrides/bpf2graphite",
                         self.listing())

    def test_2_it_holds_and_needs_what_it_should(self):
        depends = self.control("Depends")
        for name in ("bpftrace", "libcaf-core0.17", "libc6", "libstdc++6"):
            self.assertIn(name, depends)
        # Seven libraries for two datagrams: app/journal.hpp says why not.
        self.assertNotIn("libsystemd", depends)
        listing = self.listing()
        for path in (CONFIG, "/etc/default/bpf2graphite",
                     "/usr/sbin/bpf2graphite",
                     "/usr/share/bpf2graphite/traces/cpu_latency.bt",
                     "/usr/share/bpf2graphite/systemd/strict.conf",
                     "/usr/share/bpf2graphite/systemd/no-btf.conf",
                     "/usr/share/bpf2graphite/original.conf",
                     "/usr/share/man/man8/bpf2graphite.8.gz",
                     "/usr/share/man/man5/caf-application.conf.5.gz",
                     "/usr/share/bash-completion/completions/bpf2graphite",
                     "/usr/share/doc/bpf2graphite/changelog.gz",
                     "/usr/share/doc/bpf2graphite/copyright",
                     f"/usr/lib/systemd/system/{UNIT}"):
            self.assertIn(path, listing)
        for path, (mode, owner) in listing.items():
            self.assertEqual("root/root", owner, path)
            self.assertRegex(mode, r"^[d-]rw[x-]r-[x-]r-[x-]$", path)

    def test_3_install_start_upgrade_remove_purge(self):
        scenario.needs_bpftrace()
        system = self.must_end(Booted())
        newer = package.make_package(self.made + "/second", "1.0.1~test")
        with system.network():
            receiver = self.must_end(Receiver())
        before = system.additions()

        def install(path):
            system.put(path, "/tmp/package.deb")
            return system.run("dpkg", "-i", "/tmp/package.deb").stdout

        def state(what):
            return system.systemctl(what, UNIT, check=False).stdout.strip()

        # ---- install: enabled, and not before it is told where to send
        words = install(self.package)
        self.assertIn("systemctl start bpf2graphite", words)
        self.assertEqual(("enabled", "inactive"),
                         (state("is-enabled"), state("is-active")))
        checked = system.run("bpf2graphite", "check")
        self.assertIn("cpu-lat", checked.stdout)
        self.assertEqual("", checked.stderr)

        # ---- two lines, and one to be quick
        system.run("sed", "-i", "-e", 's/server = "localhost"/server = '
                   '"127.0.0.1"/', "-e", f"s/port = 2003/port = "
                   f"{receiver.port}/", "-e",
                   "s/# interval = 15s/interval = 1s/", CONFIG)
        edited = system.read(CONFIG)
        self.assertIn(str(receiver.port), edited)
        system.run("bpf2graphite", "check")
        system.systemctl("start", UNIT)

        def arrives(what):
            receiver.lines.clear()
            scenario.wait_until(
                lambda: any(line.path.startswith("bpf.booted.cpu-lat.")
                            and line.value > 0 for line in receiver.taken()),
                90, f"run queue latency arrives {what}")
        arrives("after the installation")
        first = system.main_pid(UNIT)

        # ---- upgrade: restarted, the administrator's file untouched
        install(newer)
        system.wait_active(UNIT)
        self.assertNotIn(system.main_pid(UNIT), (0, first))
        self.assertEqual("1.0.1~test", system.run(
            "dpkg-query", "-W", "-f", "${Version}", "bpf2graphite").stdout)
        self.assertEqual(edited, system.read(CONFIG))
        arrives("after the upgrade")
        self.assertEqual({}, receiver.conflicts())

        # ---- what was stopped and disabled stays so
        system.systemctl("disable", "--now", UNIT)
        install(newer)
        self.assertEqual(("disabled", "inactive"),
                         (state("is-enabled"), state("is-active")))
        system.systemctl("enable", "--now", UNIT)

        # ---- remove: gone, but for what the administrator wrote
        scenario.wait_until(lambda: system.processes("bpftrace"), 30,
                            "bpftrace runs")
        ours = {path for path in system.additions() - before
                if not ALWAYS_LEFT.match(path)}
        self.assertLess({"/var/lib/bpf2graphite", CONFIG}, ours)
        system.run("dpkg", "-r", "bpf2graphite")
        self.assertEqual({}, system.processes("bpf2graphite"))
        self.assertEqual({}, system.processes("bpftrace"))
        self.assertEqual(edited, system.read(CONFIG))
        for path in ("/usr/sbin/bpf2graphite", "/run/bpf2graphite",
                     f"/usr/lib/systemd/system/{UNIT}"):
            self.assertFalse(system.exists(path), path)
        self.assertEqual("inactive", state("is-active"))

        # ---- purge: nothing left
        system.run("dpkg", "-P", "bpf2graphite")
        left = {path for path in system.additions() - before
                if not ALWAYS_LEFT.match(path)}
        self.assertEqual(set(), left)
        self.assertEqual("", system.run(
            "find", "/var/lib/systemd", "/var/lib/dpkg/info", "/run", "/etc",
            "/var/lib/private", "-xdev", "-name", "*bpf2graphite*").stdout)
        print("installed, started, upgraded, removed, purged: nothing left",
              flush=True)


if __name__ == "__main__":
    scenario.main()
