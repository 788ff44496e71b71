"""`Plan`: the decision, as data; and how rows are chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from enum import StrEnum
from typing import Any, Generic, cast

import torch
from torch import Tensor
from typing_extensions import TypeVar

from ..registry.bounds import whole_share
from ..stack import Kernel, Updates
from ..stack.rowmaps import by_number

M = TypeVar("M", default=Any)
"""What a rule's `Rule.decide` tells its `Rule.advance`, in `Plan.memo`; whoever has nothing to tell leaves it out."""


class Reason(StrEnum):
    """Why a client was accepted or not; of rules that say nothing of single clients, that its row was taken in."""

    ACCEPTED = "accepted"
    NONFINITE = "nonfinite"
    OVERFLOW = "overflow"
    MALFORMED = "malformed"
    NORM_TOO_SMALL = "norm-too-small"
    NORM_TOO_LARGE = "norm-too-large"
    SIGN_OUTLIER = "sign-outlier"
    DIRECTION_OUTLIER = "direction-outlier"
    SPECTRAL_OUTLIER = "spectral-outlier"
    DISTRUSTED = "distrusted"
    HARMFUL = "harmful"
    INACCURATE = "inaccurate"
    FALSE_ALARM = "false-alarm"
    NO_ALARM = "no-alarm"
    NO_EXAMPLES = "no-examples"
    BANNED = "banned"
    OUTVOTED = "outvoted"
    FAR = "far"
    NOT_SELECTED = "not-selected"
    NOT_JUDGED = "not-judged"


