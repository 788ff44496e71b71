"""Centres of rows by weights that are functions of distances, in the algebra of the Gram matrix.

Every distance from a mix of rows follows from inner products, so no iteration touches data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ..stack import SAME_ROW, Distances, collected, row_slices

_ALL = slice(None)


def mix_distances(gram: Tensor, weights: Tensor) -> Tensor:
    """Distances of the rows from the mix of them with these weights, which add up to 1: (n,)."""
    products = gram @ weights
    return (gram.diagonal() - 2 * products + weights @ products).clamp_min(0).sqrt()


def _measured_from(gram: Tensor, o: int, rows: slice = _ALL) -> Tensor:
    """Inner products of x_i - x_o with x_j - x_o for some i, and all j, from those of x_i with x_j: (k, n)."""
    return (gram[rows] - gram[rows, o, None]).sub_(gram[None, o, :]).add_(gram[o, o])


class Reweighting:
    """Repeat v = sum_i w_i x_i / sum_i w_i with weights that are a function of the distances |x_i - v|."""

    def __init__(self, gram: Tensor) -> None:
        self.gram = gram
        self._sq_dists = Distances(gram)
        # Measured from a central row, products are of the size of the spread, not of the rows. Differences of the
        # Gram matrix, unlike halved distances, stay right for a row of 1e30 once its weight is 1e-30.
        medians = collected(len(gram), (block.median(1).values for block in self._sq_dists.blocks()))
        self.o = int(medians.argmin())
        self.K = _measured_from(gram, self.o)

    def between(self) -> Iterator[Tensor]:
        """Distances of all rows in order, some at a time, from all: (k, n) each."""
        return (block.sqrt() for block in self._sq_dists.blocks())

    def distances_of(self, row: int) -> Tensor:
        """Distances of a row from all: (n,)."""
        return self._sq_dists.of(torch.tensor([row]))[0].sqrt()

    def distances(self, weights: Tensor | None) -> Tensor:
        """Distances of the rows from the mix with these weights, which add up to 1, or from zero: (n,)."""
        if weights is None:
            return self.gram.diagonal().clamp_min(0).sqrt()
        return mix_distances(self.K, weights)

    def moved(self, before: Tensor | None, after: Tensor) -> float:
        """How far the mix moves from one of these weights to the other, which add up to 1; from zero if None."""
        if before is None:
            return float((after @ self.gram @ after).clamp_min(0).sqrt())
        change = after - before
        return float((change @ self.K @ change).clamp_min(0).sqrt())

    def run(
        self,
        weigh: Callable[[Tensor], Tensor],
        steps: int,
        settled: Callable[[Tensor | None, Tensor], bool] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Weights after at most so many steps from zero, and the distances of the rows from that mix.

        ``settled`` is told the weights before a step, None before the first, and those after it.
        """
        weights = None
        dists = self.distances(None)
        for _ in range(steps):
            before = weights
            weights = weigh(dists)
            weights = weights / weights.sum()
            dists = self.distances(weights)
            if settled is not None and settled(before, weights):
                break
        assert weights is not None
        return weights, dists


def geometric_median(gram: Tensor, steps: int, tolerance: float) -> tuple[Tensor, Tensor]:
    """The weights of the mix of rows with the least sum of distances to all of them, and those distances: (n,) each.

    Args:
        gram: inner products of the rows.
        steps: of the iteration at most.
        tolerance: stop when no distance changes by a larger share in a step; or than float64 can tell.
    """
    search = Reweighting(gram)
    weights = _among_rows(search)
    if weights is None:
        weights = _between_rows(search, steps, tolerance)
    return weights, search.distances(weights)


def _between_rows(search: Reweighting, steps: int, tolerance: float) -> Tensor:
    lengths = search.gram.diagonal().clamp_min(0)
    floors = (SAME_ROW * lengths.maximum(lengths[search.o])).sqrt()

    def step(logs: Tensor) -> Tensor:
        return search.distances(torch.softmax(-logs, 0)).maximum(floors).log()

    def settled(change: Tensor, logs: Tensor) -> bool:
        # A distance is known to about the square of what cannot be told apart beside it.
        noise = 0.1 * (floors.log() - logs).exp().square()
        return bool((change.abs() <= tolerance + noise).all())

    weights = _majority(search)
    start = search.distances(weights / weights.sum()).maximum(floors).log()
    return torch.softmax(-accelerated(step, start, settled, steps), 0)


def _majority(search: Reweighting) -> Tensor:
    """Weights 1 / r_i^2, r_i the distance within which row i has more than half of the rows, itself included: (n,).

    Rows far from a majority weigh next to nothing, whatever they are, and no row is special: a start that neither
    colluders nor the order of rows move.
    """
    n = len(search.gram)
    reach = collected(n, (block.sort(1).values[:, n // 2] for block in search.between()))
    return torch.where(reach > 0, reach.amin() / reach, 1.0).square()


def _among_rows(search: Reweighting) -> Tensor | None:
    """The weights if the median is at a row and nowhere else; None if not.

    The row with the least sum of distances is the median if the unit vectors from it towards the m' rows elsewhere add
    up to less than the number of rows at its place.
    """
    K = search.K
    from_centre = search.distances_of(search.o)

    def excess(rows: slice, dists: Tensor) -> Tensor:
        # |x_i - x_j| - |x_o - x_j| as a quotient: of rows of 1e30, a difference of roots would leave nothing but
        # rounding.
        sums = dists + from_centre
        return torch.where(sums > 0, (K.diagonal()[rows, None] - 2 * K[rows]) / sums, 0.0).sum(1)

    i = int(collected(len(K), map(excess, row_slices(len(K)), search.between())).argmin())
    dists = search.distances_of(i)
    here = dists == 0
    away = torch.where(here, 0.0, 1 / dists)
    inner = (_measured_from(K, i, rows) * away[rows, None] * away for rows in row_slices(len(K)))
    square = sum((block.sum() for block in inner), start=torch.zeros((), dtype=K.dtype))
    pull = float(square.clamp_min(0).sqrt())
    count = int(here.sum())
    return here.double() / count if pull < count * (1 - 1e-9) else None


def accelerated(
    step: Callable[[Tensor], Tensor],
    start: Tensor,
    settled: Callable[[Tensor, Tensor], bool],
    steps: int,
    memory: int = 8,
) -> Tensor:
    """A fixed point of ``step``, by Anderson's acceleration: the combination of the last steps that changed least.

    D. G. Anderson, "Iterative procedures for nonlinear integral equations", Journal of the ACM 1965. Where it leads
    astray (a change twice as large as the last), it starts again with plain steps, from the best point so far.
    """
    x = start
    after = step(x)
    points: list[tuple[Tensor, Tensor]] = []
    for _ in range(steps):
        change = after - x
        if settled(change, after):
            break
        points = [*points[-memory:], (after, change)]
        following = _combined(points) if len(points) > 2 else after
        reached = step(following)
        if not bool(reached.isfinite().all()) or float((reached - following).norm()) > 2 * float(change.norm()):
            points = []
            following = after
            reached = step(following)
        x = following
        after = reached
    return after


def _combined(points: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The affine combination of the steps whose change is smallest in length, applied to where they led."""
    afters, changes = (torch.stack(column, 1) for column in zip(*points, strict=True))
    by: Tensor = torch.linalg.lstsq(changes.diff(dim=1), changes[:, -1:], driver="gelsd").solution
    return (afters[:, -1:] - afters.diff(dim=1) @ by)[:, 0]
