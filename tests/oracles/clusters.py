"""Reference rules that put clients into groups by direction, float64 NumPy; ``(vector, kept)`` with ``kept`` sorted.

Row i of ``X`` (n, d) is the message of client i.  Ties go to the lowest index; cosines that differ by rounding only
are ties.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from tests.oracles.geometry import TIE, clip_norm, cosine_distances
from tests.oracles.rules import (
    Matrix,
    Selection,
    Vector,
    as_rows,
    mean,
    mean_of,
    med,
    norm,
)


def linkage_distance(C: Matrix, a: Sequence[int], b: Sequence[int], linkage: str) -> float:
    """Smallest (single), largest (complete) or mean (average) C_ij over i in a, j in b."""
    pairs = [float(C[i, j]) for i in a for j in b]
    if linkage == "single":
        return min(pairs)
    if linkage == "complete":
        return max(pairs)
    if linkage == "average":
        return math.fsum(pairs) / len(pairs)
    raise ValueError(f"unknown linkage {linkage!r}")


def mean_inner_cosine(C: Matrix, group: Sequence[int]) -> float:
    """Mean of 1 - C_ij over pairs i < j of the group; 1 for a single row."""
    pairs = [1.0 - float(C[i, j]) for i, j in combinations(group, 2)]
    return math.fsum(pairs) / len(pairs) if pairs else 1.0


def cosine_groups(X: ArrayLike, linkage: str = "single") -> list[list[int]]:
    """Agglomerate 1 - cos to one cluster; the clusters before the first merge at the distance of the last.

    Sattler et al. 2020.

    Two, unless several merges tie for the last. Zero rows are at distance 0 from each other. Equal distances: the pair
    with the lowest first members. A single row: [[0]].
    """
    rows, C = as_rows(X), cosine_distances(X)
    zero = [i for i in range(len(rows)) if norm(rows[i]) == 0.0]
    for i in zero:
        for j in zero:
            C[i, j] = 0.0
    clusters = [[i] for i in range(C.shape[0])]
    steps: list[tuple[float, list[list[int]]]] = []
    while len(clusters) > 1:
        pairs = list(combinations(range(len(clusters)), 2))
        distances = [linkage_distance(C, clusters[a], clusters[b], linkage) for a, b in pairs]
        a, b = next(p for p, far in zip(pairs, distances, strict=True) if far <= min(distances) + TIE)
        steps.append((min(distances), clusters))
        merged = sorted(clusters[a] + clusters[b])
        clusters = [*clusters[:a], merged, *clusters[a + 1 : b], *clusters[b + 1 :]]
    return next((before for height, before in steps if height > steps[-1][0] - TIE), clusters)


def cosine_bipartition(X: ArrayLike, linkage: str = "single") -> tuple[list[int], list[int]]:
    """Sattler et al. 2020: (kept, other) of the groups of `cosine_groups`.

    Two groups: the larger, of one size that of larger mean inner cosine (0 for zero rows); more: one with more than
    half of the rows. All rows where that does not decide: Sattler et al. do not say, and the order of clients must not.
    """
    rows = as_rows(X)
    n = len(rows)
    groups = cosine_groups(X, linkage)
    C = cosine_distances(X)

    def alike(group: list[int]) -> float:
        return 0.0 if all(norm(rows[i]) == 0.0 for i in group) else mean_inner_cosine(C, group)

    kept = list(range(n))
    for group in groups:
        others = [g for g in groups if g is not group]
        if len(groups) == 2 and len(group) == len(others[0]):
            wins = alike(group) > alike(others[0]) + TIE
        elif len(groups) == 2:
            wins = len(group) > len(others[0])
        else:
            wins = 2 * len(group) > n
        if wins:
            kept = group
    return kept, [i for i in range(n) if i not in kept]


def clustering(X: ArrayLike, linkage: str = "single") -> Selection:
    """Sattler et al. 2020: mean of the larger of the two clusters."""
    kept, _ = cosine_bipartition(X, linkage)
    return mean_of(as_rows(X), kept), kept


def clipped_clustering(X: ArrayLike, past_norms: Sequence[float] = ()) -> Selection:
    """Tau = med of all norms so far; clip the rows to tau; mean of the larger average-linkage cluster.

    Li et al. 2024 (ClippedClustering).
    """
    rows = as_rows(X)
    tau = med([*past_norms, *(norm(x) for x in rows)])
    return clustering(np.array([clip_norm(x, tau) for x in rows]), "average")


def flame_cluster(X: ArrayLike) -> list[int]:
    """The first component of {1 - cos <= threshold} with n//2 + 1 members as the threshold grows.

    Nguyen et al. 2022, Algorithm 1 (FLAME).
    """
    C = cosine_distances(X)
    n = C.shape[0]
    for threshold in [-math.inf, *sorted({float(x) for x in C.flat})]:
        for start in range(n):
            component, waiting = {start}, [start]
            while waiting:
                i = waiting.pop()
                near = [j for j in range(n) if C[i, j] <= threshold + TIE and j not in component]
                component.update(near)
                waiting.extend(near)
            if len(component) >= n // 2 + 1:
                return sorted(component)
    raise AssertionError("at the largest distance all rows are connected")


def flame(X: ArrayLike, noise: ArrayLike | None = None, noise_lambda: float = 0.001) -> Vector:
    """S = med of all norms; mean over the admitted of x_i min(1, S / |x_i|), plus noise_lambda S noise.

    Nguyen et al. 2022, Algorithm 1 (FLAME).
    """
    rows = as_rows(X)
    S = med([norm(x) for x in rows])
    out = mean(np.array([clip_norm(rows[i], S) for i in flame_cluster(rows)]))
    return out if noise is None else out + noise_lambda * S * np.array(noise, dtype=np.float64)
