"""The rounds: who runs, in which order, what is written down, what is checked.

A contestant turns the archives into `month=YYYY-MM/*.parquet`. In each round every contestant runs once, into a fresh
folder, with the archives in the page cache.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convert import FORMS
from environment import HERE
from measure import Run, run, size_of

KEYTRAIL = "keytrail"
FLOOR = "inflate only"


@dataclass
class Data:
    """The archives, and what their generator knows about them."""

    archives: Path
    expected: dict[str, Any]

    @property
    def json_bytes(self) -> int:
        return int(self.expected["bytes"]["json"])

    @property
    def archive_bytes(self) -> int:
        return int(self.expected["bytes"]["archives"])

    @property
    def records(self) -> int:
        return int(self.expected["records"]["stored"])


@dataclass
class Contestant:
    """One way from archives to Parquet. `command` makes the command line from output and work folder."""

    name: str
    command: Callable[[Path, Path], Sequence[str | Path]]
    #: Where below the output folder the months lie; none where nothing is written.
    months: str | None = ""
    runs: list[Run] = field(default_factory=list)
    output_bytes: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def engine(self) -> str:
        return self.name.partition(" ")[0]

    @property
    def good(self) -> bool:
        return bool(self.runs) and not self.faults


def contestants(data: Data, program: Path, floor: Path, python: Path, threads: int, only: set[str]) -> list[Contestant]:
    """All of them, or those whose name or engine was asked for; keytrail first, the floor last."""
    archives, jobs = data.archives, ["--jobs", str(threads)]
    found = [Contestant(KEYTRAIL, lambda out, work: [program, "ingest", archives, "--store", out, *jobs], "events")]
    found += [Contestant(form, _peer(python, form, archives, threads)) for form in FORMS]
    found.append(Contestant(FLOOR, lambda out, work: [floor, archives, *jobs], None))
    return [each for each in found if not only or {each.name, each.engine} & only]


def _peer(python: Path, form: str, archives: Path, threads: int) -> Callable[[Path, Path], Sequence[str | Path]]:
    return lambda out, work: [python, HERE / "convert.py", form, archives, out, work, str(threads)]


def play(entered: list[Contestant], data: Data, python: Path, work: Path, rounds: int, timeout: float) -> None:
    """Runs all rounds. Who fails once is out. The output of the first round is checked."""
    for number in range(1, rounds + 1):
        for each in entered:
            if each.faults:
                continue
            _say(f"round {number} of {rounds}: {each.name}")
            _turn(each, data, python, work, timeout, check=number == 1)


def _turn(each: Contestant, data: Data, python: Path, work: Path, timeout: float, check: bool) -> None:
    out, scratch = work / "out", work / "scratch"
    scratch.mkdir(parents=True)
    _warm(data.archives)
    # What others wrote must not be written to disk at this one's expense.
    os.sync()
    try:
        done = run(each.command(out, scratch), timeout)
        if done.fault:
            each.faults.append(done.fault)
            return
        each.runs.append(done)
        if each.months is not None:
            months = out / each.months
            each.output_bytes = size_of(months, "month=*/**/*.parquet")
            if check:
                _check(each, data, python, months, timeout)
    finally:
        shutil.rmtree(out, ignore_errors=True)
        shutil.rmtree(scratch, ignore_errors=True)


def _check(each: Contestant, data: Data, python: Path, months: Path, timeout: float) -> None:
    done = run([python, HERE / "check.py", months], timeout)
    if done.fault:
        each.faults.append(f"its output cannot be read: {done.fault}")
        return
    counts = json.loads(done.stdout)
    each.faults.extend(differences(counts, data.expected))
    digests = data.expected.setdefault("digests", {})
    digests[each.name] = counts["digest"]
    first = next(iter(digests))
    if digests[first] != counts["digest"]:
        each.faults.append(f"values of some rows differ from those of {first}")


def differences(counts: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """What an output holds against what the generator says it has to hold."""
    codes = {
        f"{action} {status}": 0 for actions in expected["by_month_action_status"].values()
        for action, statuses in actions.items() for status in statuses
    }
    for actions in expected["by_month_action_status"].values():
        for action, statuses in actions.items():
            for status, count in statuses.items():
                codes[f"{action} {status}"] += count
    wanted = {
        "rows": expected["records"]["stored"],
        "months": expected["by_month"],
        "codes": codes,
        "ouids": len(expected["key_usage"]),
    }
    differing = [(what, counts[what], value) for what, value in wanted.items() if counts[what] != value]
    return [f"{what}: {_short(found)} instead of {_short(value)}" for what, found, value in differing]


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) < 120 else f"{text[:117]}..."


def _warm(folder: Path) -> None:
    """Reads all archives once, so that everybody finds them in the page cache."""
    for path in folder.iterdir():
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 20):
                pass


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
