"""The Debian package of the build that is tested."""

import glob
import os
import pathlib
import shutil
import subprocess
import unittest

import scenario


def build_folder():
    """The release, if it is built; else the build that is tested."""
    for folder in (scenario.TOP / "build/release",
                   pathlib.Path(scenario.program("binary")).parent):
        if (folder / "CPackConfig.cmake").exists() \
                and (folder / "bpf2graphite").exists():
            return folder
    raise unittest.SkipTest("no package: scdoc was not there when this was "
                            "configured")


def needs_tools():
    """Skips where no package can be made."""
    for tool, where in (("cpack", "cmake"), ("dpkg-deb", "dpkg"),
                        ("dpkg-shlibdeps", "dpkg-dev")):
        if shutil.which(tool) is None:
            raise unittest.SkipTest(f"{where} is not installed")
    build_folder()


def make_package(into, version=None):
    """The path of a .deb of that version (default: the project's)."""
    os.makedirs(into)
    bump = ["-D", f"CPACK_PACKAGE_VERSION={version}"] if version else []
    done = subprocess.run(
        ["cpack", "-G", "DEB", "-B", into, *bump], cwd=build_folder(),
        capture_output=True, text=True, timeout=300, check=False)
    found = glob.glob(into + "/*.deb")
    if done.returncode != 0 or len(found) != 1:
        raise AssertionError(done.stdout + done.stderr)
    return found[0]
