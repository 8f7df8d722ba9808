#!/usr/bin/python3
"""What is written about the program is what it does: --help, the manual pages,
the example configuration and the completion name the same verbs, options,
statuses, variables and keys as the code. (That the example has every key of the
code, with its default, is tested in tests/app/config_test.cpp.)"""

import gzip
import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402

TOP = scenario.TOP
MAN = TOP / "config/man/bpf2graphite.8.scd"
EXAMPLE = TOP / "config/caf-application.conf"
COMPLETION = TOP / "config/bash-completion/bpf2graphite"

OPTION = r"--?[A-Za-z][A-Za-z-]*"


def help_of(*verb):
    done = subprocess.run([scenario.program("binary"), *verb, "--help"],
                          capture_output=True, text=True, timeout=60,
                          check=True)
    return done.stdout


def verbs():
    block = help_of().split("Subcommands:\n")[1].split("\n\n")[0]
    return set(re.findall(r"^  ([a-z][a-z-]*) ", block, re.MULTILINE))


def options(text):
    """Of a help text, each with its value's name or ""."""
    block = text.split("Options:\n")[1].split("\n\n")[0]
    found = {}
    for line in block.splitlines():
        match = re.match(rf"  ((?:{OPTION},)*{OPTION})(?: ([A-Z]+))?\b", line)
        if match:
            for name in match[1].split(","):
                found[name] = match[2] or ""
    return found