@dataclass(frozen=True, eq=False)
class Plan(Generic[M]):
    """What to do with the rows: weigh them (``weights``) or run a kernel over their columns (``kernel``).

    ``updates`` is the stack that the weights or the kernel refer to, usually the one the rule was given, else a
    view of it. ``voters`` says which of its rows have a say in the kernel, as bools: all if None. ``scores`` and
    ``reasons`` describe the rows of ``judged``, which is ``updates`` unless stated.
    Reasons count only for rows that end up without weight, or without a say. ``note`` says in a word or two how the
    whole round was decided, where a rule has several ways. ``memo`` is for the rule's own `Rule.advance`: nobody else
    looks into it. ``counts`` says of a kernel's block which entries go into the output, (n, b) bool: the median's
    middle values, a trimmed mean's.

    Whatever a rule has worked them out in, and where: weights and scores are float64 and on the CPU here, ``voters``
    bools.
    """

    updates: Updates
    weights: Tensor | None = None
    _: KW_ONLY
    kernel: Kernel | None = None
    voters: Tensor | None = None
    scores: Mapping[str, Tensor] = field(default_factory=dict)
    reasons: Sequence[Reason] | None = None
    judged: Updates | None = None
    note: str = ""
    memo: M = cast(Any, None)  # noqa: RUF009
    counts: Callable[[Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        if (self.weights is None) == (self.kernel is None):
            raise ValueError("a plan has weights or a kernel, and not both")
        if self.weights is not None and self.weights.shape != (self.updates.n,):
            raise ValueError(f"{self.updates.n} rows need {self.updates.n} weights, got {tuple(self.weights.shape)}")
        if self.voters is not None and (self.kernel is None or self.voters.shape != (self.updates.n,)):
            raise ValueError(
                f"voters say of {self.updates.n} rows whether they have a say in a kernel, got "
                f"{tuple(self.voters.shape)} with {'weights' if self.kernel is None else 'a kernel'}"
            )
        if self.weights is not None:
            object.__setattr__(self, "weights", self.weights.double().cpu())
        if self.voters is not None:
            object.__setattr__(self, "voters", self.voters.bool().cpu())
        object.__setattr__(self, "scores", {name: score.double().cpu() for name, score in self.scores.items()})

    def accepted(self) -> Tensor:
        """Which clients have a weight above 0; in a kernel, which have a say: (n,) bool, of the clients' stack."""
        return self.updates.to_clients(self.counted()) > 0

    def counted(self) -> Tensor:
        """The weights of the rows of ``updates``; in a kernel 1 for those with a say, 0 for others: (n,) float64."""
        if self.weights is not None:
            return self.weights
        return torch.ones(self.updates.n, dtype=torch.float64) if self.voters is None else self.voters.double()

    def scores_at(self, rows: Tensor) -> dict[str, Tensor]:
        """Scores of the rows at the given places of those that it judges, NaN at -1: (n,) each."""
        places = rows.clamp_min(0)
        return {name: torch.where(rows >= 0, score[places], torch.nan) for name, score in self.scores.items()}

    def reason_at(self, row: int) -> Reason:
        """Why a row has no weight, or no say: that at this place of those that it judges, -1 for one unknown to it."""
        return Reason.NOT_SELECTED if self.reasons is None or row < 0 else self.reasons[row]

    def trimmed(self) -> Tensor | None:
        """The share of the columns in which each row of ``updates`` has no part in the output: (n,); one pass.

        None where that is no question of columns, or the plan does not say.
        """
        counts = self.counts
        if counts is None:
            return None
        counted = torch.zeros(self.updates.n, dtype=torch.float64)
        for block in self.updates.blocks():
            counted += counts(block.rows).sum(1).cpu()
        return 1 - self.updates.share.total(counted)[0] / self.updates.d

    def with_trimmed(self) -> Plan[M]:
        """The plan with `trimmed` as a score, of that name, of the rows that it judges; itself where there is none."""
        trimmed = self.trimmed()
        if trimmed is None:
            return self
        judged = self.judged or self.updates
        row, owner = judged.owner(), self.updates.owner()
        known = (row >= 0) & (owner >= 0)
        score = torch.full((judged.n,), torch.nan, dtype=torch.float64)
        score[row[known]] = trimmed[owner[known]]
        return replace(self, scores={**self.scores, "trimmed": score})

    def execute(self) -> Tensor:
        """The second pass: the (d,) output, or the columns of it that are held here."""
        if self.weights is not None:
            return self.updates.combine(self.weights)
        assert self.kernel is not None
        return self.updates.columns(self.kernel)


def how_many(f: float, n: int) -> int:
    """f of n rows: a number is itself; a share, such as 0.2, the most rows that are no more than that, floor(f n)."""
    return f if isinstance(f, int) else whole_share(f, n)


def how_many_said(f: float, n: int) -> str:
    """What a plan says of an f that is a share, in its note: "f = 3 of 15 rows"; nothing of a number."""
    return "" if isinstance(f, int) else f"f = {how_many(f, n)} of {n} rows"


def noted(*notes: str) -> str:
    """Notes as one, each once, without those that say nothing."""
    return ", ".join(dict.fromkeys(filter(None, notes)))


def rows_judged(plan: Plan, updates: Updates) -> Tensor:
    """Which row of those that a plan speaks of stands for each row of a stack beneath it, -1 for none: (n,)."""
    rows = updates.owner()
    theirs = (plan.judged or plan.updates).owner()
    judged = torch.full((updates.n,), -1)
    judged[rows[rows >= 0]] = theirs[rows >= 0]
    return judged


def smallest(scores: Tensor, k: int, *then: Tensor) -> Tensor:
    """Indices of the k smallest scores, best first; of equal ones those smallest by ``then``, or else the first rows.

    Numbers within 1e-12 of their size of the next are equal: rounding must not decide between identical rows. NaN is no
    smaller than infinity.

    Examples:
        >>> smallest(torch.tensor([3.0, 1.0, 2.0, 1.0]), 2)
        tensor([1, 3])
    """
    order = torch.arange(len(scores))
    for key in reversed((scores, *then)):
        order = order[levels(key)[order].argsort(stable=True)]
    return order[:k]


def levels(values: Tensor) -> Tensor:
    """The rank of each number among those that differ, 0 for the smallest, as `smallest` tells them apart: (n,)."""
    # Nobody is chosen for a score that is no number.
    ranked, order = values.double().nan_to_num(torch.inf, torch.inf, -torch.inf).sort(stable=True)
    slack = torch.where(ranked.isfinite(), 1e-12 * ranked.abs(), 0.0)
    gaps = ranked[1:] > ranked[:-1] + slack[1:].minimum(slack[:-1])
    level = torch.cat([torch.zeros(min(len(ranked), 1), dtype=torch.int64), gaps.long().cumsum(0)])
    return torch.empty_like(level).index_copy_(0, order, level)


def average_of(
    updates: Updates,
    rows: Tensor,
    *,
    scores: Mapping[str, Tensor] | None = None,
    reason: Reason = Reason.NOT_SELECTED,
    note: str = "",
    memo: M = cast(Any, None),  # noqa: B008
) -> Plan[M]:
    """The plan to average the rows at the given indices; the others get the given reason. No rows: the zero vector."""
    weights = torch.zeros(updates.n, dtype=torch.float64)
    weights[by_number(rows)] = 1 / max(len(rows), 1)
    return Plan(updates, weights, scores=scores or {}, reasons=[reason] * updates.n, note=note, memo=memo)


def median_of(values: Tensor, *, lower: bool = False) -> float:
    """The middle value; of two middle ones their mean, or the lower."""
    ranked = values.double().sort().values
    below = ranked[(len(ranked) - 1) // 2]
    above = ranked[len(ranked) // 2]
    return float(below if lower else (below + above) / 2)
