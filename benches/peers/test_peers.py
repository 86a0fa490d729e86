"""What the contest rests on, without any engine: `python3 -m unittest discover benches/peers`."""

from __future__ import annotations

import sys
import unittest
from pathlib import Path

from contest import Contestant, Data, contestants, differences
from measure import Run, run
from report import markdown, ratio

EXPECTED = {
    "archives": {"total": 1, "new": 1},
    "bytes": {"json": 5_000_000, "archives": 800_000},
    "records": {"stored": 3},
    "by_month": {"2026-01": 2, "2026-02": 1},
    "by_month_action_status": {
        "2026-01": {"LUNA_SIGN": {"LUNA_RET_OK": 1}, "LUNA_LOGIN": {"LUNA_RET_OK": 1}},
        "2026-02": {"LUNA_SIGN": {"LUNA_RET_OK": 1}},
    },
    "key_usage": {"aa": {}},
}
COUNTS = {
    "rows": 3,
    "months": {"2026-01": 2, "2026-02": 1},
    "codes": {"LUNA_LOGIN LUNA_RET_OK": 1, "LUNA_SIGN LUNA_RET_OK": 2},
    "ouids": 1,
}


def ran(name: str, walls: list[float], months: str | None = "") -> Contestant:
    runs = [Run(wall, 2 * wall, 10_000_000, "") for wall in walls]
    return Contestant(name, lambda out, work: [], months, runs, output_bytes=400_000)


class Measuring(unittest.TestCase):
    def test_a_command_is_timed_and_heard(self) -> None:
        done = run([sys.executable, "-c", "sum(range(3_000_000)); print('heard')"], timeout=60)
        self.assertEqual((done.stdout, done.fault), ("heard\n", None))
        self.assertGreater(done.wall, 0)
        self.assertGreater(done.cpu, 0)
        self.assertGreater(done.peak_memory, 1_000_000)

    def test_faults_are_told_with_their_last_words(self) -> None:
        cases = [
            ("import sys; sys.exit('no such column')", 60, "exit code 1: no such column"),
            ("import os; os.kill(os.getpid(), 11)", 60, "signal 11: "),
            ("import time; time.sleep(30)", 0.2, "stopped after 0 s: "),
        ]
        for program, timeout, fault in cases:
            with self.subTest(program):
                self.assertEqual(run([sys.executable, "-c", program], timeout).fault, fault)


class Checking(unittest.TestCase):
    def test_outputs_are_held_against_the_generator(self) -> None:
        cases = [
            ({}, []),
            ({"rows": 4}, ["rows: 4 instead of 3"]),
            ({"ouids": 0}, ["ouids: 0 instead of 1"]),
            ({"months": {"2026-01": 3}}, ['months: {"2026-01": 3} instead of {"2026-01": 2, "2026-02": 1}']),
            (
                {"codes": {"LUNA_SIGN LUNA_RET_OK": 3}},
                [
                    'codes: {"LUNA_SIGN LUNA_RET_OK": 3} instead of '
                    '{"LUNA_SIGN LUNA_RET_OK": 2, "LUNA_LOGIN LUNA_RET_OK": 1}'
                ],
            ),
        ]
        for change, wanted in cases:
            with self.subTest(change):
                self.assertEqual(differences({**COUNTS, **change}, EXPECTED), wanted)

    def test_contestants_are_chosen_by_engine_or_form(self) -> None:
        cases = [
            (set(), 8),
            ({"duckdb", "keytrail"}, 3),
            ({"chdb gzip"}, 1),
            ({"inflate only"}, 1),
        ]
        here = Path(".")
        for only, count in cases:
            with self.subTest(only):
                self.assertEqual(len(contestants(Data(here, EXPECTED), here, here, here, 2, only)), count)


class Reporting(unittest.TestCase):
    def test_ratios_are_taken_within_rounds(self) -> None:
        # The machine was three times as slow in the second round: for both.
        self.assertEqual(ratio(ran("duckdb gzip", [4, 12, 4]), ran("keytrail", [2, 6, 2])), 2)

    def test_the_table_names_the_best_and_the_failed(self) -> None:
        failed = Contestant("polars lines", lambda out, work: [], faults=["exit code 1: out of memory"])
        entered = [ran("keytrail", [1.0]), ran("duckdb gzip", [5.0]), ran("chdb gzip", [4.0]), failed]
        entered.append(ran("inflate only", [0.5], None))
        table = markdown(entered, Data(Path("."), EXPECTED), {"Machine": "a small one"})
        self.assertIn("| keytrail | 1.00 | 1.00 | 2.00 | 10 | 5 | 0 | 0.4 | 0.500 | 1.00 |", table)
        self.assertIn("| polars lines | failed |", table)
        self.assertIn("out of memory", table)
        self.assertIn("Best peer: chdb gzip", table)
        self.assertIn("takes 4.00 times as long", table)
        self.assertIn("keytrail runs at 0.50 of the speed", table)


if __name__ == "__main__":
    unittest.main()
