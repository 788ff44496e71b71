"""Reference aggregation rules float64 NumPy, written for reading rather than speed.

Row i of ``X`` (n, d) is the message of client i.  Plain rules return a vector (d,); selection rules return
``(vector, kept)`` with ``kept`` the sorted list of client indices.  Ties go to the lowest client index.
"""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Selection = tuple[Vector, list[int]]


# --- Small pieces shared by the reference functions ---------------------------------------------------


def as_rows(X: ArrayLike) -> Matrix:
    """Return a float64 copy of X, which must be two-dimensional with at least one row."""
    rows = np.array(X, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[0] == 0:
        raise ValueError("expected a matrix with at least one row")
    return rows


def norm(v: Vector) -> float:
    """Euclidean norm sqrt(sum_j v_j^2)."""
    return math.sqrt(float(np.sum(v * v)))


def squared_distance(a: Vector, b: Vector) -> float:
    """sum_j (a_j - b_j)^2, from the differences themselves."""
    diff = a - b
    return float(np.sum(diff * diff))


def cosine(a: Vector, b: Vector) -> float:
    """cos(a, b) = a.b / (norm a * norm b); 0 if either vector is zero."""
    if norm(a) == 0.0 or norm(b) == 0.0:
        return 0.0
    return float(np.sum(a * b)) / (norm(a) * norm(b))


def med(values: Sequence[float] | Vector) -> float:
    """Median; the mean of the two middle values for an even count."""
    ordered = sorted(float(v) for v in values)
    half = len(ordered) // 2
    if len(ordered) % 2 == 1:
        return ordered[half]
    return (ordered[half - 1] + ordered[half]) / 2.0


def lmed(values: Sequence[float] | Vector) -> float:
    """Lower median: order statistic floor((n-1)/2), counted from 0."""
    ordered = sorted(float(v) for v in values)
    return ordered[(len(ordered) - 1) // 2]


def lowest(scores: Sequence[float], count: int, then: Sequence[float] | None = None) -> list[int]:
    """Indices of the ``count`` lowest scores, lowest first; equal ones by ``then``, if given, then in index order."""
    second = [0.0] * len(scores) if then is None else then
    return sorted(range(len(scores)), key=lambda i: (scores[i], second[i], i))[:count]


def mean_of(X: Matrix, kept: Sequence[int]) -> Vector:
    """Mean of the rows ``kept``; the zero vector if there are none."""
    total = np.zeros(X.shape[1])
    for i in kept:
        total = total + X[i]
    return total / len(kept) if len(kept) > 0 else total


def check_f(f: int) -> None:
    """Raise if the number of Byzantine clients is negative."""
    if f < 0:
        raise ValueError("f must not be negative")


# --- Mean, FedAvg, ClipMean ---------------------------------------------------------------------------


def mean(X: ArrayLike) -> Vector:
    """McMahan et al. 2017: (1/n) sum_i x_i."""
    rows = as_rows(X)
    return mean_of(rows, range(rows.shape[0]))


def fedavg(X: ArrayLike, weights: Sequence[float] | Vector) -> Vector:
    """FedAvg: sum_i w_i x_i / sum_i w_i, with w_i >= 0 and a positive sum."""
    rows = as_rows(X)
    w = [float(v) for v in weights]
    if len(w) != rows.shape[0]:
        raise ValueError("one weight per row")
    if any(v < 0 for v in w) or not math.fsum(w) > 0:
        raise ValueError("weights must be >= 0 and sum to more than 0")
    total: Vector = np.zeros(rows.shape[1])
    for w_i, x_i in zip(w, rows, strict=True):
        total = total + w_i * x_i
    return total / math.fsum(w)


def clip_mean(X: ArrayLike) -> Vector:
    """DeSGD: M = med_i norm(x_i); (1/n) sum_i x_i min(1, M / norm(x_i)); zero rows stay zero."""
    rows = as_rows(X)
    bound = med([norm(x) for x in rows])
    for i in range(rows.shape[0]):
        size = norm(rows[i])
        if size > 0.0:
            rows[i] = rows[i] * min(1.0, bound / size)
    return mean(rows)


# --- Coordinate-wise rules ----------------------------------------------------------------------------


def trimmed_mean(X: ArrayLike, f: int) -> Vector:
    """Yin et al. 2018: per coordinate drop the f smallest and f largest values, average the n - 2f left."""
    rows = as_rows(X)
    n, d = rows.shape
    check_f(f)
    if 2 * f >= n:
        raise ValueError("trimmed mean needs 2f < n")
    out = np.zeros(d)
    for j in range(d):
        ordered = sorted(float(v) for v in rows[:, j])
        left = ordered[f : n - f]
        out[j] = sum(left) / len(left)
    return out


def median(X: ArrayLike) -> Vector:
    """Yin et al. 2018: per-coordinate median, the mean of the two middle values for even n."""
    rows = as_rows(X)
    return np.array([med(rows[:, j]) for j in range(rows.shape[1])])


def median_repo(X: ArrayLike) -> Vector:
    """Yin et al. 2018 (released SignGuard and FedSECA code): per-coordinate lower median."""
    rows = as_rows(X)
    return np.array([lmed(rows[:, j]) for j in range(rows.shape[1])])


# --- Geometric median ---------------------------------------------------------------------------------


def geomed_objective(X: ArrayLike, v: Vector, weights: Sequence[float] | Vector | None = None) -> float:
    """Pillutla et al. 2022, Algorithm 2: weighted mean distance sum_i w_i norm(x_i - v) / sum_i w_i."""
    rows = as_rows(X)
    w = [1.0] * rows.shape[0] if weights is None else [float(u) for u in weights]
    return sum(w_i * norm(x - v) for w_i, x in zip(w, rows, strict=True)) / math.fsum(w)


def geomed(
    X: ArrayLike,
    weights: Sequence[float] | Vector | None = None,
    nu: float = 1e-12,
    max_iter: int = 20_000,
    ftol: float = 0.0,
) -> Vector:
    """Pillutla et al. 2022, Algorithm 2: Weiszfeld iteration for argmin_v sum_i w_i norm(x_i - v), run to the end.

    The author package of Pillutla et al. has nu = 1e-6, 100 rounds and ftol = 1e-20: too few where it is slow.

    v0 = weighted mean; beta_i = w_i / max(norm(x_i - v), nu); v = sum beta_i x_i / sum beta_i; stop after
    ``max_iter`` rounds or when the weighted mean distance changes by <= ftol * its new value.
    """
    rows = as_rows(X)
    w = [1.0] * rows.shape[0] if weights is None else [float(u) for u in weights]
    v = fedavg(rows, w)
    before = geomed_objective(rows, v, w)
    for _ in range(max_iter):
        beta = [w_i / max(norm(x - v), nu) for w_i, x in zip(w, rows, strict=True)]
        v = fedavg(rows, beta)
        after = geomed_objective(rows, v, w)
        if abs(before - after) <= ftol * after:
            break
        before = after
    return v


# --- Krum and Multi-Krum ------------------------------------------------------------------------------


def krum_scores(X: ArrayLike, f: int, neighbours: int | None = None, squared: bool = True) -> list[float]:
    """Blanchard et al. 2017, section 4: sum of the squared distances from x_i to its k closest **other** rows.

    k = n - f - 2 unless ``neighbours`` is given; k is floored at 1, and at most n - 1 rows exist.
    ``squared=False`` sums plain distances.
    """
    rows = as_rows(X)
    n = rows.shape[0]
    check_f(f)
    k = max(1, n - f - 2 if neighbours is None else neighbours)
    scores = []
    for i in range(n):
        distances = []
        for j in range(n):
            if j != i:
                d2 = squared_distance(rows[i], rows[j])
                distances.append(d2 if squared else math.sqrt(d2))
        scores.append(float(sum(sorted(distances)[:k])))
    return scores


def central_scores(X: ArrayLike) -> list[float]:
    """What decides between equal Krum scores: those of the nearest n // 2 rows, at least 2.

    fedward's choice; the paper takes the smaller identifier, but the order of rows must decide nothing.
    """
    return krum_scores(X, 0, neighbours=max(len(as_rows(X)) // 2, 2))


def krum(X: ArrayLike, f: int, neighbours: int | None = None, squared: bool = True) -> Selection:
    """Blanchard et al. 2017, section 4: the row with the lowest Krum score, and its index in a list."""
    rows = as_rows(X)
    best = lowest(krum_scores(rows, f, neighbours, squared), 1, central_scores(rows))
    return rows[best[0]].copy(), best


def multi_krum(
    X: ArrayLike, f: int, m: int | None = None, neighbours: int | None = None, squared: bool = True
) -> Selection:
    """Average of the m rows with the lowest scores (scored once); m = n - f - 2, floored at 1.

    Blanchard et al. 2017.
    """
    rows = as_rows(X)
    n = rows.shape[0]
    count = max(1, n - f - 2) if m is None else m
    if not 1 <= count <= n:
        raise ValueError("m must lie in 1..n")
    kept = sorted(lowest(krum_scores(rows, f, neighbours, squared), count, central_scores(rows)))
    return mean_of(rows, kept), kept


def multi_krum_repo(X: ArrayLike, f: int) -> Selection:
    """Blanchard et al. 2017 (released SignGuard code): n - f - 1 neighbours, squared distances, m = n - f - 2."""
    n = as_rows(X).shape[0]
    return multi_krum(X, f, m=max(1, n - f - 2), neighbours=n - f - 1)


# --- Bulyan -------------------------------------------------------------------------------------------


def bulyan_picks(X: ArrayLike, f: int) -> list[int]:
    """Theta = n - 2f Krum picks in order, scores recomputed on the rows not yet picked.

    El Mhamdi et al. 2018, Algorithm 1.

    Each pass uses (rows remaining) - f - 2 neighbours, floored at 1. Of equal scores the most central of all rows.
    """
    rows = as_rows(X)
    check_f(f)
    central = central_scores(rows)
    remaining = list(range(rows.shape[0]))
    picks: list[int] = []
    for _ in range(rows.shape[0] - 2 * f):
        scores = krum_scores(rows[remaining], f)
        chosen = remaining[lowest(scores, 1, [central[i] for i in remaining])[0]]
        picks.append(chosen)
        remaining.remove(chosen)
    return picks


def bulyan(X: ArrayLike, f: int) -> Selection:
    """El Mhamdi et al. 2018, Algorithm 1: per coordinate the mean of the beta picked values closest to their median.

    theta = n - 2f picks, beta = theta - 2f (an error below 1); at equal distance the smaller value first.
    Returns the vector and the sorted indices of the theta picks.
    """
    rows = as_rows(X)
    n, d = rows.shape
    check_f(f)
    beta = n - 4 * f
    if beta < 1:
        raise ValueError("Bulyan needs n > 4f")
    picks = sorted(bulyan_picks(rows, f))
    out = np.zeros(d)
    for j in range(d):
        values = sorted(float(rows[i, j]) for i in picks)
        centre = med(values)
        by_distance = sorted((abs(value - centre), value) for value in values)
        out[j] = sum(value for _, value in by_distance[:beta]) / beta
    return out, picks


# --- DnC ----------------------------------------------------------------------------------------------


def dnc_pass(X: ArrayLike, coords: Sequence[int], drop: int) -> list[int]:
    """Rows kept after dropping the ``drop`` highest squared projections.

    Shejwalkar & Houmansadr 2021, Algorithm 2, one pass.

    Sub-matrix of ``coords``, minus its mean row; v = top right singular vector (zero if all rows equal);
    s_i = (centred row i . v)^2.
    """
    rows = as_rows(X)
    sub = rows[:, list(coords)]
    centred = sub - mean(sub)
    v = np.zeros(sub.shape[1])
    if centred.any():
        v = np.linalg.svd(centred, full_matrices=False)[2][0]
    scores = [float(np.sum(row * v)) ** 2 for row in centred]
    return sorted(lowest(scores, max(0, rows.shape[0] - drop)))


def dnc(X: ArrayLike, f: int, index_sets: Sequence[Sequence[int]], c: float | Fraction = 1.0) -> Selection:
    """Shejwalkar & Houmansadr 2021, Algorithm 2: mean of the full rows that every pass keeps.

    One pass per set of distinct coordinates in ``index_sets``; each keeps the n - floor(c f) lowest
    scores.  The kept sets are intersected; an empty intersection gives the zero vector.
    """
    rows = as_rows(X)
    check_f(f)
    if len(index_sets) == 0:
        raise ValueError("DnC needs at least one index set")
    kept = set(range(rows.shape[0]))
    for coords in index_sets:
        chosen = [int(j) for j in coords]
        if len(chosen) == 0 or len(set(chosen)) != len(chosen):
            raise ValueError("an index set must be non-empty and without repeats")
        kept &= set(dnc_pass(rows, chosen, math.floor(c * f)))
    return mean_of(rows, sorted(kept)), sorted(kept)
