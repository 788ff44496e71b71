"""Reference pre-aggregations, float64 NumPy: they return a matrix of mixed rows.

Row i of ``X`` (n, d) is the message of client i.  Ties go to the lowest index.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from tests.oracles.geometry import centered_clipping, check_fewer_than_all, check_minority, clip_norm
from tests.oracles.rules import (
    Matrix,
    Vector,
    as_rows,
    cosine,
    lowest,
    mean_of,
    norm,
    squared_distance,
)


def bucketing(X: ArrayLike, perm: Sequence[int], s: int) -> Matrix:
    """Rows in the order ``perm``, cut into consecutive groups of s (the last may be short); their means.

    Karimireddy et al. 2022, Algorithm 1.
    """
    rows = as_rows(X)
    order = [int(i) for i in perm]
    if sorted(order) != list(range(rows.shape[0])):
        raise ValueError("perm must be a permutation of the rows")
    if s < 1:
        raise ValueError("s must be positive")
    return np.array([mean_of(rows, order[start : start + s]) for start in range(0, len(order), s)])


def sequential_buckets(X: ArrayLike, v: ArrayLike, s: int, perms: Sequence[Sequence[int]]) -> list[list[int]]:
    """Sort by cos(v, x_i) ascending, cut into s clusters of ceil(n/s), permute; bucket t = the t-th of each.

    Özfatura et al. 2023.

    The members of cluster c in their new order are cluster[perms[c][0]], cluster[perms[c][1]], ...
    Clusters that stay empty need no permutation (or an empty one).
    """
    rows = as_rows(X)
    n = rows.shape[0]
    if s < 1:
        raise ValueError("s must be positive")
    reference = np.array(v, dtype=np.float64)
    order = lowest([cosine(reference, x) for x in rows], n)
    size = -(-n // s)
    clusters = [order[start : start + size] for start in range(0, n, size)]
    used = [[int(p) for p in perm] for perm in perms if len(perm) > 0]
    if [sorted(perm) for perm in used] != [list(range(len(cluster))) for cluster in clusters]:
        raise ValueError("one permutation per cluster, of its size")
    shuffled = [[cluster[p] for p in perm] for cluster, perm in zip(clusters, used, strict=True)]
    return [[cluster[t] for cluster in shuffled if t < len(cluster)] for t in range(size)]


def cc_sequential_bucketing(X: ArrayLike, v: ArrayLike, tau: float, s: int, perms: Sequence[Sequence[int]]) -> Vector:
    """Bucket after bucket, v <- centered clipping of the bucket's rows around the current v (one iteration).

    Özfatura et al. 2023.
    """
    rows = as_rows(X)
    current: Vector = np.array(v, dtype=np.float64)
    for bucket in sequential_buckets(rows, v, s, perms):
        current = centered_clipping(rows[bucket], current, tau, 1)
    return current


def nnm(X: ArrayLike, f: int) -> Matrix:
    """x_i <- mean of the n - f rows nearest to x_i, itself included (squared distances).

    Allouah et al. 2023a, Algorithm 2.
    """
    rows = as_rows(X)
    n = rows.shape[0]
    check_fewer_than_all(n, f)
    return np.array([mean_of(rows, lowest([squared_distance(x, y) for y in rows], n - f)) for x in rows])


def arc(X: ArrayLike, f: int) -> Matrix:
    """k = floor(2 (f/n) (n - f)); every row clipped to the norm of the (k+1)-th longest.

    Allouah et al. 2025a, Algorithm 2 (ARC).
    """
    rows = as_rows(X)
    n = rows.shape[0]
    check_minority(n, f)
    k = 2 * f * (n - f) // n
    radius = sorted((norm(x) for x in rows), reverse=True)[k]
    return np.array([clip_norm(x, radius) for x in rows])


def normalize(X: ArrayLike) -> Matrix:
    """x_i / |x_i|; a zero row stays zero."""
    return np.array([x / norm(x) if norm(x) > 0.0 else x for x in as_rows(X)])


def group_majority(X: ArrayLike, r: int) -> Matrix:
    """The most frequent row of every r consecutive ones, bitwise; tie: the first met.

    Rajput et al. 2019 (DETOX), first stage.
    """
    rows = as_rows(X)
    if r < 1:
        raise ValueError("r must be positive")
    winners = []
    for start in range(0, rows.shape[0], r):
        group = rows[start : start + r]
        counts = [sum(x.tobytes() == y.tobytes() for y in group) for x in group]
        winners.append(group[counts.index(max(counts))])
    return np.array(winners)
