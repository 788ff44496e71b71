"""Reference SignGuard: Mean-Shift, features and the rule, float64 NumPy."""

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tests.oracles.rules import Matrix, Selection, Vector, as_rows, cosine, lmed, med, norm, squared_distance

Indices = Sequence[int] | NDArray[np.int64]
VARIANTS = ("plain", "sim", "dist")


# --- Mean-Shift ---------------------------------------------------------------------------------------


def estimate_bandwidth(F: ArrayLike, quantile: float = 0.5, sample_idx: Indices | None = None) -> float:
    """Mean over points of the distance to the k-th nearest point, the point itself being first.

    Mean-Shift as in scikit-learn.

    k = max(1, floor(n * quantile)).  With ``sample_idx`` only those points are used, n being their number.
    """
    points = as_rows(F)
    if sample_idx is not None:
        points = as_rows(points[list(sample_idx)])
    n = points.shape[0]
    k = max(1, math.floor(n * quantile))
    total = 0.0
    for p in points:
        distances = sorted(norm(p - q) for q in points)
        total += distances[k - 1]
    return float(total / n)


def equal_row_labels(F: ArrayLike) -> list[int]:
    """Mean-Shift as in scikit-learn edge case h = 0: one cluster per group of exactly equal rows.

    Labels follow the order of centres, (group size, coordinates) descending, so label 0 is a largest group.
    """
    points = [tuple(float(v) + 0.0 for v in p) for p in as_rows(F)]  # + 0.0 turns -0 into 0
    groups = sorted(set(points), key=lambda p: (points.count(p), p), reverse=True)
    return [groups.index(p) for p in points]


def mean_shift_seeds(F: ArrayLike, h: float) -> list[Vector]:
    """Distinct cells round(p / h), ties to even, times h; the points if no cell is shared.

    Mean-Shift as in scikit-learn.
    """
    points = as_rows(F)
    cells: list[tuple[float, ...]] = []
    for p in points:
        cell = tuple(float(np.round(v / h)) + 0.0 for v in p)
        if cell not in cells:
            cells.append(cell)
    if len(cells) == len(points):
        return [p.copy() for p in points]
    return [np.array(cell) * h for cell in cells]


def climb(
    F: ArrayLike, seed: Vector, h: float, max_moves: int = 300, gaps: list[float] | None = None
) -> tuple[Vector, int]:
    """Mean-Shift as in scikit-learn: move to the mean of the points within h until the move is <= 1e-3 h.

    Returns the last position and the number of points averaged in the last move (0: nobody inside).
    ``gaps`` collects abs(distance - h) / h of every comparison.
    """
    points = as_rows(F)
    position = np.array(seed, dtype=np.float64)
    intensity = 0
    for _ in range(max_moves):
        distances = [norm(p - position) for p in points]
        if gaps is not None:
            gaps.extend(abs(distance - h) / h for distance in distances)
        inside = [p for p, distance in zip(points, distances, strict=True) if distance <= h]
        intensity = len(inside)
        if intensity == 0:
            break
        new = np.zeros(points.shape[1])
        for p in inside:
            new = new + p
        new = new / intensity
        moved = norm(new - position)
        position = new
        if moved <= 1e-3 * h:
            break
    return position, intensity


def mean_shift_labels(F: ArrayLike, h: float, max_moves: int = 300, gaps: list[float] | None = None) -> list[int]:
    """Label of every point, -1 where no kept centre lies within h; h = 0 groups equal rows.

    Mean-Shift as in scikit-learn.

    Centres are sorted by (intensity, coordinates) descending, and a centre within h of one already kept is
    dropped; a point takes its nearest kept centre, the lowest label if two are equally near.  ``gaps``
    collects how far, relative to h, each comparison was from going the other way (see `deciding_gap`).
    """
    points = as_rows(F)
    if h < 0:
        raise ValueError("the bandwidth must not be negative")
    if h == 0:
        return equal_row_labels(points)
    found: list[tuple[int, tuple[float, ...]]] = []
    for seed in mean_shift_seeds(points, h):
        centre, intensity = climb(points, seed, h, max_moves, gaps)
        if intensity > 0:
            found.append((intensity, tuple(float(v) for v in centre)))
    found.sort(reverse=True)
    kept: list[Vector] = []
    for _, coordinates in found:
        centre = np.array(coordinates)
        distances = [norm(centre - other) for other in kept]
        if gaps is not None:
            gaps.extend(abs(distance - h) / h for distance in distances)
        if all(distance > h for distance in distances):
            kept.append(centre)
    labels = []
    for p in points:
        label, nearest = -1, math.inf
        for c, centre in enumerate(kept):
            distance = norm(p - centre)
            if gaps is not None:
                gaps.append(abs(distance - h) / h)
                if distance <= h and label >= 0:
                    gaps.append(abs(distance - nearest) / h)
            if distance <= h and distance < nearest:
                label, nearest = c, distance
        labels.append(label)
    if gaps is not None:
        gaps.extend(
            abs(a[0] - b[0]) / h  # equal intensity: the order rests on the coordinates
            for (i, a), (j, b) in combinations(found, 2)
            if i == j and norm(np.array(a) - np.array(b)) > 1e-3 * h
        )
    return labels


