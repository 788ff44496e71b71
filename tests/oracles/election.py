"""Reference sign-election rules: FedSECA and its parts, TIES, signSGD, MeaMed, Phocas, LASA.

Row k of ``X`` (K, d) is the message of client k.  float64 NumPy, written for reading rather than speed.  Signs are
-1.0, 0.0 or +1.0.  Quantiles interpolate linearly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from tests.oracles.rules import Matrix, Vector, as_rows, check_f, lmed, mean_of, med, norm, trimmed_mean

TIE = 1e-12  # a CRISE sum below this is a tie

VOTES = ("crise", "count", "mass", "none")
MERGES = ("roca", "mean")


# --- Small pieces ---------------------------------------------------------------------------------------


def sign(value: float) -> float:
    """sgn: -1, 0 or +1."""
    if value > 0.0:
        return 1.0
    if value < 0.0:
        return -1.0
    return 0.0


def magnitude_quantile(row: Vector, level: float) -> float:
    """q_level(|row|), linear interpolation."""
    return float(np.quantile(np.abs(row), level))


def clip_rows(rows: Matrix, bound: float) -> Matrix:
    """x_k min(1, bound / norm(x_k)); zero rows stay zero."""
    out = rows.copy()
    for k in range(rows.shape[0]):
        size = norm(rows[k])
        if size > 0.0:
            out[k] = rows[k] * min(1.0, bound / size)
    return out


def clamp_rows(rows: Matrix, mu: Vector) -> Matrix:
    """sgn(x_kj) min(mu_j, |x_kj|)."""
    out = np.zeros(rows.shape)
    for k in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            out[k, j] = sign(rows[k, j]) * min(mu[j], abs(rows[k, j]))
    return out


def column_magnitudes(rows: Matrix, middle: Callable[[Vector], float]) -> Vector:
    """mu_j = middle_k |x_kj|, ``middle`` being the median or the lower median."""
    return np.array([middle(np.abs(rows[:, j])) for j in range(rows.shape[1])])


def count_vote(X: ArrayLike) -> Vector:
    """s_j = sgn(sum_k sgn(x_kj))."""
    rows = as_rows(X)
    return np.array([sign(sum(sign(value) for value in rows[:, j])) for j in range(rows.shape[1])])


def mass_vote(X: ArrayLike) -> Vector:
    """s_j = sgn(sum_k x_kj), the sum taken without rounding on the way (so that x and -x cancel exactly)."""
    rows = as_rows(X)
    return np.array([sign(math.fsum(rows[:, j])) for j in range(rows.shape[1])])


# --- FedSECA ------------------------------------------------------------------------------------------


def sign_concordance(a: ArrayLike, b: ArrayLike) -> float:
    """Benjamin et al. 2025: omega(a, b) = (1/d) sum_j sgn(a_j) sgn(b_j)."""
    left, right = np.array(a, dtype=np.float64), np.array(b, dtype=np.float64)
    if left.ndim != 1 or left.shape != right.shape or left.size == 0:
        raise ValueError("expected two vectors of the same positive length")
    return sum(sign(u) * sign(v) for u, v in zip(left, right, strict=True)) / left.size


def concordance_ratios(X: ArrayLike) -> Vector:
    """Benjamin et al. 2025: rho_k = max(0, (1/K) sum over all l, k included, of sgn(omega(g_k, g_l)))."""
    rows = as_rows(X)
    K = rows.shape[0]
    rho = np.zeros(K)
    for k in range(K):
        total = sum(sign(sign_concordance(rows[k], rows[m])) for m in range(K))
        rho[k] = max(0.0, total / K)
    return rho


def crise(X: ArrayLike, rho: Sequence[float] | Vector) -> Vector:
    """Benjamin et al. 2025: s_j = sgn(sum_k rho_k sgn(g_kj)), 0 where |sum| < 1e-12."""
    rows = as_rows(X)
    K, d = rows.shape
    if len(rho) != K:
        raise ValueError("one ratio per row")
    s = np.zeros(d)
    for j in range(d):
        total = sum(float(rho[k]) * sign(rows[k, j]) for k in range(K))
        s[j] = 0.0 if abs(total) < TIE else sign(total)
    return s


def vrs_gradients(X: ArrayLike, gamma: float | None, clip: bool = True, clamp: bool = True) -> Matrix:
    """Benjamin et al. 2025: clip to med norm, clamp to mu_j = med_k |ghat_kj|, keep where raw |g_kj| > q_gamma(|g_k|).

    ``gamma=None`` leaves out the sparsification, ``clip=False`` and ``clamp=False`` those steps.
    """
    rows = as_rows(X)
    V = rows.copy()
    if clip:
        V = clip_rows(V, med([norm(g) for g in rows]))
    if clamp:
        V = clamp_rows(V, column_magnitudes(V, med))
    if gamma is not None:
        for k in range(rows.shape[0]):
            bound = magnitude_quantile(rows[k], gamma)
            for j in range(rows.shape[1]):
                if not abs(rows[k, j]) > bound:
                    V[k, j] = 0.0
    return V


def surviving(V: Matrix, s: Vector | None, j: int) -> list[float]:
    """The v_kj with s_j v_kj > 0; with ``s=None`` every nonzero v_kj."""
    values = []
    for k in range(V.shape[0]):
        value = float(V[k, j])
        if (s is None and value != 0.0) or (s is not None and float(s[j]) * value > 0.0):
            values.append(value)
    return values


def merged(V: Matrix, s: Vector | None, merge: str) -> Vector:
    """Per column the sum of the surviving entries over their number ("roca") or over K ("mean"); 0 if none."""
    K, d = V.shape
    out = np.zeros(d)
    for j in range(d):
        values = surviving(V, s, j)
        if len(values) > 0:
            out[j] = sum(values) / (len(values) if merge == "roca" else K)
    return out


def roca(V: ArrayLike, s: ArrayLike) -> Vector:
    """Benjamin et al. 2025: out_j = mean of the v_kj with s_j v_kj > 0; 0 if there is none."""
    rows = as_rows(V)
    elected = np.array(s, dtype=np.float64)
    if elected.shape != (rows.shape[1],):
        raise ValueError("one sign per column")
    return merged(rows, elected, "roca")


def fedseca(X: ArrayLike, gamma: float | None = 0.9) -> Vector:
    """roca(vrs_gradients(X), crise(X, concordance_ratios(X))).

    Benjamin et al. 2025, without server momentum.
    """
    rows = as_rows(X)
    return roca(vrs_gradients(rows, gamma), crise(rows, concordance_ratios(rows)))


def fedseca_parts(
    X: ArrayLike,
    gamma: float | None = 0.9,
    clip: bool = True,
    clamp: bool = True,
    vote: str = "crise",
    merge: str = "roca",
) -> Vector:
    """Benjamin et al. 2025 with its parts switched; the defaults are ``fedseca``.

    ``vote``: "crise"; "count", sgn(sum_k sgn(g_kj)) of the raw rows; "mass", sgn(sum_k v_kj); "none", every nonzero
    v_kj survives.  ``merge``: "roca", mean of the survivors; "mean", their sum divided by K.
    """
    if vote not in VOTES or merge not in MERGES:
        raise ValueError("unknown vote or merge")
    rows = as_rows(X)
    V = vrs_gradients(rows, gamma, clip, clamp)
    s: Vector | None = None
    if vote == "crise":
        s = crise(rows, concordance_ratios(rows))
    elif vote == "count":
        s = count_vote(rows)
    elif vote == "mass":
        s = mass_vote(V)
    return merged(V, s, merge)


def fedseca_repo(
    X: ArrayLike,
    gamma: float | None = 0.9,
    clip: bool = True,
    clamp: bool = True,
    vote: str = "crise",
    merge: str = "roca",
) -> Vector:
    """Lower medians, clamp bound of clipped rows put on unclipped ones, keep >=, vote on V.

    Benjamin et al. 2025 (released code, class FedSECA), its parts switched as in ``fedseca_parts``.

    The concordance ratios are of the raw rows; only the votes that they weigh are signs after sparsification. Norm
    clipping matters for the clamp's bound alone.
    """
    rows = as_rows(X)
    V = rows.copy()
    if clamp:
        clipped = clip_rows(rows, lmed([norm(g) for g in rows])) if clip else rows
        V = clamp_rows(rows, column_magnitudes(clipped, lmed))
    if gamma is not None:
        for k in range(rows.shape[0]):
            bound = magnitude_quantile(rows[k], gamma)
            for j in range(rows.shape[1]):
                if not abs(rows[k, j]) >= bound:
                    V[k, j] = 0.0
    elected = {"crise": crise(V, concordance_ratios(rows)), "count": count_vote(V), "mass": mass_vote(V), "none": None}
    return merged(V, elected[vote], merge)


# --- TIES-Merging, modified ---------------------------------------------------------------------------


def ties_trim(X: ArrayLike, beta: float = 0.9) -> Matrix:
    """Yadav et al. 2023 trim: zero the entries of row k with |value| < q_beta(|row k|)."""
    rows = as_rows(X)
    T = rows.copy()
    for k in range(rows.shape[0]):
        bound = magnitude_quantile(rows[k], beta)
        for j in range(rows.shape[1]):
            if abs(rows[k, j]) < bound:
                T[k, j] = 0.0
    return T


def ties_modified(X: ArrayLike, beta: float = 0.9, elect: str = "count") -> Vector:
    """Yadav et al. 2023: trim, elect sgn(sum_k sgn(t_kj)) ("count") or sgn(sum_k t_kj) ("mass"), merge with RoCA."""
    T = ties_trim(X, beta)
    if elect == "count":
        return roca(T, count_vote(T))
    if elect == "mass":
        return roca(T, mass_vote(T))
    raise ValueError("unknown election")


# --- SignSGD ------------------------------------------------------------------------------------------


def signsgd_mv(X: ArrayLike) -> Vector:
    """Bernstein et al. 2019, Algorithm 1: sgn(sum_i sgn(x_i)), a tie giving 0."""
    return count_vote(X)


# --- MeaMed, Phocas -------------------------------------------------------------------------------------


def mean_closest(values: Sequence[float] | Vector, centre: Fraction, count: int) -> float:
    """Mean of the ``count`` values closest to ``centre``; at equal distance the smaller value first."""
    # Exactly: the two middle values are equally far from their mean, whatever is lost in rounding it.
    by_distance = sorted((abs(Fraction(float(value)) - centre), float(value)) for value in values)
    return sum(value for _, value in by_distance[:count]) / count


def exact_median(values: Vector) -> Fraction:
    """The middle value, or the mean of the two middle ones, not rounded."""
    ordered = sorted(Fraction(float(value)) for value in values)
    n = len(ordered)
    return (ordered[(n - 1) // 2] + ordered[n // 2]) / 2


def mean_around(X: ArrayLike, f: int, centres: Callable[[Matrix], Sequence[Fraction] | Vector]) -> Vector:
    """Per column the mean of the n - f values closest to centres(X)_j; an error unless n >= f + 1."""
    rows = as_rows(X)
    n, d = rows.shape
    check_f(f)
    if n < f + 1:
        raise ValueError("needs n >= f + 1")
    centre = centres(rows)
    return np.array([mean_closest(rows[:, j], Fraction(centre[j]), n - f) for j in range(d)])


def meamed(X: ArrayLike, f: int) -> Vector:
    """Xie et al. 2018a, Definition 6 (MeaMed): per column the mean of the n - f values closest to the median."""
    return mean_around(X, f, lambda rows: [exact_median(column) for column in rows.T])


def phocas(X: ArrayLike, f: int) -> Vector:
    """Xie et al. 2018b (Phocas): per column the mean of the n - f values closest to the f-trimmed mean."""
    return mean_around(X, f, lambda rows: trimmed_mean(rows, f))


# --- LASA (Xu et al. 2025) -------------------------------------------------------------------------------


def median_z_scores(values: Sequence[float]) -> list[float]:
    """mz(v)_i = |v_i - med v| / sd(v), population sd; all 0 if sd is 0."""
    n = len(values)
    average = math.fsum(values) / n
    sd = math.sqrt(math.fsum((v - average) ** 2 for v in values) / n)
    if sd == 0.0:
        return [0.0] * n
    centre = med(values)
    return [abs(v - centre) / sd for v in values]


def positive_share(z: Vector) -> float:
    """b = sum_j sgn(z_j) / number of nonzero z_j; 0 if there is none."""
    nonzero = [sign(value) for value in z if value != 0.0]
    return sum(nonzero) / len(nonzero) if len(nonzero) > 0 else 0.0


def lasa_sparse(X: ArrayLike, sparsity: float = 0.3) -> Matrix:
    """LASA: z_i = x_i with the entries |x_ij| <= q_sparsity(|x_i|) set to 0; sparsity 0 zeroes nothing."""
    rows = as_rows(X)
    Z = rows.copy()
    if sparsity == 0.0:
        return Z
    for i in range(rows.shape[0]):
        bound = magnitude_quantile(rows[i], sparsity)
        for j in range(rows.shape[1]):
            if abs(rows[i, j]) <= bound:
                Z[i, j] = 0.0
    return Z


def lasa_selected(
    X: ArrayLike,
    layers: Sequence[tuple[int, int]],
    sparsity: float = 0.3,
    norm_bound: float = 2.0,
    sign_bound: float = 1.0,
) -> list[list[int]]:
    """LASA: per layer the rows with mz(a)_i < norm_bound and mz(b)_i < sign_bound; everybody if there is none."""
    Z = lasa_sparse(X, sparsity)
    n = Z.shape[0]
    selected = []
    for start, stop in layers:
        a = median_z_scores([norm(Z[i, start:stop]) for i in range(n)])
        b = median_z_scores([positive_share(Z[i, start:stop]) for i in range(n)])
        kept = [i for i in range(n) if a[i] < norm_bound and b[i] < sign_bound]
        selected.append(kept if len(kept) > 0 else list(range(n)))
    return selected


def lasa(
    X: ArrayLike,
    layers: Sequence[tuple[int, int]],
    sparsity: float = 0.3,
    norm_bound: float = 2.0,
    sign_bound: float = 1.0,
) -> Vector:
    """LASA: per layer the mean over the selected rows of y_i = x_i min(1, M / norm(x_i)), M = med of the norms.

    ``layers`` are (start, stop) column ranges, which must cover every column once.
    """
    rows = as_rows(X)
    if sorted(j for start, stop in layers for j in range(start, stop)) != list(range(rows.shape[1])):
        raise ValueError("the layers must cover every column once")
    Y = clip_rows(rows, med([norm(x) for x in rows]))
    out = np.zeros(rows.shape[1])
    for (start, stop), kept in zip(layers, lasa_selected(rows, layers, sparsity, norm_bound, sign_bound), strict=True):
        out[start:stop] = mean_of(Y[:, start:stop], kept)
    return out
