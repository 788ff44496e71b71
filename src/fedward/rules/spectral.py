"""Rules that look for the direction in which rows differ most."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor
from typing import ClassVar

import torch
from torch import Tensor

from ..registry import register
from ..rule import Bound, Context, Plan, Reason, Rule, State, average_of, smallest
from ..stack import Gram, Sample, Statistic, Updates


@register("dnc", paper="Shejwalkar & Houmansadr 2021", complexity="O(n^2 r)")
@dataclass(frozen=True, kw_only=True)
class DnC(Rule):
    """Divide and conquer: drop the rows that stick out along the first singular direction of some columns.

    In each iteration, on ``subsample`` random columns: centre the rows, take the top right singular vector v, score
    s_i = (x_i - mean . v)^2, keep the n - floor(filter f) lowest. Rows kept by every iteration are averaged, all
    columns. Shejwalkar & Houmansadr 2021, Algorithm 2. v is never formed: with the centred Gram matrix
    K = U L U^T, s_i = L_1 U_i1^2.

    Args:
        f: byzantine clients.
        iterations: how many sets of columns.
        subsample: columns in a set, at most d.
        filter: rows to drop in units of f (the paper's c).
    """

    f: int
    iterations: int = 1
    subsample: int = 10_000
    filter: float = 1.0
    bound: ClassVar[Bound] = Bound(1, 1)
    properties: ClassVar[frozenset[str]] = frozenset({"permutation", "translation", "scale", "unanimity", "mean"})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.iterations < 1 or self.subsample < 1 or self.filter < 0:
            raise ValueError(f"iterations >= 1, subsample >= 1 and filter >= 0 are needed, got {self!r}")

    def samples(self, context: Context) -> list[Sample]:
        """The sets of columns, one per iteration."""
        seeds = (context.draw_seed(f"columns {i}") for i in range(self.iterations))
        return [Sample(seed=seed, count=self.subsample) for seed in seeds]

    def statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        return tuple(Gram(sample) for sample in self.samples(context))

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        keep = max(updates.n - floor(self.filter * self.f), 0)
        grams = updates.compute(*self.statistics(state, context))
        scores = torch.stack([outlier_scores(gram) for gram in grams])
        votes = torch.zeros(updates.n)
        for row in scores:
            votes[smallest(row, keep)] += 1
        kept = (votes == len(scores)).nonzero().flatten()
        return average_of(updates, kept, scores={"outlier": scores.amax(0)}, reason=Reason.SPECTRAL_OUTLIER)


def outlier_scores(gram: Tensor) -> Tensor:
    """Squared projections of the centred rows on their first singular direction: (n,)."""
    centred = gram - gram.mean(0) - gram.mean(1, keepdim=True) + gram.mean()
    values, vectors = torch.linalg.eigh((centred + centred.T) / 2)
    # Rows that are all the same leave nothing but rounding.
    if values[-1] <= 1e-13 * gram.diagonal().sum():
        return torch.zeros_like(values)
    scores: Tensor = values[-1] * vectors[:, -1].square()
    return scores