def deciding_gap(F: ArrayLike, h: float) -> float:
    """Smallest relative margin of any comparison that labels depend on; +inf for h = 0.

    Section 0 compares selections only where the deciding gaps exceed 1e-3.  Shares are multiples of
    1 / len(coords), so a distance can equal h exactly, and then rounding alone decides.
    """
    if h == 0:
        return math.inf
    gaps: list[float] = []
    mean_shift_labels(F, h, gaps=gaps)
    for v in as_rows(F).ravel():  # rounding to a cell: distance of v / h from a half-integer
        gaps.append(abs(abs(v / h - math.floor(v / h)) - 0.5))
    return float(min(gaps))


def largest_cluster(labels: Sequence[int] | NDArray[np.int64]) -> list[int]:
    """Indices of the cluster with most members (-1 is no cluster); tie: the lowest label.

    Mean-Shift as in scikit-learn.
    """
    values = [int(v) for v in labels]
    best: list[int] = []
    for label in sorted(set(values) - {-1}):
        members = [i for i, v in enumerate(values) if v == label]
        if len(members) > len(best):
            best = members
    return best


# --- Features -----------------------------------------------------------------------------------------


def sign_features(X: ArrayLike, coords: Indices) -> Matrix:
    """Columns p+, p0, p-, the shares of positive, zero and negative entries among ``coords``.

    Xu et al. 2022, Algorithm 2.
    """
    rows = as_rows(X)
    chosen = [int(j) for j in coords]
    if len(chosen) == 0:
        raise ValueError("at least one coordinate")
    out = np.zeros((rows.shape[0], 3))
    for i, x in enumerate(rows):
        for j in chosen:
            if x[j] > 0:
                out[i, 0] += 1
            elif x[j] == 0:
                out[i, 1] += 1
            elif x[j] < 0:
                out[i, 2] += 1
    return out / len(chosen)


def _cos(a: Vector, b: Vector) -> float:
    """Cosine, with 0 where an infinite row leaves it undefined."""
    with np.errstate(all="ignore"):
        if not (math.isfinite(norm(a)) and math.isfinite(norm(b))):
            return 0.0
        return cosine(a, b)


def similarity_feature(X: ArrayLike, ref: Vector | None = None) -> Vector:
    """Xu et al. 2022, Algorithm 2 -Sim column: clip(s_i, 0, m) / (5 m) with m = med(s), all zero if m <= 0.

    s_i = med_{j != i} cos(x_i, x_j) without a reference (0 for a lone row), else cos(x_i, ref).
    """
    rows = as_rows(X)
    n = rows.shape[0]
    s = []
    for i in range(n):
        if ref is not None:
            s.append(_cos(rows[i], np.asarray(ref, dtype=np.float64)))
        else:
            others = [_cos(rows[i], rows[j]) for j in range(n) if j != i]
            s.append(med(others) if others else 0.0)
    m = med(s)
    if m <= 0:
        return np.zeros(n)
    return np.array([min(max(v, 0.0), m) / (5.0 * m) for v in s])


def similarity_feature_repo(X: ArrayLike, ref: Vector | None = None) -> Vector:
    """Lower medians, zero diagonal included, / (5 m + 1e-8).

    Xu et al. 2022, Algorithm 2 -Sim column of the released code.

    A negative m makes the column constant, since the clip's upper end wins.
    """
    rows = as_rows(X)
    n = rows.shape[0]
    s = []
    for i in range(n):
        if ref is not None:
            s.append(_cos(rows[i], np.asarray(ref, dtype=np.float64)))
        else:
            s.append(lmed([0.0 if j == i else _cos(rows[i], rows[j]) for j in range(n)]))
    m = lmed(s)
    return np.array([min(max(v, 0.0), m) / (5.0 * m + 1e-8) for v in s])


def _squared(a: Vector, b: Vector) -> float:
    """Squared distance; a non-finite one counts as +infinity."""
    with np.errstate(all="ignore"):
        d2 = squared_distance(a, b)
    return d2 if math.isfinite(d2) else math.inf


