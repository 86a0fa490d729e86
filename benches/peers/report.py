"""The outcome as Markdown and as plain values for JSON."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import Any

from contest import FLOOR, KEYTRAIL, Contestant, Data

MB = 1e6
_HEADINGS = (
    "", "wall s", "best wall s", "CPU s", "peak MB", "JSON MB/s", "thousand records/s", "output MB", "of the ZIPs",
    "times keytrail",
)


def markdown(entered: list[Contestant], data: Data, facts: dict[str, str]) -> str:
    """Facts, a table with a row each, and what follows from it."""
    lines = [f"{name}: {fact}  " for name, fact in facts.items()]
    lines += [
        f"Archives: {data.expected['archives']['total']} ZIPs, {data.records:,} records; "
        f"{data.archive_bytes / MB:.1f} MB of ZIP ({data.archive_bytes / data.records:.1f} bytes a record), "
        f"{data.json_bytes / MB:.1f} MB of JSON ({data.json_bytes / data.records:.1f} bytes a record)",
        "",
        _row(_HEADINGS),
        _row(["---"] + ["---:"] * (len(_HEADINGS) - 1)),
    ]
    ours = _named(entered, KEYTRAIL)
    lines += [_row(_cells(each, data, ours)) for each in entered]
    lines += ["", *_conclusions(entered, ours), *_faults(entered)]
    return "\n".join(lines) + "\n"


def _cells(each: Contestant, data: Data, ours: Contestant | None) -> list[str]:
    if not each.good:
        return [each.name, "failed"] + [""] * (len(_HEADINGS) - 2)
    wall = _wall(each)
    written = each.months is not None
    return [
        each.name,
        f"{wall:.2f}",
        f"{min(run.wall for run in each.runs):.2f}",
        f"{_cpu(each):.2f}",
        f"{median(run.peak_memory for run in each.runs) / MB:.0f}",
        f"{data.json_bytes / MB / wall:.0f}",
        f"{data.records / 1e3 / wall:.0f}",
        f"{each.output_bytes / MB:.1f}" if written else "",
        f"{each.output_bytes / data.archive_bytes:.3f}" if written else "",
        f"{ratio(each, ours):.2f}" if ours and ours.good else "",
    ]


def _conclusions(entered: list[Contestant], ours: Contestant | None) -> Iterable[str]:
    peers = [each for each in entered if each.good and each.name not in (KEYTRAIL, FLOOR)]
    if not peers:
        return
    best = min(peers, key=_wall)
    smallest = min(peers, key=lambda each: each.output_bytes)
    yield f"Best peer: {best.name}. Smallest output of a peer: {smallest.output_bytes / MB:.1f} MB ({smallest.name}).  "
    if ours and ours.good:
        yield (
            f"The best peer takes {ratio(best, ours):.2f} times as long as keytrail (median over rounds), "
            f"and {_cpu(best) / _cpu(ours):.2f} times the processor time.  "
        )
        floor = _named(entered, FLOOR)
        if floor and floor.good:
            yield f"keytrail runs at {ratio(floor, ours):.2f} of the speed of inflating alone.  "


def ratio(each: Contestant, ours: Contestant) -> float:
    """How many times as long as keytrail within a round, where both had the same machine; the median over rounds."""
    return median(theirs.wall / mine.wall for theirs, mine in zip(each.runs, ours.runs))


def _faults(entered: list[Contestant]) -> Iterable[str]:
    for each in entered:
        for fault in each.faults:
            yield f"\n{each.name} failed:\n\n```\n{fault}\n```"


def values(entered: list[Contestant], data: Data, facts: dict[str, str]) -> dict[str, Any]:
    """All single measurements; seconds and bytes."""
    return {
        "facts": facts,
        "records": data.records,
        "archive_bytes": data.archive_bytes,
        "json_bytes": data.json_bytes,
        "runs": {
            each.name: {
                "wall": [run.wall for run in each.runs],
                "cpu": [run.cpu for run in each.runs],
                "peak_memory": [run.peak_memory for run in each.runs],
                "output_bytes": each.output_bytes,
                "faults": each.faults,
            }
            for each in entered
        },
    }


def _wall(each: Contestant) -> float:
    return median(run.wall for run in each.runs)


def _cpu(each: Contestant) -> float:
    return median(run.cpu for run in each.runs)


def _named(entered: list[Contestant], name: str) -> Contestant | None:
    return next((each for each in entered if each.name == name), None)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
