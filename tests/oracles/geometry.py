"""Reference rules built on distances, angles, norms and subsets of rows, float64 NumPy, for reading rather than speed.

Row i of ``X`` (n, d) is the message of client i.  Plain rules return a vector (d,), pre-aggregations a matrix,
selection rules ``(vector, kept)`` with ``kept`` sorted.  Ties go to the lowest index; where ``TIE`` is used, values
that differ by rounding only (relative 1e-12; absolute for cosines) are ties.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from tests.oracles.rules import (
    Matrix,
    Selection,
    Vector,
    as_rows,
    central_scores,
    check_f,
    cosine,
    fedavg,
    lowest,
    mean,
    mean_of,
    med,
    norm,
    squared_distance,
)

TIE = 1e-12


def check_fewer_than_all(n: int, f: int) -> None:
    """Raise unless 0 <= f < n."""
    check_f(f)
    if f >= n:
        raise ValueError("needs f < n")


def check_minority(n: int, f: int) -> None:
    """Raise unless 0 <= f and n >= 2f + 1."""
    check_f(f)
    if n < 2 * f + 1:
        raise ValueError("needs n >= 2f + 1")


def first_smallest(values: Sequence[float]) -> int:
    """Index of the first of the non-negative values within relative 1e-12 of the smallest."""
    bound = min(values) * (1.0 + TIE)
    return next(i for i, value in enumerate(values) if value <= bound)


def clip_norm(x: Vector, bound: float) -> Vector:
    """x min(1, bound / |x|); the zero vector stays zero."""
    size = norm(x)
    return x * min(1.0, bound / size) if size > 0.0 else x.copy()


def cosine_distances(X: ArrayLike) -> Matrix:
    """C_ij = 1 - cos(x_i, x_j) off the diagonal, 0 on it; exactly 0 for equal non-zero rows; symmetric."""
    rows = as_rows(X)
    n = rows.shape[0]
    C = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1, n):
            same = bool(np.all(rows[i] == rows[j])) and norm(rows[i]) > 0.0
            C[i, j] = C[j, i] = 0.0 if same else 1.0 - cosine(rows[i], rows[j])
    return C


# --- Iterations around a centre -----------------------------------------------------------------------


def rfa(X: ArrayLike, nu: float = 0.1, iterations: int = 3) -> Vector:
    """v = 0; v <- sum_i beta_i x_i / sum_i beta_i, beta_i = (1/n) / max(nu, |x_i - v|).

    Pillutla et al. 2022, Algorithm 2 (smoothed Weiszfeld).
    """
    rows = as_rows(X)
    n, d = rows.shape
    v: Vector = np.zeros(d)
    for _ in range(iterations):
        beta = [(1.0 / n) / max(nu, norm(x - v)) for x in rows]
        v = fedavg(rows, beta)
    return v


def centered_clipping(X: ArrayLike, v0: ArrayLike, tau: float, iters: int) -> Vector:
    """v <- v + (1/n) sum_i (x_i - v) min(1, tau / |x_i - v|), ``iters`` times from v0.

    Karimireddy et al. 2021, equation 8.
    """
    rows = as_rows(X)
    v: Vector = np.array(v0, dtype=np.float64)
    for _ in range(iters):
        v = v + mean(np.array([clip_norm(x - v, tau) for x in rows]))
    return v


def huber_agg(X: ArrayLike, T: float) -> Vector:
    """c = 0; c <- sum w_i x_i / sum w_i, w_i = min(1, T / max(|x_i - c|, 1e-6)); stop at a move < 1e-3, or 100.

    Zhao et al. 2024.
    """
    rows = as_rows(X)
    c: Vector = np.zeros(rows.shape[1])
    for _ in range(100):
        w = [min(1.0, T / max(norm(x - c), 1e-6)) for x in rows]
        before, c = c, fedavg(rows, w)
        if norm(c - before) < 1e-3:
            break
    return c


# --- Pre-aggregations ---------------------------------------------------------------------------------


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


# --- COPOD-DOS ----------------------------------------------------------------------------------------


def copod_scores(M: ArrayLike) -> Vector:
    """Row scores, sum over columns of max(u_s, (u_l + u_r) / 2) with u = -ln of the empirical CDFs.

    Li et al. 2020 (COPOD).

    F_l(x) = share of the column <= x, F_r(x) = share >= x; u_s = u_l for negative skewness, u_r for positive
    skewness, u_l + u_r for none (a constant column included). Values are equal within `TIE`.
    """
    values = as_rows(M)
    n, columns = values.shape
    scores = np.zeros(n)
    for j in range(columns):
        column = [float(x) for x in values[:, j]]
        centre = sum(column) / n
        m2 = sum((x - centre) ** 2 for x in column) / n
        m3 = sum((x - centre) ** 3 for x in column) / n
        constant = max(column) - min(column) <= TIE * max(abs(x) for x in column)
        skewness = 0.0 if constant else m3 / m2**1.5
        for i in range(n):
            u_l = -math.log(sum(y <= column[i] + TIE * abs(column[i]) for y in column) / n)
            u_r = -math.log(sum(y >= column[i] - TIE * abs(column[i]) for y in column) / n)
            u_s = u_l + u_r
            if skewness < -TIE:
                u_s = u_l
            elif skewness > TIE:
                u_s = u_r
            scores[i] += max(u_s, (u_l + u_r) / 2.0)
    return scores


def copod_dos(X: ArrayLike) -> tuple[Vector, Vector]:
    """r = copod(E) + copod(C), E_ij = |x_i - x_j|, C_ij = 1 - cos; weights softmax(-r); the weighted mean.

    Alkhunaizi et al. 2022.
    """
    rows = as_rows(X)
    n = rows.shape[0]
    E = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1, n):
            E[i, j] = E[j, i] = math.sqrt(squared_distance(rows[i], rows[j]))
    r = copod_scores(E) + copod_scores(np.round(cosine_distances(rows), 12))
    raw = [math.exp(min(r) - r_i) for r_i in r]
    weights = np.array(raw) / math.fsum(raw)
    return fedavg(rows, weights), weights


# --- Selections by distance, norm and spread ----------------------------------------------------------


def faba(X: ArrayLike, f: int) -> Selection:
    """f times drop the row farthest from the mean of the remaining ones; mean of the rest.

    Xia et al. 2019, Algorithm 1.

    Of equally far rows, as the last two are, the one that is less central among all, and of two rows alone the longer.
    """
    rows = as_rows(X)
    check_fewer_than_all(rows.shape[0], f)
    central = central_scores(rows)
    kept = list(range(rows.shape[0]))
    for _ in range(f):
        centre = mean_of(rows, kept)
        distances = [norm(rows[i] - centre) for i in kept]
        tied = [i for i, far in zip(kept, distances, strict=True) if far >= max(distances) * (1.0 - TIE)]
        kept.remove(max(tied, key=lambda i: (central[i], norm(rows[i]))))
    return mean_of(rows, kept), kept


def diameter(X: Matrix) -> float:
    """Largest distance between two rows; 0 for a single row."""
    return max((math.sqrt(squared_distance(a, b)) for a, b in combinations(X, 2)), default=0.0)


def mda(X: ArrayLike, f: int) -> Selection:
    """Mean of the first subset of n - f rows, in lexicographic order, with the smallest diameter.

    El Mhamdi et al. 2018 (MDA).
    """
    rows = as_rows(X)
    n = rows.shape[0]
    check_fewer_than_all(n, f)
    subsets = [list(subset) for subset in combinations(range(n), n - f)]
    best = subsets[first_smallest([diameter(rows[subset]) for subset in subsets])]
    return mean_of(rows, best), best


def monna(X: ArrayLike, f: int, pivot: int = 0) -> Vector:
    """Farhadkhani et al. 2023 (MoNNA): mean of the n - f rows nearest to row ``pivot``, itself included."""
    rows = as_rows(X)
    n = rows.shape[0]
    check_fewer_than_all(n, f)
    if not 0 <= pivot < n:
        raise ValueError("pivot must be a row")
    return mean_of(rows, lowest([squared_distance(x, rows[pivot]) for x in rows], n - f))


def cge(X: ArrayLike, f: int) -> Vector:
    """Gupta & Vaidya 2020 (CGE): mean of the n - f rows with the smallest norms."""
    rows = as_rows(X)
    check_fewer_than_all(rows.shape[0], f)
    return mean_of(rows, lowest([norm(x) for x in rows], rows.shape[0] - f))


def top_eigenpair(X: Matrix, c: Sequence[float]) -> tuple[float, Vector, Vector]:
    """(lambda, v, mu): top eigenpair of sum_i c_i (x_i - mu)(x_i - mu)^T / sum c, mu = sum_i c_i x_i / sum c.

    By the singular values of the rows sqrt(c_i / sum c) (x_i - mu); mu is taken around the first row with c_i > 0,
    so that equal rows give exactly 0.
    """
    base = X[next(i for i, c_i in enumerate(c) if c_i > 0)]
    mu = base + fedavg(X - base, c)
    scaled = np.array([math.sqrt(c_i / math.fsum(c)) * (x - mu) for c_i, x in zip(c, X, strict=True)])
    _, singular, right = np.linalg.svd(scaled, full_matrices=False)
    return float(singular[0]) ** 2, right[0], mu


def caf(X: ArrayLike, f: int) -> Vector:
    """Weigh rows down along the top eigenvector of their covariance; the mean with the smallest top eigenvalue.

    Allouah et al. 2025b, Algorithm 2 (CAF).

    c_i = 1; while sum c > n - 2f: (lambda, v, mu); tau_i = ((x_i - mu).v)^2; c_i *= max(0, 1 - tau_i / taumax) with
    taumax over the rows with c_i > 0.
    """
    rows = as_rows(X)
    n = rows.shape[0]
    check_minority(n, f)
    c = [1.0] * n
    best, best_value = mean(rows), math.inf
    while math.fsum(c) > n - 2 * f:
        value, v, mu = top_eigenpair(rows, c)
        if value < best_value:
            best, best_value = mu, value
        tau = [float(np.sum((x - mu) * v)) ** 2 for x in rows]
        largest = max(t for t, c_i in zip(tau, c, strict=True) if c_i > 0.0)
        if largest == 0.0:
            break
        c = [c_i * max(0.0, 1.0 - t / largest) for t, c_i in zip(tau, c, strict=True)]
    return best


def smea(X: ArrayLike, f: int) -> Selection:
    """Mean of the first subset of n - f rows whose covariance has the smallest top eigenvalue.

    Allouah et al. 2023b (SMEA).
    """
    rows = as_rows(X)
    n = rows.shape[0]
    check_fewer_than_all(n, f)
    subsets = [list(subset) for subset in combinations(range(n), n - f)]
    best = subsets[first_smallest([top_eigenpair(rows[subset], [1.0] * (n - f))[0] for subset in subsets])]
    return mean_of(rows, best), best


# --- Clusters of directions ---------------------------------------------------------------------------


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