def distance_feature(X: ArrayLike, ref: Vector | None = None) -> Vector:
    """Xu et al. 2022, Algorithm 2 -Dist column: 0 if score < med(score), else 0.2.

    Score: norm(x_i - ref), or without a reference the sum of the max(1, floor(n/2) - 1) smallest squared
    distances to other rows.
    """
    rows = as_rows(X)
    n = rows.shape[0]
    scores = []
    for i in range(n):
        if ref is not None:
            scores.append(math.sqrt(_squared(rows[i], np.asarray(ref, dtype=np.float64))))
        else:
            others = sorted(_squared(rows[i], rows[j]) for j in range(n) if j != i)
            scores.append(sum(others[: max(1, n // 2 - 1)]))
    middle = med(scores)
    return np.array([0.0 if score < middle else 0.2 for score in scores])


def distance_feature_repo(X: ArrayLike, ref: Vector | None = None) -> Vector:
    """Plain distances, 0.2 if score >= 1.1 * lower median, else 0.

    Xu et al. 2022, Algorithm 2 -Dist column of the released code.

    Without a reference the score adds the n // 2 smallest entries of the distance row, its zero included.
    """
    rows = as_rows(X)
    n = rows.shape[0]
    scores = []
    for i in range(n):
        if ref is not None:
            scores.append(math.sqrt(_squared(rows[i], np.asarray(ref, dtype=np.float64))))
        else:
            row = sorted(0.0 if j == i else math.sqrt(_squared(rows[i], rows[j])) for j in range(n))
            scores.append(sum(row[: n // 2]))
    bound = 1.1 * lmed(scores)
    return np.array([0.2 if score >= bound else 0.0 for score in scores])


# --- The rule -----------------------------------------------------------------------------------------


def _without_nan(X: ArrayLike) -> tuple[Matrix, list[float]]:
    """NaN entries -> 0, and the row norms."""
    rows = as_rows(X)
    rows[np.isnan(rows)] = 0.0
    with np.errstate(all="ignore"):
        return rows, [norm(x) for x in rows]


def _inside(size: float, middle: float, lower: float, upper: float) -> bool:
    """L <= size / M <= R; for M = 0 only rows of norm 0 pass."""
    if middle == 0.0:
        return size == 0.0
    return lower <= size / middle <= upper


def signguard(
    X: ArrayLike,
    coords: Indices,
    variant: str = "plain",
    ref: Vector | None = None,
    clip: bool = True,
    lower: float = 0.1,
    upper: float = 3.0,
    *,
    sample_idx: Indices | None = None,
    threshold: bool = True,
    cluster: bool = True,
) -> Selection:
    """Xu et al. 2022, Algorithm 2 (SignGuard): rows inside the norm band and inside the largest feature cluster.

    M = med norm; S1 = {i : L <= norm_i / M <= R}; S2 = largest Mean-Shift cluster of the features;
    output = mean over S1 n S2 of x_i min(1, M / norm x_i) (``clip=False``: of x_i).  ``threshold=False`` or
    ``cluster=False`` replaces S1 or S2 by everybody (ICDCS Table III).  An empty set gives the zero vector.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {VARIANTS}")
    rows, sizes = _without_nan(X)
    n, d = rows.shape
    middle = med(sizes)
    kept = set(range(n))
    if threshold:
        kept &= {i for i in range(n) if _inside(sizes[i], middle, lower, upper)}
    if cluster:
        features = sign_features(rows, coords)
        if variant == "sim":
            features = np.column_stack([features, similarity_feature(rows, ref)])
        elif variant == "dist":
            features = np.column_stack([features, distance_feature(rows, ref)])
        h = estimate_bandwidth(features, sample_idx=sample_idx)
        kept &= set(largest_cluster(mean_shift_labels(features, h)))
    total = np.zeros(d)
    for i in sorted(kept):
        factor = min(1.0, middle / sizes[i]) if clip and sizes[i] > 0 else 1.0
        total = total + factor * rows[i]
    return (total / len(kept) if kept else total), sorted(kept)


def signguard_repo(
    X: ArrayLike,
    coords: Indices,
    variant: str = "plain",
    ref: Vector | None = None,
    lower: float = 0.1,
    upper: float = 3.0,
    *,
    sample_idx: Indices | None = None,
) -> Selection:
    """Strict norm bounds around med, columns p+, p0, p- each divided by (maximum + 1e-8).

    Xu et al. 2022, Algorithm 2 as released.

    The -Sim and -Dist columns are those of the ``_repo`` functions and are not divided again; rows are
    clipped to the **lower** median of the norms; an empty selection gives NaN.  ``coords`` should be the
    contiguous block of int(0.1 d) coordinates from the random start.
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {VARIANTS}")
    rows, sizes = _without_nan(X)
    n, d = rows.shape
    middle = med(sizes)
    band = {i for i in range(n) if lower * middle < sizes[i] < upper * middle}
    shares = sign_features(rows, coords)
    columns = [shares[:, c] / (max(shares[:, c]) + 1e-8) for c in range(3)]
    if variant == "sim":
        columns.append(similarity_feature_repo(rows, ref))
    elif variant == "dist":
        columns.append(distance_feature_repo(rows, ref))
    features = np.column_stack(columns)
    h = estimate_bandwidth(features, sample_idx=sample_idx)
    kept = sorted(band & set(largest_cluster(mean_shift_labels(features, h))))
    if not kept:
        return np.full(d, np.nan), []
    bound = lmed(sizes)
    total = np.zeros(d)
    for i in kept:
        total = total + rows[i] / sizes[i] * min(sizes[i], bound)
    return total / len(kept), kept
