"""What a paper claims, what was measured for it, and whether that holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import gt
from pathlib import Path
from statistics import fmean

from .pieces import Run, last, over_seeds

NEAR = 3.0  # points that a short training may lie below the same system without attack
NOT_TRIED = "not tried"
SHOWS_NOTHING = "shows nothing"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was measured for a claim; nothing is said of whether it holds until all of it is there.

    Attributes:
        text: the figures.
        holds: whether they reach the mark.
        nothing: whether they leave open which side is better: they are the same, or seeds disagree.
    """

    text: str
    holds: bool | None = None
    nothing: bool = False


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
        if found.nothing and found.holds is not None:
            verdict = SHOWS_NOTHING
        return [self.said, self.place, self.setting, self.mark, found.text, verdict]


def of_equal_seeds(ours: Sequence[Run], theirs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """The runs of the seeds that both sides have: a mean of several seeds says nothing beside one."""
    first, second = ({int(run["config"].get("seed", 0)): run for run in side} for side in (ours, theirs))
    both = sorted(first.keys() & second.keys())
    return [first[seed] for seed in both], [second[seed] for seed in both]


def beside(
    ours: Sequence[Run],
    theirs: Sequence[Run],
    mark: Callable[[float, float], bool],
    figure: Figure = last,
    seeds: int = 1,
) -> Found:
    """A figure beside that of other runs, of the seeds that both have; the mark is one of both means."""
    pair = of_equal_seeds(ours, theirs)
    text = " against ".join(over_seeds(side, figure) for side in pair)
    mean, other = (mean_of(side, seeds, figure) for side in pair)
    return Found(text=text, holds=None if mean is None or other is None else mark(mean, other))


def rivals(ours: Sequence[Run], theirs: Sequence[Run], figure: Figure = last, seeds: int = 1) -> Found:
    """Whether the mean of one system is above that of another, of the seeds that both have.

    It shows nothing where they are equal, or where one is ahead with some seeds, the other with others.
    """
    found = beside(ours, theirs, gt, figure, seeds)
    gaps = [
        a - b
        for run, other in zip(*of_equal_seeds(ours, theirs), strict=True)
        if (a := figure(run)) is not None and (b := figure(other)) is not None
    ]
    ahead = sum(gap > 0 for gap in gaps)
    told = f", ahead in {ahead or 'none'} of {len(gaps)}" * (len(gaps) > 1)
    open_ = not any(gaps) or min(gaps) < 0 < max(gaps)
    return replace(found, text=found.text + told, nothing=open_)


def mean_of(runs: Sequence[Run], seeds: int = 1, figure: Figure = last) -> float | None:
    """The mean of a figure over seeds; None until there are so many."""
    known = [value for run in runs if (value := figure(run)) is not None]
    return fmean(known) if len(known) >= seeds else None


def all_hold(conditions: Sequence[bool | None]) -> bool | None:
    """Whether all hold; None while one is not known."""
    return None if None in conditions or not conditions else all(conditions)


def at_least(a: float | None, b: float | None) -> bool | None:
    return None if a is None or b is None else a >= b
