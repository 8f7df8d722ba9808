#!/usr/bin/python3
"""The puppet module, applied for real in a booted systemd: twice the same is
nothing the second time, a mistake is refused before anything changes."""

import json
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

PUPPET = scenario.TOP / "config/puppet"
MODULE = PUPPET / "modules/bpf2graphite"
UNIT = "bpf2graphite.service"
CONFIG = "/etc/bpf2graphite/caf-application.conf"
DEB = "/root/bpf2graphite.deb"
# puppet apply --detailed-exitcodes
SAME, CHANGED = 0, 2


class PuppetModule(scenario.Scenario):
    """Without a system: what is in the module."""

    def test_puppet_lint_has_nothing_to_say(self):
        if shutil.which("puppet-lint") is None:
            raise unittest.SkipTest("puppet-lint is not installed")
        done = subprocess.run(["puppet-lint", "--fail-on-warnings", PUPPET],
                              capture_output=True, text=True, timeout=120,
                              check=False)
        self.assertEqual((0, ""), (done.returncode, done.stdout))

    def test_its_script_is_the_one_of_the_project(self):
        self.assertEqual(
            (scenario.TOP / "config/traces/cpu_latency.bt").read_bytes(),
            (MODULE / "files/cpu_latency.bt").read_bytes())

    def test_it_knows_which_keys_are_times(self):
        rows = re.findall(r'\{\{"[a-z-]+",\s*"([a-z-]+)", kind::duration',
                          (scenario.TOP / "app/config_schema.cpp").read_text())
        listed = (MODULE / "functions/value.pp").read_text().split("]")[0]
        self.assertEqual(set(rows), set(re.findall(r"'([a-z-]+)'", listed)))
        self.assertGreater(len(rows), 10)

    def test_metadata_and_changes_agree(self):
        metadata = json.loads((MODULE / "metadata.json").read_text())
        self.assertEqual("bpf2graphite-bpf2graphite", metadata["name"])
        newest = re.search(r"^## (.*)$", (MODULE / "CHANGELOG.md").read_text(),
                           re.MULTILINE)[1]
        self.assertEqual(metadata["version"], newest)
        for key in ("author", "summary", "license", "source", "dependencies",
                    "operatingsystem_support", "requirements"):
            self.assertIn(key, metadata)


    def test_its_types_take_what_is_right_and_nothing_else(self):
        if shutil.which("puppet") is None:
            raise unittest.SkipTest("puppet is not installed")
        cases = {
            "Path": (["'/etc/bpf2graphite'", "'/opt/a.b/c_d-e+f@g'",
                      "'/opt/..a'", "'/opt/a..'"],
                     ["''", "'/'", "'etc'", "'/a b'", "'/a/'", "'//a'",
                      "'/a/../b'", "'/..'", "'/a/.'", "'/a;b'", "'/a$b'",
                      "'/a%b'", "\"/a\\n\"", "\"/a\\nb\"", "7", "undef"]),
            "Name": (["'cpu-lat'", "'a_b'", "'0'"],
                     ["''", "'-a'", "'a b'", "'a.b'", "'a/b'", "'a{'",
                      "\"a\\n\"", "1"]),
            "Traces": (["{ 'a' => { 'script' => '/x.bt', 'percentiles' => "
                        "[50, 99.9], 'map-level' => false, 'environment' => "
                        "{ 'BPFTRACE_STRLEN' => '64' } } }"],
                       ["{}", "[]", "'a'", "{ 'a' => {} }", "{ 'a' => 'x' }",
                        "{ 'a b' => { 'script' => '/x' } }",
                        "{ 'a' => { 'scr ipt' => '/x' } }",
                        "{ 'a' => { 'script' => undef } }",
                        "{ 'a' => { 'args' => [['x']] } }",
                        "{ 'a' => { 'environment' => { 'A' => { 'B' => 'c' "
                        "} } } }"]),
            "Settings": (["{}", "{ 'graphite' => { 'interval' => '10s' } }",
                          "{ 'trace-files' => 'traces.d/*.conf' }"],
                         ["'x'", "{ 'graphite' => ['x'] }",
                          "{ 'gra phite' => {} }", "{ 'a' => { 'b c' => 1 } }",
                          "{ 'a' => 7 }"]),
        }
        lines = []
        for name, (good, bad) in cases.items():
            for value, sign, word in [(one, "!~", "refused") for one in good] \
                    + [(one, "=~", "taken") for one in bad]:
                number = len(lines)
                lines.append(
                    f"$v{number} = {value}\n"
                    f"if $v{number} {sign} Bpf2graphite::{name} "
                    f"{{ warning(\"{word}: case {number}\") }}\n")
        manifest = self.write("types.pp", "".join(lines))
        done = subprocess.run(
            ["puppet", "apply", "--noop", "--color", "false", "--confdir",
             self.path("conf"), "--vardir", self.path("var"), "--modulepath",
             PUPPET / "modules", manifest], capture_output=True, text=True,
            timeout=120, check=False)
        words = done.stdout + done.stderr
        self.assertEqual(0, done.returncode, words)
        wrong = [lines[int(number)] + word for word, number in
                 re.findall(r"(refused|taken): case (\d+)", words)]
        self.assertEqual([], wrong)
        self.assertIn("Applied catalog", words)
        print(f"{len(lines)} values of parameters judged", flush=True)


