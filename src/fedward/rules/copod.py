"""Weights from how far out among all distances and angles a row lies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import Context, Plan, Rule, State, Traits
from ..registry.entries import register
from ..stack import Distances, Gram, SqNorms, Statistic, Updates, cosine_blocks, evened, row_slices

# Values closer than this share of their size, and skewness closer to none, are what rounding makes of equal ones.
_SLACK = 1e-12


@register("copoddos", paper="Alkhunaizi et al. 2022", complexity="O(n^2 d)")
@dataclass(frozen=True, kw_only=True)
class CopodDOS(Rule):
    """Weights that fall off with how much of an outlier a row is among all distances and angles.

    E = distances and C = 1 - cos between all rows; r = COPOD(E) + COPOD(C), where COPOD scores the rows of a matrix by
    how far out in the tails of its columns they lie; weights = softmax(-r). Alkhunaizi, Kamzolov, Takáč & Nandakumar,
    "Suppressing poisoning attacks on federated learning for medical imaging", MICCAI 2022. Li et al., "COPOD:
    copula-based outlier detection", ICDM 2020, with the tails as pyod, which the authors use, has them. But values that
    differ by rounding alone count as equal here, and a skewness that is nothing but rounding counts as none.

    Use when: neither f nor a threshold can be set, and weights that fall off smoothly are better than dropping
    anybody.
    """

    declared = Traits(properties=frozenset({"permutation", "scale", "columns", "rotation", "unanimity", "box"}))

    def statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        return (SqNorms(), Gram())

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        gram = updates.gram()
        # Twice the largest length may be too long for float64, and ranks do not change with the scale.
        dists = (block.sqrt() for block in Distances(evened(gram)[0]).blocks())
        scores = copod_scores(dists) + copod_scores(_angles(gram))
        return Plan(updates, torch.softmax(-scores, 0), scores={"copod": scores})


def _angles(gram: Tensor) -> Iterator[Tensor]:
    """1 - cos of all rows in order, some at a time, with all: (k, n) each."""
    for rows, cos in zip(row_slices(len(gram)), cosine_blocks(gram), strict=True):
        angles = (1 - cos).round(decimals=12)
        angles[:, rows].fill_diagonal_(0)
        yield angles


def copod_scores(rows: Iterable[Tensor]) -> Tensor:
    """COPOD's outlier score of each row of a symmetric matrix, of which some rows come at a time, (k, n) each: (n,).

    With the shares F_l(x) of a column that are at most x and F_r(x) that are at least x, u = -ln F: the sum over all
    columns of max(u_s, (u_l + u_r) / 2), where u_s is u_l in a column skewed to the left, u_r in one skewed to the
    right, and u_l + u_r in one without skewness.
    """
    parts = (_outlying(block.T.contiguous()).sum(1) for block in rows)
    return sum(parts, start=torch.zeros((), dtype=torch.float64))


def _outlying(matrix: Tensor) -> Tensor:
    """What some columns of the matrix say of how far out each row lies: (n, k)."""
    n = len(matrix)
    ranked, order = matrix.sort(0)
    place = torch.arange(n)[:, None].expand_as(ranked)
    steps = ranked[1:] > ranked[:-1] + _SLACK * ranked[:-1].abs()
    edge = torch.ones(1, matrix.shape[1], dtype=torch.bool)
    # The first and the last place of the values that are equal to the one at each place.
    first = torch.where(torch.cat([edge, steps]), place, 0).cummax(0).values
    last = torch.where(torch.cat([steps, edge]), place, n - 1).flip(0).cummin(0).values.flip(0)
    left = -((last + 1).double() / n).log()
    right = -((n - first).double() / n).log()
    side = _skewness(ranked.gather(0, first))
    tail = torch.where(side < 0, left, left + right)
    tail = torch.where(side > 0, right, tail)
    outlying = torch.maximum(tail, (left + right) / 2)
    return torch.zeros_like(outlying).scatter_(0, order, outlying)


def _skewness(columns: Tensor) -> Tensor:
    """The sign of each column's skewness, 0 where it is nothing but rounding: (n, m) to (m,)."""
    greatest = columns.abs().amax(0)
    scaled = columns / torch.where(greatest > 0, greatest, 1.0)  # the cubes must not overflow
    apart = scaled - scaled.mean(0)
    second = apart.square().mean(0)
    third = apart.pow(3).mean(0)
    return torch.where(third.abs() > _SLACK * second.pow(1.5), third.sign(), 0.0)
