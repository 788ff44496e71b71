"""2-means in float64, without a random start: SignGuard's other clustering."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

_MOVES = 300
# Squared distances closer than this share of the points' spread are equal: rounding must not decide.
_SLACK = 1e-12


def larger_of_two(points: Points) -> NDArray[np.bool_]:
    """Which points are in the larger of two clusters: (n,).

    Lloyd's algorithm from two points: the one that is farthest from the mean, and the one that is farthest from that.
    A point goes to the nearer centre, centres to the mean of their points, until no point changes. Points that are all
    the same are one cluster. Of points that are equally far, and of a point's two equally near centres, that of larger
    coordinates counts; of clusters of one size the one whose points are nearer to its centre, else that of larger
    coordinates. So the order of the points decides nothing.

    Args:
        points: (n, k), finite.
    """
    places, which, counts = np.unique(points, axis=0, return_inverse=True, return_counts=True)
    places, counts = places[::-1], counts[::-1]  # of equal ones the first counts, that of larger coordinates
    which = len(places) - 1 - which.reshape(-1)
    slack = _SLACK * float(np.square(places.max(0) - places.min(0)).sum())
    first = _farthest(places, counts @ places / counts.sum(), slack)
    second = _farthest(places, places[first], slack)
    if first == second:
        return np.ones(len(points), dtype=np.bool_)

    centres = places[sorted((first, second))]
    inside = _nearer_to_first(places, centres, slack)
    for _ in range(_MOVES):
        centres = np.stack([_mean(places, counts * inside), _mean(places, counts * ~inside)])
        if tuple(centres[0]) < tuple(centres[1]):
            centres, inside = centres[::-1], ~inside
        moved = _nearer_to_first(places, centres, slack)
        if np.array_equal(moved, inside) or moved.all() or not moved.any():
            break
        inside = moved
    return _is_larger(places, counts, centres, inside, slack)[which]


def _farthest(places: Points, centre: Points, slack: float) -> int:
    """The place farthest from a point, the first of those that are equally far."""
    distances = np.square(places - centre).sum(1)
    return int((distances >= distances.max() - slack).argmax())


def _nearer_to_first(places: Points, centres: Points, slack: float) -> NDArray[np.bool_]:
    """Which places are nearer to the first of two centres, or as near to it as to the second."""
    distances = np.square(places[:, None] - centres[None]).sum(2)
    return np.asarray(distances[:, 0] <= distances[:, 1] + slack)


def _mean(places: Points, counts: NDArray[np.int64]) -> Points:
    mean: Points = counts @ places / counts.sum()
    return mean


def _is_larger(
    places: Points, counts: NDArray[np.int64], centres: Points, inside: NDArray[np.bool_], slack: float
) -> NDArray[np.bool_]:
    """Which places are in the larger cluster, of equal ones in the denser."""
    size, rest = counts[inside].sum(), counts[~inside].sum()
    if size != rest:
        return inside if size > rest else ~inside
    spread = np.square(places - np.where(inside[:, None], centres[0], centres[1])).sum(1) * counts
    return inside if spread[inside].sum() <= spread[~inside].sum() + slack else ~inside
