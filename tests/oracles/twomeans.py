"""Reference 2-means: Lloyd's algorithm from the two points that lie far apart, in loops."""

import numpy as np
from numpy.typing import ArrayLike

from tests.oracles.rules import Vector, as_rows


def _squared(a: Vector, b: Vector) -> float:
    return float(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)))


def _farthest(points: list[Vector], centre: Vector) -> Vector:
    """The point farthest from a centre; of equal ones that of larger coordinates."""
    return max(points, key=lambda p: (round(_squared(p, centre), 12), tuple(p)))


def starts(F: ArrayLike) -> tuple[Vector, Vector]:
    """The point farthest from the mean, and the point farthest from that."""
    points = list(as_rows(F))
    first = _farthest(points, np.mean(sorted(map(tuple, points)), axis=0))
    return first, _farthest(points, first)


def clusters(F: ArrayLike) -> list[bool]:
    """Lloyd from `starts`: whether each point belongs to the first of the two; ties to the first start of the larger
    coordinates."""
    points = list(as_rows(F))
    a, b = sorted(starts(points), key=tuple, reverse=True)
    if tuple(a) == tuple(b):
        return [True] * len(points)
    first = [_squared(p, a) <= _squared(p, b) + 1e-12 for p in points]
    for _ in range(300):
        a = np.mean([p for p, mine in zip(points, first, strict=True) if mine], axis=0)
        b = np.mean([p for p, mine in zip(points, first, strict=True) if not mine], axis=0)
        if tuple(a) < tuple(b):
            a, b = b, a
        moved = [_squared(p, a) <= _squared(p, b) + 1e-12 for p in points]
        if moved == first:
            break
        first = moved
    return first


def larger(F: ArrayLike) -> list[int]:
    """The points of the larger cluster; of two of one size those nearer to their mean, else those of larger
    coordinates."""
    points = list(as_rows(F))
    first = clusters(points)
    best: tuple[int, float, tuple[float, ...]] | None = None
    found: list[int] = []
    for side in (True, False):
        members = [i for i, mine in enumerate(first) if mine is side]
        if not members:
            continue
        mean = np.mean([points[i] for i in members], axis=0)
        spread = sum(_squared(points[i], mean) for i in members)
        key = (len(members), -round(spread, 10), tuple(float(v) for v in mean))
        if best is None or key > best:
            best, found = key, members
    return found
