#!/usr/bin/python3
"""The unit stays as closed as it was: the exposure that `systemd-analyze
security` counts, for the unit and for each drop-in that we ship."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402

UNIT = scenario.TOP / "config/bpf2graphite.service"
DROP_INS = scenario.TOP / "config/systemd"


class UnitSecurity(scenario.Scenario):
    def setUp(self):
        super().setUp()
        if shutil.which("systemd-analyze") is None:
            raise unittest.SkipTest("systemd-analyze is not installed")

    def exposure(self, *drop_ins):
        """0 (closed) to 10 (open) of the unit with these drop-ins."""
        name = "-".join(("unit", *drop_ins))
        folder = os.path.join(self.folder, name)
        os.makedirs(folder + "/bpf2graphite.service.d")
        shutil.copy(UNIT, folder)
        for drop_in in drop_ins:
            shutil.copy(DROP_INS / f"{drop_in}.conf",
                        folder + "/bpf2graphite.service.d")
        done = subprocess.run(
            ["systemd-analyze", "security", "--offline=true", "--no-pager",
             folder + "/bpf2graphite.service"],
            capture_output=True, text=True, timeout=60, check=False,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"})
        found = re.search(r"Overall exposure level .*: ([0-9.]+)", done.stdout)
        if not found and "offline" in done.stderr:
            raise unittest.SkipTest("this systemd-analyze knows no --offline")
        self.assertTrue(found, done.stdout + done.stderr)
        # A key that systemd does not know is only a warning to it.
        about_us = [line for line in done.stderr.splitlines()
                    if "bpf2graphite" in line]
        self.assertEqual([], about_us)
        print(f"exposure of {name}: {found[1]}", flush=True)
        return float(found[1])

    def test_the_unit_is_at_most_2_6(self):
        self.assertLessEqual(self.exposure(), 2.6)

    def test_with_the_strict_drop_in_at_most_2_2(self):
        self.assertLessEqual(self.exposure("strict"), 2.2)

    def test_without_btf_only_the_kernel_modules_are_open(self):
        # ProtectKernelModules is worth 0.2; together with strict.conf, too.
        self.assertLessEqual(self.exposure("no-btf"), 2.8)
        self.assertLessEqual(self.exposure("no-btf", "strict"), 2.4)

    def test_every_drop_in_is_known_here(self):
        self.assertEqual({"strict.conf", "no-btf.conf"},
                         {path.name for path in DROP_INS.glob("*.conf")})


if __name__ == "__main__":
    scenario.main()