class Applied(scenario.Scenario):
    @classmethod
    def setUpClass(cls):
        if shutil.which("puppet") is None:
            raise unittest.SkipTest("puppet is not installed")
        package.needs_tools()
        scenario.needs_bpftrace()
        cls.system = Booted()
        cls.addClassCleanup(cls.system.close)
        folder = tempfile.mkdtemp(prefix="bpf2graphite-puppet-")
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        cls.system.put(package.make_package(folder + "/made"), DEB)
        cls.system.put_tree(PUPPET, "/root/puppet")
        with cls.system.network():
            cls.receiver = Receiver()
        cls.addClassCleanup(cls.receiver.kill)

    def apply(self, manifest="local.pp"):
        """(exit status, words) of puppet apply."""
        done = self.system.run(
            "puppet", "apply", "--modulepath", "modules/",
            "--detailed-exitcodes", "--color", "false", manifest,
            cwd="/root/puppet", check=False, seconds=180)
        # Facter wants to know more of process 1 than the kernel says here.
        words = "\n".join(line for line in
                          (done.stdout + done.stderr).splitlines()
                          if "Facter" not in line)
        return done.returncode, words

    def applied(self, expected, text=None):
        """Applies a class with these parameters, or local.pp."""
        if text is not None:
            self.system.write("/root/puppet/test.pp",
                              f"class {{ 'bpf2graphite':\n{text}}}\n")
        status, words = self.apply("local.pp" if text is None else "test.pp")
        self.assertEqual(expected, status, words)
        return words

    def state(self):
        """What an unwanted change would show in."""
        return (self.system.read(CONFIG), self.system.main_pid(UNIT),
                sorted(path for path in self.system.additions()
                       if path.startswith(("/etc/", "/opt/", "/usr/"))))

    # One after the other: each begins where the one before ended.
    def test_1_as_the_readme_says(self):
        self.system.run("dpkg", "-i", DEB)
        self.applied(CHANGED)
        self.system.wait_active(UNIT)
        self.assertEqual("enabled", self.system.systemctl(
            "is-enabled", UNIT).stdout.strip())
        self.assertIn('server = "localhost"', self.system.read(CONFIG))
        before = self.state()
        self.applied(SAME)
        self.assertEqual(before, self.state())

    def parameters(self, **more):
        whole = {
            "package_source": f"'{DEB}'",
            "server": "'127.0.0.1'",
            "port": str(self.receiver.port),
            "settings": "{ 'graphite' => { 'interval' => '1s', "
                        "'splay' => false }, 'naming' => { 'host' => "
                        "'testhost' } }",
            "traces": "{ 'cpu-lat' => { 'source' => "
                      "'puppet:///modules/bpf2graphite/cpu_latency.bt', "
                      "'map-level' => false, 'percentiles' => [50, 99.9], "
                      "'environment' => { 'BPFTRACE_STRLEN' => '32' } }, "
                      "'switches' => { 'script' => '/usr/share/bpf2graphite/"
                      "traces/context_switches.bt', 'enabled' => false } }",
            **more}
        return "".join(f"  {name} => {value},\n"
                       for name, value in whole.items())

    def test_2_a_change_restarts_the_service_and_values_arrive(self):
        first = self.system.main_pid(UNIT)
        whole = self.parameters(drop_ins="['strict']")
        self.applied(CHANGED, whole)
        self.assertNotIn(self.system.main_pid(UNIT), (0, first))
        self.assertIn("interval = 1s", self.system.read(CONFIG))
        self.assertIn('BPFTRACE_STRLEN = "32"', self.system.read(CONFIG))
        scenario.wait_until(
            lambda: any(line.path.startswith("bpf.testhost.cpu-lat.")
                        and line.value > 0 for line in self.receiver.taken()),
            60, "run queue latency in Graphite")
        before = self.state()
        self.applied(SAME, whole)
        self.assertEqual(before, self.state())

    def test_3_a_bad_parameter_is_refused_before_anything_is_written(self):
        before = self.state()
        # Puppet names all that are wrong at once.
        wrong = {"port": "70000", "server": "'two words'",
                 "service_name": "'../x'", "location": "'relative'",
                 "traces": "{ 'a b' => { 'script' => '/x' } }",
                 "drop_ins": "['lax']", "package_source": "''"}
        words = self.applied(1, self.parameters(**wrong))
        for name in wrong:
            self.assertIn(f"parameter '{name}'", words)
        words = self.applied(1, self.parameters(
            traces="{ 'x' => { 'enabled' => true } }"))
        self.assertIn("trace x needs a script or a source", words)
        self.assertEqual(before, self.state())

    def test_4_what_only_check_can_know_leaves_the_file_that_works(self):
        before = self.state()
        self.system.write("/root/puppet/test.pp",
                          "class { 'bpf2graphite':\n" + self.parameters(
                              settings="{ 'slots' => { 'resolutoin' => "
                              "'15s' } }", drop_ins="['strict']") + "}\n")
        status, words = self.apply("test.pp")
        self.assertIn(status, (4, 6), words)
        self.assertIn("resolutoin", words)
        self.assertEqual(before[:2], self.state()[:2])
        self.assertEqual("active", self.system.show(UNIT, "ActiveState"))

    def test_5_drop_ins_come_and_go(self):
        self.assertEqual("pid", self.system.show(UNIT, "ProcSubset"))
        self.applied(CHANGED, self.parameters())
        self.assertEqual("all", self.system.show(UNIT, "ProcSubset"))

    def test_6_another_name_and_place_get_a_unit_of_their_own(self):
        own = self.parameters(service_name="'graphs'", location="'/opt/graphs'")
        self.applied(CHANGED, own)
        self.system.wait_active("graphs.service")
        self.assertEqual("inactive", self.system.show(UNIT, "ActiveState"))
        self.assertTrue(self.system.exists("/run/graphs/lock"))
        self.assertTrue(self.system.exists("/opt/graphs/traces/cpu-lat.bt"))
        self.receiver.lines.clear()
        scenario.wait_until(
            lambda: any(line.value > 0 for line in self.receiver.taken()), 60,
            "values of the other service in Graphite")
        self.applied(SAME, own)


    def test_7_where_nothing_is_installed_nothing_is_written(self):
        before = self.state()
        self.system.write("/root/puppet/test.pp",
                          "class { 'bpf2graphite':\n" + self.parameters(
                              manage_package="false",
                              program="'/opt/nowhere/bpf2graphite'",
                              package_source="undef",
                              service_name="'elsewhere'",
                              location="'/opt/elsewhere'") + "}\n")
        status, words = self.apply("test.pp")
        self.assertIn(status, (4, 6), words)
        self.assertIn("bpf2graphite needs /opt/nowhere/bpf2graphite with its "
                      "unit, bpftrace and systemd", words)
        after = self.state()
        self.assertEqual(before[:2], after[:2])
        self.assertEqual([], [path for path in after[2]
                              if path not in before[2]])


if __name__ == "__main__":
    scenario.main()
