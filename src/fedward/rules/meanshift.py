"""Mean-Shift with a flat kernel, in float64 and at any scale: what SignGuard clusters its features with.

The clusters are those of scikit-learn's MeanShift with binned seeds and no forced members, which rounds seeds to
float32 and raises where the bandwidth is too small for that. Points are taken in sorted order, so that nothing hangs
on the order in which clients come.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Whole = NDArray[np.int64]

# Distances closer than this share of the bandwidth are equal: rounding must not decide.
_SLACK = 1e-10
# A seed has arrived when it moves by less than this share of the bandwidth, or has moved so often.
_ARRIVED, _MOVES = 1e-3, 300
# Columns this many times farther from 0 than half the points' spread are measured from their least value.
_FAR = 2.0**20
# Coordinates below this share of the points' spread are 0: their squares would be.
_NOTHING = 1e-120
# Distances in memory at once.
_ROOM = 2**22


def mean_shift(points: Points, sample: int | None = None) -> Whole:
    """The cluster of each point: (n,), 0 for that of the densest centre, and so on; -1 for none.

    1. h = `bandwidth`. If it is 0, equal points are a cluster, those of larger coordinates first.
    2. Seeds: the corners of a grid of width h that are next to a point; the points, if no corner is next to two.
    3. A seed moves to the mean of the points within h of it until it moves by no more than h / 1000; one that has no
       point within h is no centre. A centre is as dense as it has points within h.
    4. Of two centres within h the less dense goes; of equally dense ones that of smaller coordinates.
    5. A point belongs to the nearest centre, if that is within h.

    Args:
        points: (n, k), finite.
        sample: the bandwidth is that of at most so many of the points, drawn by a fixed seed; of all if None.
    """
    points = _to_scale(points)
    drawn = points
    if sample is not None and len(points) > sample:
        drawn = points[np.random.RandomState(0).permutation(len(points))[:sample]]
    h = bandwidth(drawn)
    places, place_of, counts = np.unique(points, axis=0, return_inverse=True, return_counts=True)
    which = place_of.reshape(-1)
    if h == 0:
        return np.arange(len(places))[::-1][which]
    return _nearest(places, _centres(places, counts, h), h)[which]


def _distances(some: Points, others: Points) -> Points:
    """Euclidean, of all pairs."""
    from scipy.spatial.distance import cdist  # SciPy takes as long to load as all of fedward

    found: Points = cdist(some, others)
    return found


def bandwidth(points: Points) -> float:
    """Mean distance of the points to their floor(n / 2)-th nearest point, at least the first, which is itself.

    What scikit-learn's `estimate_bandwidth` with quantile 0.5 is up to rounding; from differences, so that points that
    coincide have distance 0.
    """
    points = points[np.lexsort(points.T)]
    k = max(len(points) // 2, 1)
    parts = (np.partition(_distances(some, points), k - 1, axis=1)[:, k - 1] for some in _chunks(points, len(points)))
    # Copies, or all distances would stay in memory with the columns that are views of them.
    reach = [part.copy() for part in parts]
    return float(np.concatenate(reach).mean())


def _to_scale(points: Points) -> Points:
    """The points with a spread between 1 and 2: times a power of two, which rounds nothing.

    Columns that are so far from 0 that float32 could not tell their points apart begin at 0; all others keep their
    place on scikit-learn's grid.
    """
    low, high = points.min(0), points.max(0)
    half = high / 2 - low / 2  # halves, so that no difference overflows
    spread = half.max()
    if spread == 0:
        return np.zeros_like(points)
    far = np.maximum(abs(low), abs(high)) / _FAR > spread
    scaled = np.ldexp(points - np.where(far, low, 0.0), -int(np.frexp(spread)[1]))
    return np.where(abs(scaled) < _NOTHING, 0.0, scaled)


def _centres(places: Points, counts: Whole, h: float) -> Points:
    """Where seeds end up, no two of them within h, the densest first: (c, k)."""
    centres, density = _climbed(places, counts, h)
    order = np.lexsort((*centres.T[::-1], density))[::-1]
    left = centres[order]
    kept = []
    while len(left):
        kept.append(left[0])
        left = left[_distances(left[:1], left)[0] > h * (1 + _SLACK)]
    return np.array(kept)


def _climbed(places: Points, counts: Whole, h: float) -> tuple[Points, Whole]:
    """Where each seed ends up and how many points are within h of where it was before: (s, k) and (s,)."""
    now = _seeds(places, counts, h)
    before = now
    density = np.zeros(len(now), dtype=np.int64)
    arrived = []
    for move in range(_MOVES + 1):
        within, means = _surroundings(now, places, counts, h)
        # Rounding may take a seed from its last points; it stays where it had them.
        lost = within == 0
        stranded = lost & (density > 0)
        arrived.append((before[stranded], density[stranded]))
        near = np.linalg.norm(means - now, axis=1) <= _ARRIVED * h
        done = ~lost & (near | (move == _MOVES))
        arrived.append((means[done], within[done]))
        going = ~lost & ~done
        # Seeds that meet move as one from here.
        _, first = np.unique(means[going], axis=0, return_index=True)
        before = now[going][first]
        density = within[going][first]
        now = means[going][first]
        if not len(now):
            break
    found, dense = (np.concatenate(part) for part in zip(*arrived, strict=True))
    return (found, dense) if len(found) else (places, counts)


def _seeds(places: Points, counts: Whole, h: float) -> Points:
    """Corners of the grid next to a point; the points, if each has a corner to itself."""
    corners = np.unique(np.round(places / h) + 0.0, axis=0)  # no negative zero, which would be a corner of its own
    return places if len(corners) == counts.sum() else corners * h


def _surroundings(seeds: Points, places: Points, counts: Whole, h: float) -> tuple[Whole, Points]:
    """How many points are within h of each seed, and their mean; the seed itself if there are none."""
    within = np.empty(len(seeds))
    sums = np.empty_like(seeds)
    weighted = places * counts[:, None]
    start = 0
    for some in _chunks(seeds, len(places)):
        inside = (_distances(some, places) <= h * (1 + _SLACK)).astype(np.float64)
        part = slice(start, start + len(some))
        within[part] = inside @ counts
        sums[part] = inside @ weighted
        start += len(some)
    means = np.where(within[:, None] > 0, sums / np.maximum(within, 1)[:, None], seeds)
    return within.astype(np.int64), means


def _nearest(places: Points, centres: Points, h: float) -> Whole:
    """The centre that each place is nearest to, the first of those equally near; -1 if none is within h."""
    labels = []
    for some in _chunks(places, len(centres)):
        distances = _distances(some, centres)
        least = distances.min(1)
        first = (distances <= least[:, None] + h * _SLACK).argmax(1)
        labels.append(np.where(least <= h * (1 + _SLACK), first, -1))
    return np.concatenate(labels)


def _chunks(points: Points, others: int) -> list[Points]:
    """The points in parts, such that the distances of a part to so many others fit in the room for them."""
    return np.array_split(points, len(points) * others // _ROOM + 1)
