"""What is said of figures of runs in which some rounds, or all, left the model as it was."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ..failures import tamed
from ..sweeps import Row
from ..sweeps.measures import over_seeds
from .pieces import count
from .sweep_table import Crossing, Grid, SweepData

DAGGER = "\u2020"
"""What marks a figure of runs that took no step in some rounds."""
_RULES = 5
"""Rules of which a caption tells one by one."""
_LONGEST = 200
"""Letters of a reason in a caption."""


def rounds_skipped(rows: Iterable[Row]) -> tuple[int, int]:
    """In how many rounds of the runs that count no step was taken, and of how many."""
    counted = [row for row in rows if row.counts]
    return sum(row.skipped for row in counted), sum(row.rounds_done for row in counted)


def has_dagger(place: Crossing) -> bool:
    """Whether no step was taken in some rounds behind the figure of a place."""
    return rounds_skipped(place.over.rows)[0] > 0


def skips_told(found: Sequence[Grid]) -> str:
    """In how many rounds of which rules no step was taken, and why, in a sentence; nothing where there are none.

    Where figures are marked a `DAGGER` goes before it.
    """
    by_rule: dict[str, list[Row]] = {}
    for grid in found:
        for place in grid.places:
            if has_dagger(place):
                by_rule.setdefault(place.rule, []).extend(place.over.rows)
    if not by_rule:
        return ""
    told = [_of_rule(rule, rows) for rule, rows in list(by_rule.items())[:_RULES]]
    if more := len(by_rule) - len(told):
        told.append(f"some rounds of {count(more, 'more rule')}")
    return f"In {'; in '.join(told)}."


def no_step_told(data: SweepData) -> str:
    """How many runs have no figure since they learned nothing, and why, in sentences; nothing where there are none."""
    vain = [row for over in over_seeds(data.rows) for row in over.rows if row.status == "done" and row.in_vain]
    unchanged = [row for row in vain if row.skipped == row.rounds_done]
    parts = []
    if unchanged:
        many, are = _runs(len(unchanged))
        parts.append(f"{many} in which no round changed the model {are} not counted: {_most_of(unchanged)}.")
    if others := len(vain) - len(unchanged):
        many, are = _runs(others)
        parts.append(f"{many} in which no honest client sent finite numbers {are} not counted.")
    return " ".join(parts)


def _runs(number: int) -> tuple[str, str]:
    return count(number, "run"), "is" if number == 1 else "are"


def _of_rule(rule: str, rows: Sequence[Row]) -> str:
    skipped, rounds = rounds_skipped(rows)
    return f"{skipped:,} of {rounds:,} rounds of {rule} no step was taken: {_most_of([r for r in rows if r.counts])}"


def _most_of(rows: Iterable[Row]) -> str:
    """The most frequent reason of these runs, and how many others there are."""
    whys: Counter[str] = sum((_in_short(row.skips) for row in rows), Counter())
    (most, _), *others = whys.most_common()
    return f"{most} (and {count(len(others), 'other reason')})" if others else most


def _in_short(skips: Mapping[str, int]) -> Counter[str]:
    """Reasons by what they are of.

    Where in which file a function raised its error, and what it was given, is for whoever mends it: it is on the page
    of a run, and in no paper.
    """
    short: Counter[str] = Counter()
    for why, rounds in skips.items():
        inner = re.sub(r"^.* raised FunctionError: ", "", why)
        short[tamed(re.split(r" \(in [^,]+, |, where an? (?=\w+ makes)", inner)[0], _LONGEST)] += rounds
    return short
