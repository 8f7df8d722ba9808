#!/usr/bin/python3
"""A hundred thousand random keys in one map: the names alive stay within the
budget, no count is lost, memory grows by a bounded amount."""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import scenario  # noqa: E402
import truth  # noqa: E402
from daemon import Bare, Daemon  # noqa: E402
from receiver import Receiver  # noqa: E402

KEYS = 100_000
BUDGET = 500
RSS_GROWTH_MAX_MIB = 32  # faults.md, row 11


class ManyKeys(scenario.Scenario):
    def resident_mib(self, daemon, field="VmRSS"):
        with open(f"/proc/{daemon.process.pid}/status") as file:
            for line in file:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) / 1024
        raise AssertionError(f"no {field}")

    def run_crowd(self, form, prints):
        receiver = self.must_end(Receiver())
        record = self.path(f"{form}/record")
        script = self.write(f"{form}/crowd.bt", (
            f"//fake record path={record}\n"
            "//fake count map=@c keys=bash;sh every=250 value=1\n"
            f"//fake crowd map=@c count={KEYS // prints} every=1000 start=4000 "
            f"limit={prints} seed=7\n"
            "tracepoint:a:b { @c[comm] = count(); }\n"
            "interval:ms:250 { print(@c); clear(@c); }\n"))
        daemon = self.must_end(Daemon(
            self.path(form), {"crowd": {
                "script": script, "format": form, "max-series": BUDGET,
                "program": scenario.program("fake_bpftrace")}}, receiver.port,
            slots={"resolution": Bare("1s")}))
        daemon.start()

        def crowds():
            return sum(("@c", "", "") in one.values
                       for life in truth.lives_of_fake(record)[0]
                       for one in life)

        scenario.wait_until(
            lambda: "bpf.testhost.crowd.c.bash" in receiver.sums(), 30,
            "a calm beginning")
        self.assertEqual(0, crowds(), "too slow: the crowd is here")
        before = self.resident_mib(daemon)
        scenario.wait_until(lambda: crowds() >= prints, 60,
                            "all the keys are printed")
        self.assertEqual(1, len(daemon.descendants()))
        settled = receiver.clean + 3
        scenario.wait_until(lambda: receiver.clean >= settled, 30,
                            "batches after the crowd")
        after = self.resident_mib(daemon)
        peak = self.resident_mib(daemon, "VmHWM")
        self.assertEqual(0, daemon.stop())
        lives, _ = truth.lives_of_fake(record)
        self.assertEqual(1, len(lives))
        total = sum(value for one in lives[0] for value in one.values.values())
        sums = receiver.sums()
        books = daemon.ledger()
        alive = {}
        for path, timestamp in receiver.values():
            alive.setdefault(timestamp, set()).add(path)
        most = max(map(len, alive.values()))
        print(f"\n{form}: {KEYS} keys in {prints} prints, names alive at most "
              f"{most} of {BUDGET}, sum {sum(sums.values())}, difference "
              f"{sum(sums.values()) - total}, folded {books['folded']}, RSS "
              f"{before:.1f} -> {after:.1f} MiB (+{after - before:.1f}, limit "
              f"+{RSS_GROWTH_MAX_MIB}), at its peak {peak:.1f} MiB")
        self.assertLessEqual(len(sums), BUDGET)
        self.assertLessEqual(most, BUDGET)
        self.assertEqual(total, sum(sums.values()))
        self.assertGreater(sums["bpf.testhost.crowd.c._other"], 0)
        # Who was there before the crowd has kept the name.
        calm = sum(("@c", "", "") not in one.values for one in lives[0])
        self.assertEqual(
            {"bash": calm, "sh": 2 * calm},
            {key: sums[f"bpf.testhost.crowd.c.{key}"]
             for key in ("bash", "sh")})
        self.assertEqual((0, 0), (books["rejected"], books["dropped_values"]))
        self.assertEqual({}, receiver.conflicts())
        if "SAN_OPTIONS" not in " ".join(os.environ):
            self.assertLess(after - before, RSS_GROWTH_MAX_MIB)

    def test_json(self):
        self.run_crowd("json", 10)

    def test_text(self):
        self.run_crowd("text", 10)


if __name__ == "__main__":
    scenario.main()
