"""What was measured beside what is published: in the same units, and with a verdict."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from ..sweeps import Row
from .reading import Number, Relation

WITHIN = 1.5
"""Points by which a reproduced accuracy, or a drop of one, may be off."""
SHARES_WITHIN = 0.05
"""The same of shares of clients."""
COLLAPSED = 15.0
"""Points below the paper's accuracy without attack from which on a training counts as collapsed."""
WITHIN_IN_SMALL = 5.0
"""Points by which what a setting takes of accuracy may be off in a shorter training."""

Verdict = Literal["reproduced", "differs", "not run", "not compared"]
"""What is said of a published number beside ours."""


def measured(number: Number, row: Row, baseline: float | None = None) -> float | None:
    """What a cell has for a number, in its units: per cent, points, shares or seconds; None where it has nothing.

    Args:
        number: the published one.
        row: what came of one of its cells.
        baseline: for drops, the best accuracy of the baseline in per cent; None where it was not run.
    """
    if number.figure == "drop":
        return None if baseline is None or row.best is None else baseline - 100 * row.best
    if number.figure in ("best", "last"):
        accuracy = row.best if number.figure == "best" else row.last
        return None if accuracy is None else 100 * accuracy
    value = row.measures.get(number.figure)
    return value if isinstance(value, int | float) else None


def verdict_on(number: Number, ours: float | None) -> Verdict:
    """Whether a number is reproduced.

    An accuracy is, if it is within 1.5 points of the published one; where that is a collapse, 15 points or more below
    the paper's accuracy without attack, any collapse does. A bound is, if it holds to 1.5 points; a share, within 0.05.
    Seconds are those of another machine, so they are not compared.
    """
    if number.figure == "seconds_rule":
        return "not compared" if ours is not None else "not run"
    if ours is None:
        return "not run"
    return "reproduced" if _alike(number, ours) else "differs"


def verdict_in_small(number: Number, ours: float | None, clean: float | None) -> Verdict:
    """Whether a shorter training tells the same as a published number.

    Its accuracies are lower with and without an attack, so what is compared is the loss: how far an accuracy is below
    the mean's without attack, here and in the paper. Two losses are alike within 5 points, or from 15 on. What is no
    accuracy is compared as it is.

    Args:
        number: the published one.
        ours: in its units.
        clean: the accuracy of the mean without attack in the shorter training, in per cent; None where it was not run.
    """
    if ours is None or number.figure not in ("best", "last"):
        return verdict_on(number, ours)
    if clean is None or number.clean is None:
        return "not compared"
    return "reproduced" if _alike(number, ours + number.clean - clean, WITHIN_IN_SMALL) else "differs"


def collapsed(number: Number, accuracy: float) -> bool:
    """Whether an accuracy, in per cent, is a collapse beside the paper's without attack."""
    return number.clean is not None and accuracy <= number.clean - COLLAPSED


def _alike(number: Number, ours: float, points: float = WITHIN) -> bool:
    if number.relation != "=":
        return _holds(number.relation, ours, number.value, points)
    if number.figure in ("best", "last") and collapsed(number, number.value):
        return collapsed(number, ours)
    within = SHARES_WITHIN if number.figure in ("honest_accepted", "byzantine_accepted") else points
    return abs(round(ours - number.value, 6)) <= within


def _holds(relation: Relation, ours: float, bound: float, points: float) -> bool:
    """Whether a bound holds, to what an accuracy may be off."""
    return ours < bound + points if relation == "<" else ours >= bound - points


def counted(verdicts: Iterable[Verdict]) -> dict[Verdict, int]:
    """How many of each, all of them named."""
    found = list(verdicts)
    return {kind: found.count(kind) for kind in ("reproduced", "differs", "not run", "not compared")}
