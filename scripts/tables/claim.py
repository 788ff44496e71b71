"""What a paper claims, what was measured for it, and whether that holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from .pieces import Run, last

NEAR = 3.0  # points that a short training may lie below the same system without attack
NOT_TRIED = "not tried"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was measured for a claim; nothing is said of whether it holds until all of it is there."""

    text: str
    holds: bool | None = None


Measured = Callable[[Path], Found]
Figure = Callable[[Run | None], float | None]
SEEDS = 3  # of the headlines


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a paper says, where it says so, what that was tried with here, and what counts as holding."""

    said: str
    place: str
    setting: str
    mark: str = ""
    measured: Measured | None = None

    def row(self, results: Path) -> list[str]:
        """A line of the table."""
        if self.measured is None:
            return [self.said, self.place, self.setting, "", "", NOT_TRIED]
        found = self.measured(results)
        verdict = {None: "not run yet", True: "holds", False: "**does not**"}[found.holds]
        return [self.said, self.place, self.setting, self.mark, found.text, verdict]


def mean_of(runs: Sequence[Run], seeds: int = 1, figure: Figure = last) -> float | None:
    """The mean of a figure over seeds; None until there are so many."""
    known = [value for run in runs if (value := figure(run)) is not None]
    return fmean(known) if len(known) >= seeds else None


def all_hold(conditions: Sequence[bool | None]) -> bool | None:
    """Whether all hold; None while one is not known."""
    return None if None in conditions or not conditions else all(conditions)


def at_least(a: float | None, b: float | None) -> bool | None:
    return None if a is None or b is None else a >= b