def sections(text, mark):
    """{heading: text below} of an scdoc page."""
    parts = re.split(rf"^{mark} (.*)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def defined(text):
    """Options that a piece of the manual page defines, with their values."""
    found = {}
    for line in re.findall(r"^\*-.*$", text, re.MULTILINE):
        value = re.search(r"_([A-Z]+)_", line)
        for name in re.findall(rf"\*({OPTION})\*", line):
            found[name] = value[1] if value else ""
    return found


class Documents(scenario.Scenario):
    def setUp(self):
        super().setUp()
        self.page = sections(MAN.read_text(), "#")
        self.common = options(help_of())

    def test_the_manual_page_has_every_verb_and_no_other(self):
        self.assertEqual(verbs(), set(sections(self.page["VERBS"], "##")))

    def test_the_manual_page_has_every_option_of_each_verb(self):
        self.assertEqual(self.common, defined(self.page["OPTIONS"]))
        for verb, text in sections(self.page["VERBS"], "##").items():
            with self.subTest(verb=verb):
                own = {name: value for name, value
                       in options(help_of(verb)).items()
                       if name not in ("-h", "--help")}
                self.assertEqual(own, defined(text))

    def test_the_synopsis_has_every_verb(self):
        self.assertEqual(verbs(), verbs() & set(
            re.findall(r"\*([a-z]+)\*", self.page["SYNOPSIS"])))

    def test_exit_statuses_are_those_of_the_code(self):
        code = set(re.findall(r"inline constexpr int \w+ = (\d+);",
                              (TOP / "app/options.hpp").read_text()))
        page = set(re.findall(r"^\*(\d+)\*$", self.page["EXIT STATUS"],
                              re.MULTILINE))
        # 128 + SIGTERM: a second signal.
        self.assertEqual(code | {"143"}, page)
        words = help_of().split("Exit status:")[1].split("Environment:")[0]
        self.assertEqual(code, set(re.findall(r"\b\d+\b", words)))
        unit = (TOP / "config/bpf2graphite.service").read_text()
        prevented = re.search(r"^RestartPreventExitStatus=(.*)$", unit,
                              re.MULTILINE)[1].split()
        self.assertEqual(set(), set(prevented) - code)
        self.assertIn("64, 75, 77 and 78", " ".join(
            self.page["EXIT STATUS"].split()))
        self.assertEqual(["64", "75", "77", "78"], prevented)

    def test_variables_are_those_that_the_code_reads(self):
        read = set()
        for path in [*TOP.glob("app/*.cpp"), *TOP.glob("actors/*/*.cpp")]:
            read |= set(re.findall(
                r'(?:getenv|variable|number_of)\("([A-Z0-9_]+)"\)', path.read_text()))
        read = {name for name in read
                if not name.startswith("BPF2GRAPHITE_TEST_")}
        self.assertIn("BPF2GRAPHITE_SERVER", read)
        page = set(re.findall(r"\*([A-Z0-9_]{4,})\*",
                              self.page["ENVIRONMENT"]))
        # Found by CLI11's or libc's own words.
        self.assertEqual(set(), read - page, "not in the manual page")
        self.assertLessEqual(page - read, {"NO_COLOR"})

    def test_files_that_are_named_are_installed(self):
        rules = "".join(path.read_text() for path in (
            TOP / "config/install.cmake", TOP / "config/bpf2graphite.service"))
        for path in re.findall(r"^\*(/\S+)\*$", self.page["FILES"],
                               re.MULTILINE):
            self.assertIn(path.rstrip("/").split("/")[-1], rules, path)

    def test_the_page_of_the_configuration_has_every_key_with_its_default(self):
        page = page_of("caf-application.conf.5.scd")
        keys, group = {}, None
        for line in page.split("# KEYS")[1].splitlines():
            heading = re.match(r"## (.*)", line)
            key = re.match(r"\*([a-z-]+)\* = (.*)", line)
            if heading:
                group = heading[1]
            elif key:
                self.assertNotIn((group, key[1]), keys)
                keys[group, key[1]] = key[2].replace("\\", "")
        wanted, group = {}, None
        for line in EXAMPLE.read_text().split("# Context switches")[0] \
                .splitlines():
            if re.match(r"[a-z-]+ \{$", line):
                group = line.split()[0]
            elif line == "}":
                group = "top level"
            key = re.match(r" *# ([a-z-]+) = (.*)$", line)
            if key:
                wanted[group, key[1]] = key[2]
        wanted |= {("graphite", "server"): '"localhost"',
                   ("graphite", "port"): "2003",
                   ("traces", "script"): '"traces/cpu_latency.bt"'}
        self.assertEqual(wanted, keys)
        self.assertGreater(len(keys), 60)

    def test_the_pages_are_well_formed(self):
        if shutil.which("man") is None:
            raise unittest.SkipTest("man is not installed")
        for name in ("bpf2graphite.8", "caf-application.conf.5"):
            packed = made(name + ".gz")
            path = self.path(name)
            with open(path, "wb") as file:
                file.write(gzip.decompress(packed.read_bytes()))
            done = subprocess.run(
                ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z",
                 path], capture_output=True, text=True, timeout=60, check=False,
                env={**os.environ, "MANROFFSEQ": "", "MANWIDTH": "80",
                     "LC_ALL": "C.UTF-8"})
            self.assertEqual((0, ""), (done.returncode, done.stderr))

    # ---- completion ------------------------------------------------------------
    def completed(self, *words):
        """What bash offers for the last of these words."""
        script = ('PATH="$1:$PATH"; . "$2"; shift 2; COMP_WORDS=("$@"); '
                  "COMP_CWORD=$(($# - 1)); "
                  '_bpf2graphite bpf2graphite "${@: -1}" "${@: -2:1}"; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        done = subprocess.run(
            ["bash", "-u", "-c", script, "_",
             os.path.dirname(scenario.program("binary")), COMPLETION,
             "bpf2graphite", *words], capture_output=True, text=True,
            timeout=60, check=True, cwd=self.folder)
        self.assertEqual("", done.stderr)
        return set(done.stdout.split())

    def test_completion_offers_verbs_options_and_values(self):
        self.assertEqual(verbs(), self.completed(""))
        self.assertEqual({"check"}, self.completed("che"))
        long = {name for name in self.common if name.startswith("--")}
        self.assertEqual(long, self.completed("--"))
        for verb in verbs():
            own = {name for name in options(help_of(verb))
                   if name.startswith("--")}
            self.assertEqual(long | own, self.completed(verb, "--"), verb)
        self.assertEqual({"auto", "text", "json"},
                         self.completed("parse", "--format", ""))
        self.assertEqual({"error", "warning", "notice", "info", "debug"},
                         self.completed("--log-level", ""))
        self.write("some.conf", "")
        for before in (["--config"], ["-c"], ["parse", "--times"]):
            self.assertEqual({"some.conf"}, self.completed(*before, "so"))
        self.assertEqual({"some.conf"},
                         self.completed("--config", "x", "once", "so"))
        self.assertEqual(set(), self.completed("--server", ""))
        # What follows --config is no verb.
        self.assertEqual({"check"}, self.completed("--config", "x", "che"))


def made(name):
    """A file of build/KIND/man."""
    path = pathlib.Path(scenario.program("binary")).parent / "man" / name
    if not path.exists():
        raise unittest.SkipTest("scdoc is not installed: no manual pages")
    return path


def page_of(name):
    return made(name).read_text()


if __name__ == "__main__":
    scenario.main()
