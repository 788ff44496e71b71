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
