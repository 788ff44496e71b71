"""Rules that look for the direction in which rows differ most."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from ..core import Bound, Context, Plan, Reason, Rule, State, Traits, average_of, smallest
from ..registry.bounds import AtLeast, Below, Byzantine, Count, Iterations, whole_share
from ..registry.entries import register
from ..stack import Gram, Sample, Statistic, Updates, evened


@register("dnc", paper="Shejwalkar & Houmansadr 2021", complexity="O(n^2 r)")
@dataclass(frozen=True, kw_only=True)
class DnC(Rule):
    """Divide and conquer: drop the rows that stick out along the first singular direction of some columns.

    In each iteration, on ``subsample`` random columns: centre the rows, take the top right singular vector v, score
    s_i = (x_i - mean . v)^2, keep the n - floor(filter f) lowest. Rows kept by every iteration are averaged, all
    columns. Shejwalkar & Houmansadr 2021, Algorithm 2. v is never formed: with the centred Gram matrix
    K = U L U^T, s_i = L_1 U_i1^2. Two clients are equally far from their mean: the shorter one stays.

    Use when: f is known, colluders pull together along one direction, and the model is large: it looks at a sample
    of the columns alone.

    Args:
        f: byzantine clients.
        iterations: how many sets of columns.
        subsample: columns in a set, at most d.
        filter: rows to drop in units of f (the paper's c).
    """

    f: Byzantine
    iterations: Iterations = 1
    subsample: Count = 10_000
    filter: Annotated[float, AtLeast(0), Below(inf)] = 1.0
    declared = Traits(
        selects=True,
        bound=Bound(1, 1),
        properties=frozenset({"permutation", "scale", "unanimity", "mean", "translation"}),
    )

    def traits(self) -> Traits:
        # No rule can tell one of two rows from the other in a way that neither order nor a shift of both changes.
        may_be_one = not isinstance(self.f, int) or whole_share(self.filter, self.f) == 1
        return self.declared.without("translation") if may_be_one else self.declared

    def most_accepted(self, n: int) -> int:
        return max(n - whole_share(self.filter, self.f_of(n)), 0)

    def steps(self, n: int) -> float:
        return 2.0 * n**3 * self.iterations if n < 2 * self.subsample else 0

    def samples(self, context: Context) -> list[Sample]:
        """The sets of columns, one per iteration."""
        seeds = (context.draw_seed(f"columns {i}") for i in range(self.iterations))
        return [Sample(seed=seed, count=self.subsample) for seed in seeds]

    def statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        return tuple(Gram(sample=sample) for sample in self.samples(context))

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        keep = self.most_accepted(updates.n)
        samples = self.samples(context)
        grams = updates.compute(*(Gram(sample=sample) for sample in samples))
        scores = [outlier_scores(gram, sample.size(updates.d)) for gram, sample in zip(grams, samples, strict=True)]
        votes = torch.zeros(updates.n, dtype=torch.int64)
        for gram, row in zip(grams, scores, strict=True):
            votes[smallest(row, keep, gram.diagonal())] += 1
        kept = (votes == len(scores)).nonzero().flatten()
        highest = torch.stack(scores).amax(0)
        note = self.note(updates.n)
        return average_of(updates, kept, scores={"outlier": highest}, reason=Reason.SPECTRAL_OUTLIER, note=note)


def outlier_scores(gram: Tensor, d: int) -> Tensor:
    """Squared projections of the centred rows, of d columns, on their first singular direction: (n,)."""
    gram, unit = evened(gram)
    total = gram.diagonal().sum()
    centred = (gram - gram.mean(0)).sub_(gram.mean(1, keepdim=True)).add_(gram.mean())
    del gram
    value, vector = top_eigenpair((centred + centred.T).div_(2), d)
    # Rows that are all the same leave nothing but rounding.
    if value <= 1e-13 * total:
        return torch.zeros_like(vector)
    scores: Tensor = value * vector.square() * unit
    return scores


def top_eigenpair(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The largest eigenvalue of a positive semidefinite (n, n) matrix of at most this rank, and its vector: (), (n,).

    From the smaller side: a matrix of low rank is L L^T with few columns, by Cholesky's decomposition with pivots, and
    L^T L has the same eigenvalues.
    """
    if 2 * rank >= len(matrix):
        values, vectors = torch.linalg.eigh(matrix)
        return values[-1], vectors[:, -1]
    from scipy.linalg.lapack import dpstrf

    lower, pivots, found, _ = dpstrf(matrix.numpy().T, lower=1)
    if not found:  # rows that differ by nothing but rounding leave no column
        values, vectors = torch.linalg.eigh(matrix)
        return values[-1], vectors[:, -1]
    factor = np.zeros((len(matrix), found))
    factor[pivots - 1] = np.tril(lower[:, :found])
    L = torch.from_numpy(factor)
    values, vectors = torch.linalg.eigh(L.T @ L)
    return values[-1], L @ vectors[:, -1] / values[-1].sqrt()


@register("caf", paper="Allouah et al. 2025", complexity="O(n^2 d + f n^3)")
@dataclass(frozen=True, kw_only=True)
class CAF(Rule):
    """Lower the weights of rows that stick out along the first direction, and take the least spread mean on the way.

    c_i = 1; while sum_i c_i > n - 2f: mu = weighted mean, (lambda, v) the top eigenpair of the weighted covariance,
    tau_i = (x_i - mu . v)^2, c_i <- c_i (1 - tau_i / max tau), the maximum over rows with weight. Output: the mu with
    the smallest lambda. Allouah, Guerraoui & Stephan, "Towards trustworthy federated learning with untrusted
    participants", ICML 2025, Algorithm 2 ("covariance-bound agnostic filter"). As for `DnC`, v is never formed.

    Use when: f is known, colluders may pull along any one direction, and clients are some hundreds at most: rows
    lose weight by how far they stick out along the worst direction.
    """

    f: Byzantine
    declared = Traits(
        bound=Bound(2, 1),
        properties=frozenset(
            {"permutation", "translation", "scale", "columns", "rotation", "unanimity", "box", "mean", "breakdown"}
        ),
    )

    def steps(self, n: int) -> float:
        # The eigenvectors of all rows, in 2f steps at most; of honest rows alone a few take the weights that far.
        return 2.0 * n**3 * min(2 * self.f_of(n), _USUAL)

    def statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        return (Gram(),)

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        gram = updates.gram()
        n = updates.n
        c = torch.ones(n, dtype=torch.float64)
        best = float("inf")
        weights = c / n
        while float(c.sum()) > n - 2 * self.f_of(n):
            spread, projections = _top_direction(gram, c / c.sum())
            if spread < best:
                best = spread
                weights = c / c.sum()
            top = float(projections[c > 0].amax())
            if top <= 0:
                break
            shares = 1 - projections / top
            c = torch.where(shares > 1e-12, c * shares, 0.0)  # rows that stick out alike go together
        reasons = [Reason.SPECTRAL_OUTLIER] * n
        return Plan(updates, weights, scores={"weight": weights * n}, reasons=reasons, note=self.note(n))


_USUAL = 20
"""Steps of `CAF`, as they mostly are."""


def _top_direction(gram: Tensor, weights: Tensor) -> tuple[float, Tensor]:
    """Variance along the top direction of the weighted rows, and the squared projections on it of those rows: (n,).

    With the centred Gram matrix K and W = diag(weights), W^1/2 K W^1/2 = U L U^T, and the projections on the first
    direction are K W^1/2 U_1 / sqrt(L_1). Rows without weight, which may be of any size, have none.
    """
    live = weights.nonzero().flatten()
    inner, unit = evened(gram[live][:, live])
    shares = weights[live]
    Gw = inner @ shares
    K = inner - Gw[:, None] - Gw[None, :] + shares @ Gw
    root = shares.sqrt()
    values, vectors = torch.linalg.eigh(root[:, None] * (K + K.T) / 2 * root)
    projections = torch.zeros_like(weights)
    if values[-1] <= 1e-13 * inner.diagonal().sum():
        return 0.0, projections
    projections[live] = (K @ (root * vectors[:, -1])).square() / values[-1]
    return float(values[-1] * unit), projections
