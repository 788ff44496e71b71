"""Rules that decide from distances between rows: Krum and its kin."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ..core import Bound, BoundError, Context, Plan, Reading, Reason, Rule, State, Traits, average_of, smallest
from ..registry.bounds import Byzantine, Count
from ..registry.entries import register
from ..stack import Distances, Gram, Statistic, Updates, collected, row_blocks, row_slices
from ..stack import kernels as columns

ROWWISE = frozenset({"permutation", "translation", "scale", "columns", "rotation", "unanimity", "box"})
"""What a rule can claim that weighs whole rows by how they lie to one another."""


def krum_scores(sq_dists: Iterable[Tensor], n: int, neighbours: int) -> Tensor:
    """Sum of the squared distances from each row to its closest other rows, at least one of them: (n,).

    Args:
        sq_dists: of all rows in order, some at a time, to all rows: (k, n) each.
        n: rows.
        neighbours: how many.
    """
    count = min(max(neighbours, 1), n - 1)
    others = (
        block.index_put((torch.arange(len(block)), torch.arange(n)[rows]), torch.tensor(torch.inf, dtype=block.dtype))
        for rows, block in zip(row_slices(n), sq_dists, strict=True)
    )
    return collected(n, (block.sort(1).values[:, :count].sum(1) for block in others))


def central_scores(sq_dists: Iterable[Tensor], n: int) -> Tensor:
    """Krum scores of the nearest half of all rows, which decide between equal ones of fewer: (n,).

    Two rows that are each other's nearest have the same score by one neighbour. By more they have not, and no minority
    of colluders is among the nearest half.
    """
    return krum_scores(sq_dists, n, max(n // 2, 2))


def lowest_scores(gram: Tensor, neighbours: int, m: int) -> tuple[Tensor, Tensor]:
    """Krum scores, (n,), and the m rows with the lowest ones, (m,)."""
    dists = Distances(gram)
    scores = krum_scores(dists.blocks(), len(gram), neighbours)
    # Scores by several neighbours are equal for identical rows alone.
    central = (central_scores(dists.blocks(), len(gram)),) if neighbours <= 1 else ()  # fewer than one count as one
    return scores, smallest(scores, m, *central)


class FromGram(Rule):
    """A rule that decides from the inner products of all rows: distances, angles, mixes of rows."""

    def statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        return (Gram(),)


@register("krum", paper="Blanchard et al. 2017", complexity="O(n^2 d)")
@dataclass(frozen=True, kw_only=True)
class Krum(FromGram):
    """The row that is closest to its n - f - 2 nearest other rows, in sum of squared distances.

    score_i = sum over the n - f - 2 nearest j != i of |x_i - x_j|^2; Blanchard et al. 2017, section 4. Some code sums
    plain distances, or n - f - 1 of them. Of rows with equal scores, such as the nearest two of three for f = 0, the
    one whose next neighbours are nearer; the paper takes the smaller identifier, which here decides among identical
    rows alone.

    Use when: f is known, one client's row is good enough for a round (long local training on alike data), and the
    choice must be easy to explain. Else take `MultiKrum`, which averages.

    Args:
        f: byzantine clients.
        bound: "theorem" for n >= 2f + 3; "definition" for the n >= f + 3 of one neighbour, where nothing is promised.
    """

    f: Byzantine
    bound: Reading = "theorem"
    declared = Traits(selects=True, bound=Bound(2, 3), definition=Bound(1, 3), properties=ROWWISE | {"breakdown"})

    def most_accepted(self, n: int) -> int:
        return 1

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        scores, chosen = lowest_scores(updates.gram(), updates.n - self.f_of(updates.n) - 2, 1)
        note = self.note(updates.n)
        return average_of(updates, chosen, scores={"krum": scores}, reason=Reason.FAR, note=note)


@register("multi-krum", paper="Blanchard et al. 2017", complexity="O(n^2 d)")
@dataclass(frozen=True, kw_only=True)
class MultiKrum(FromGram):
    """Average of the m rows with the lowest Krum scores.

    Scores are computed once. m = n - f - 2 unless given (the SignGuard experiments' choice); m = 1 is Krum, and
    m = n - f another common choice. Equal scores are told apart as by `Krum`.

    Use when: f is known, whole rows are to be kept or dropped by how near they are to others, and a rule is wanted
    that most papers compare with.

    Args:
        f: byzantine clients.
        m: rows to average.
        bound: as for `Krum`.

    Raises:
        BoundError: m is above n.
    """

    f: Byzantine
    m: Count | None = None
    bound: Reading = "theorem"
    declared = Traits(selects=True, bound=Bound(2, 3), definition=Bound(1, 3), properties=ROWWISE | {"breakdown"})

    def traits(self) -> Traits:
        # More than n - f rows would let colluders in.
        return super().traits() if self.m is None else super().traits().without("breakdown")

    def check(self, n: int) -> None:
        super().check(n)
        if self.m is not None and self.m > n:
            raise BoundError(f"{self!r} averages m = {self.m} rows, got {n} clients: lower m")

    def most_accepted(self, n: int) -> int:
        return n - self.f_of(n) - 2 if self.m is None else self.m

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        m = self.most_accepted(updates.n)
        scores, chosen = lowest_scores(updates.gram(), updates.n - self.f_of(updates.n) - 2, m)
        note = self.note(updates.n)
        return average_of(updates, chosen, scores={"krum": scores}, reason=Reason.FAR, note=note)


@register("bulyan", paper="El Mhamdi et al. 2018", complexity="O(n^2 d + n^3)")
@dataclass(frozen=True, kw_only=True)
class Bulyan(FromGram):
    """Krum picks n - 2f rows one by one; then each column averages the n - 4f picked values closest to its median.

    Rows are scored afresh after each pick, among those left, with (left - f - 2) neighbours, at least 1.
    El Mhamdi et al. 2018, Algorithm 1. Much code scores only once. With f of 1 or 2 the last picks score rows by one
    neighbour, and two that are each other's nearest tie: the one that is nearer to the nearest half of all rows wins.

    Use when: clients are at least 4f + 3, and attackers may hide a large error in a few columns of a row that is
    near the others as a whole: every column trims once more what Krum lets through.

    Args:
        f: byzantine clients.
        bound: "theorem" for n >= 4f + 3; "definition" for the n >= 4f + 1 of one value to average in each column.
    """

    f: Byzantine
    bound: Reading = "theorem"
    declared = Traits(
        bound=Bound(4, 3),
        definition=Bound(4, 1),
        properties=frozenset(
            {"permutation", "translation", "scale", "columns", "unanimity", "box", "mean", "breakdown"}
        ),
    )

    def steps(self, n: int) -> float:
        return 10.0 * n**2 * (n - 2 * self.f_of(n))  # all pairs are looked at for each pick

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        f = self.f_of(updates.n)
        picked, scores = bulyan_picks(updates.sq_dists(), f)
        return Plan(
            updates.take(picked.sort().values),
            kernel=partial(columns.mean_around_median, count=updates.n - 4 * f),
            scores={"krum": scores},
            reasons=[Reason.FAR] * updates.n,
            judged=updates,
            note=self.note(updates.n),
        )


def bulyan_picks(sq_dists: Tensor, f: int) -> tuple[Tensor, Tensor]:
    """The n - 2f picks of repeated Krum, in order, and each row's score when it was picked or last seen.

    Distances are sorted once; a pick costs O(n^2).
    """
    n = len(sq_dists)
    order = sq_dists.clone().fill_diagonal_(-1).argsort(dim=1, stable=True)[:, 1:]  # nearest others first
    ranked = sq_dists.gather(1, order)
    left = torch.ones(n, dtype=torch.bool)
    scores = torch.zeros(n, dtype=sq_dists.dtype)
    central = central_scores(row_blocks(sq_dists), n)
    picks = []
    for remaining in range(n, 2 * f, -1):
        near = max(remaining - f - 2, 1)
        both = zip(row_blocks(order), row_blocks(ranked), strict=True)
        current = collected(n, (_to_nearest(others, dists, left, near) for others, dists in both))
        scores[left] = current[left]
        best = left.nonzero().flatten()[smallest(current[left], 1, central[left])]
        left[best] = False
        picks.append(best)
    return torch.cat(picks), scores


def _to_nearest(order: Tensor, ranked: Tensor, left: Tensor, count: int) -> Tensor:
    """The sum of the distances from each of some rows to the nearest others, so many, that are left: (k,)."""
    alive = left[order]
    counted = alive & (alive.cumsum(1) <= count)
    return torch.where(counted, ranked, 0.0).sum(1)
