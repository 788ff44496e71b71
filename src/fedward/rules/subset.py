"""Rules that average the subset of rows that looks best as a whole."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from itertools import combinations, islice
from math import comb

import numpy as np
import torch
from torch import Tensor

from ..core import Bound, BoundError, Context, Plan, Reading, Reason, Rule, State, Traits, average_of, smallest
from ..registry.bounds import Byzantine
from ..registry.entries import register
from ..stack import Distances, SqNorms, Statistic, Updates, collected, evened, row_blocks, row_slices
from .distance import ROWWISE, FromGram, central_scores

_ROWWISE = ROWWISE | {"mean"}


@register("cge", paper="Gupta & Vaidya 2020")
@dataclass(frozen=True, kw_only=True)
class CGE(Rule):
    """Mean of the n - f rows of smallest norm ("comparative gradient elimination").

    Gupta & Vaidya, "Fault-tolerance in distributed optimization: the case of redundancy", PODC 2020, which sums them.

    Use when: byzantine rows are known to be long (noise, boosted updates, crashes), and a rule as cheap as the mean
    is wanted. It looks at lengths alone.
    """

    f: Byzantine
    declared = Traits(selects=True, bound=Bound(1, 1), properties=_ROWWISE - {"translation"})

    def statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        return (SqNorms(),)

    def most_accepted(self, n: int) -> int:
        return n - self.f_of(n)

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        norms = updates.norms()
        kept = smallest(norms, updates.n - self.f_of(updates.n))
        note = self.note(updates.n)
        return average_of(updates, kept, scores={"norm": norms}, reason=Reason.NORM_TOO_LARGE, note=note)


@register("faba", paper="Xia et al. 2019", complexity="O(n^2 d + f n^2)")
@dataclass(frozen=True, kw_only=True)
class FABA(FromGram):
    """Mean of what is left after dropping, f times, the row farthest from the mean of those left.

    Xia, Tao, Hao & Li, "FABA: an algorithm for fast aggregation against Byzantine attacks in distributed neural
    networks", IJCAI 2019, Algorithm 1. The row with the largest sum of squared distances to those left is the farthest
    from their mean, so no mean is formed. The last two are equally far from theirs: the one that is farther from the
    nearest half of all rows goes; of two clients alone, the longer one.

    Use when: f is known, honest rows lie around one centre, and whole rows are to be kept or dropped: whoever is
    farthest from the others' mean goes, one by one.
    """

    f: Byzantine
    declared = Traits(selects=True, bound=Bound(1, 1), properties=_ROWWISE | {"breakdown"})

    def traits(self) -> Traits:
        # No rule can tell one of two rows from the other in a way that neither order nor a shift of both changes.
        return self.declared.without("translation") if self.f == 1 or not isinstance(self.f, int) else self.declared

    def withstands(self, n: int) -> int:
        return min(self.f_of(n), (n - 1) // 2)

    def most_accepted(self, n: int) -> int:
        return n - self.f_of(n)

    def steps(self, n: int) -> float:
        return 4.0 * n**2 * self.f_of(n)  # all rows are compared with the mean of the rest for each that is dropped

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        dists = updates.sq_dists()
        central = central_scores(row_blocks(dists), updates.n)
        norms = updates.norms()
        left = torch.arange(updates.n)
        scores = torch.zeros(updates.n, dtype=torch.float64)
        for _ in range(self.f_of(updates.n)):
            # Summed afresh each time: subtracting the distances of a row of 1e30 would leave nothing but rounding.
            parts = (dists[left[rows]][:, left].sum(1) for rows in row_slices(len(left), updates.n))
            sums = collected(len(left), parts)
            scores[left] = sums / len(left)
            worst = smallest(-sums, 1, -central[left], -norms[left])
            left = left[torch.arange(len(left)) != worst]
        note = self.note(updates.n)
        return average_of(updates, left, scores={"distance": scores.sqrt()}, reason=Reason.FAR, note=note)


@register("monna", paper="Farhadkhani et al. 2023", complexity="O(n^2 d)")
@dataclass(frozen=True, kw_only=True)
class MoNNA(FromGram):
    """Mean of the n - f rows nearest to a trusted one, that one included.

    Farhadkhani, Guerraoui, Gupta, Hoang, Pinot & Stephan, "Robust collaborative learning with linear gradient
    overhead", ICML 2023: every node trusts its own vector. Here one client is trusted by name.

    Use when: one client is trusted more than all others (a node of the server's own, a partner with known data),
    and f is known. Name it with ``pivot``: the default trusts client 0.

    Args:
        f: byzantine clients.
        pivot: id of the trusted client.
        bound: "theorem" for n >= 2f + 1; "definition" for the n >= f + 1 of one row to average, where nothing is
            promised.

    Raises:
        BoundError: the trusted client sent nothing finite.
    """

    f: Byzantine
    pivot: Hashable = 0
    bound: Reading = "theorem"
    declared = Traits(
        selects=True,
        by_client=True,
        bound=Bound(2, 1),
        definition=Bound(1, 1),
        properties=(_ROWWISE - {"permutation"}) | {"breakdown"},
    )

    def most_accepted(self, n: int) -> int:
        return n - self.f_of(n)

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        if self.pivot not in updates.ids:
            raise BoundError(
                f"{self!r} trusts client {self.pivot!r}, which is not among the {updates.n} with finite rows: "
                "keep the previous model, or trust another"
            )
        dists = Distances(updates.gram()).of(torch.tensor([updates.ids.index(self.pivot)]))[0]
        kept = smallest(dists, updates.n - self.f_of(updates.n))
        note = self.note(updates.n)
        return average_of(updates, kept, scores={"distance": dists.sqrt()}, reason=Reason.FAR, note=note)


@register("mda", paper="El Mhamdi et al. 2018", complexity="O(n^2 d + 1.47^f n^3)")
@dataclass(frozen=True, kw_only=True)
class MDA(FromGram):
    """Mean of the n - f rows with the smallest diameter ("minimum diameter averaging").

    argmin over subsets S of n - f rows of max_{i, j in S} |x_i - x_j|; of several, the first in row order. El Mhamdi,
    Guerraoui & Rouault, "The hidden vulnerability of distributed learning in Byzantium", 2018; Rousseeuw 1985.

    Exact without enumerating subsets: n - f rows lie within a diameter t if and only if f rows cover all pairs that are
    farther apart than t, and such a vertex cover is found in 1.47^f steps at worst, mostly in a few. t is bisected.

    Use when: clients are few, f is small, and the n - f rows that agree best are to be found exactly. Where the
    search reaches its limit it says so; `MultiKrum` is the cheap relative.

    Args:
        f: byzantine clients.
        limit: steps of a search for a cover at most.
        bound: as for `MoNNA`.

    Raises:
        BoundError: the limit was reached.
    """

    f: Byzantine
    limit: int = 200_000
    bound: Reading = "theorem"
    # The two rows farthest apart set the diameter; others can be exchanged for rows left out, and row order decides.
    declared = Traits(
        selects=True,
        bound=Bound(2, 1),
        definition=Bound(1, 1),
        properties=(_ROWWISE - {"permutation"}) | {"breakdown"},
    )

    def most_accepted(self, n: int) -> int:
        return n - self.f_of(n)

    def steps(self, n: int) -> float:
        return 20.0 * n**3  # of one search among many, whatever its limit

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        dists = updates.sq_dists()
        kept = torch.tensor(smallest_diameter(dists, self.f_of(updates.n), self.limit))
        scores = {"distance": dists[:, kept].amax(1).sqrt()}
        return average_of(updates, kept, scores=scores, reason=Reason.FAR, note=self.note(updates.n))


def smallest_diameter(sq_dists: Tensor, f: int, limit: int) -> list[int]:
    """The first n - f rows, in row order, with the smallest greatest distance."""
    n = len(sq_dists)
    levels = torch.unique(sq_dists).tolist()

    def covers(level: float) -> _Covers:
        return _Covers((sq_dists > level * (1 + 1e-12)).numpy(), limit)

    low, high = 0, len(levels) - 1
    while low < high:
        middle = (low + high) // 2
        if covers(levels[middle]).exists(f):
            high = middle
        else:
            low = middle + 1
    conflicts = covers(levels[low])
    kept: list[int] = []
    for row in range(n):
        if len(kept) < n - f and conflicts.exists(f, keeping=(*kept, row)):
            kept.append(row)
    return kept


class _Covers:
    """Vertex covers of a graph: sets of rows that hold at least one row of every conflicting pair. Sets are bits."""

    def __init__(self, conflicts: np.ndarray, limit: int) -> None:
        self.all = (1 << len(conflicts)) - 1
        self.neighbours = [sum(1 << int(j) for j in np.flatnonzero(row)) for row in conflicts]
        self.limit = limit
        self.steps = 0

    def exists(self, size: int, keeping: tuple[int, ...] = ()) -> bool:
        """Whether there is a cover of at most this size with none of the given rows in it."""
        self.steps = 0
        covered = 0
        for row in keeping:
            covered |= self.neighbours[row]
        if any(covered >> row & 1 for row in keeping):
            return False
        return self._search(self.all & ~covered, size - covered.bit_count())

    def _search(self, left: int, size: int) -> bool:
        self.steps += 1
        if self.steps > self.limit:
            raise BoundError(
                f"the smallest diameter was not found in {self.limit} steps: raise MDA's limit, or use MultiKrum"
            )
        if size < 0:
            return False
        degrees = {row: (self.neighbours[row] & left).bit_count() for row in _members(left)}
        row = max(degrees, key=degrees.__getitem__, default=-1)
        most = degrees[row] if degrees else 0
        if most == 0:
            return True
        if sum(degrees.values()) > 2 * size * most:
            return False
        neighbours = self.neighbours[row] & left
        if most <= size and most > 1 and self._search(left & ~neighbours & ~(1 << row), size - most):
            return True
        # With a single conflict it does not matter which of the two goes; with more than `size`, the row must.
        return self._search(left & ~(1 << row), size - 1)


def _members(bits: int) -> Iterator[int]:
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


@register("smea", paper="Allouah et al. 2023", complexity="O(n^2 d + C(n, f) n^3)")
@dataclass(frozen=True, kw_only=True)
class SMEA(FromGram):
    """Mean of the n - f rows whose covariance has the smallest largest eigenvalue.

    argmin over subsets S of n - f rows of the top eigenvalue of (1/|S|) sum_{i in S} (x_i - mean)(x_i - mean)^T; of
    several, the first in row order. Allouah, Guerraoui, Gupta, Pinot & Stephan, "On the privacy-robustness-utility
    trilemma in distributed learning", ICML 2023. All subsets are tried, so it is for few clients: `CAF` by the same
    group needs no subsets.

    Use when: clients are a dozen or two, f is small, and the subset with the least spread is to be found exactly.

    Args:
        f: byzantine clients.
        limit: subsets at most.
        bound: as for `MoNNA`.

    Raises:
        BoundError: more subsets than the limit.
    """

    f: Byzantine
    limit: int = 100_000
    bound: Reading = "theorem"
    declared = Traits(selects=True, bound=Bound(2, 1), definition=Bound(1, 1), properties=_ROWWISE | {"breakdown"})

    def traits(self) -> Traits:
        # Subsets of a single row have no covariance at all: of n = f + 1 rows the first one counts.
        return super().traits().without("permutation") if self.bound == "definition" else super().traits()

    def check(self, n: int) -> None:
        super().check(n)
        f = self.f_of(n)
        if comb(n, f) > self.limit:
            raise BoundError(
                f"{self!r} would try {min(comb(n, f), 10**300):.3g} subsets of {n} clients, limit={self.limit}: use "
                "CAF, or raise the limit"
            )

    def most_accepted(self, n: int) -> int:
        return n - self.f_of(n)

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        gram = updates.gram()
        size = updates.n - self.f_of(updates.n)
        best = float("inf")
        kept = torch.arange(size)
        subsets = combinations(range(updates.n), size)
        while chunk := list(islice(subsets, 256)):
            rows = torch.tensor(chunk)
            inner, unit = evened(gram[rows[:, :, None], rows[:, None, :]])
            centred = (
                inner - inner.mean(1, keepdim=True) - inner.mean(2, keepdim=True) + inner.mean((1, 2), keepdim=True)
            )
            top = torch.linalg.eigvalsh((centred + centred.mT) / 2)[:, -1]
            # Rows that are all the same leave nothing but rounding.
            top = torch.where(top <= 1e-13 * inner.diagonal(dim1=1, dim2=2).sum(1), 0.0, top)
            top = top * unit
            first = smallest(top, 1)
            if float(top[first]) < best * (1 - 1e-12):
                best = float(top[first])
                kept = rows[first[0]]
        return average_of(updates, kept, reason=Reason.SPECTRAL_OUTLIER, note=self.note(updates.n))
