"""Reference attacks on the rows that an adversary knows, float64 NumPy.

``G`` (b, d) holds the honest rows; attacks return (f, d).

The standard deviation uses divisor b - ``ddof`` (0 by default; the released codes use 1).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tests.oracles.rules import Matrix, Vector, as_rows, check_f, mean, norm, squared_distance


def copies(row: Vector, f: int) -> Matrix:
    """An (f, d) matrix of equal rows."""
    check_f(f)
    out = np.zeros((f, row.shape[0]))
    for i in range(f):
        out[i] = row
    return out


def normalised(v: Vector) -> Vector:
    """v / norm(v); the zero vector stays zero."""
    size = norm(v)
    return v / size if size > 0 else np.zeros_like(v)


# --- Random, noise, flips -----------------------------------------------------------------------------


def attack_random(noise: ArrayLike, mu: float = 0.0, sigma: float = 0.5) -> Matrix:
    """Xu et al. 2022: N(mu, sigma^2 I), as mu + sigma * noise from standard normal draws ``noise`` (f, d)."""
    draws = np.array(noise, dtype=np.float64)
    return mu + sigma * draws


def attack_noise(own: ArrayLike, noise: ArrayLike, sigma: float = 0.5) -> Matrix:
    """Xu et al. 2022: own + sigma * noise, with standard normal draws ``noise`` of the same shape as ``own``."""
    base, draws = np.array(own, dtype=np.float64), np.array(noise, dtype=np.float64)
    if base.shape != draws.shape:
        raise ValueError("one draw per entry")
    return base + sigma * draws


def attack_sign_flip(own: ArrayLike, c: float = 1.0) -> Matrix:
    """Xu et al. 2022, sign-flip and, with c = r, scaled reverse: -c * own."""
    return -c * np.array(own, dtype=np.float64)


def label_flip(labels: ArrayLike, num_classes: int) -> NDArray[np.int64]:
    """Fang et al. 2020: label l becomes C - 1 - l."""
    return np.array([num_classes - 1 - int(label) for label in np.asarray(labels)], dtype=np.int64)


# --- LIE ----------------------------------------------------------------------------------------------


def normal_cdf(z: float) -> float:
    """Phi(z) = erfc(-z / sqrt 2) / 2."""
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def lie_zmax(n: int, f: int) -> float:
    """Baruch et al. 2019, Algorithm 3: sup{z : Phi(z) < (n - floor(n/2 + 1)) / (n - f)}, by bisection.

    +inf if the ratio is at least 1, -inf if it is at most 0.
    """
    check_f(f)
    if f >= n:
        raise ValueError("at least one honest client")
    ratio = Fraction(n - (n // 2 + 1), n - f)
    if ratio >= 1:
        return math.inf
    if ratio <= 0:
        return -math.inf
    low, high = -40.0, 40.0
    for _ in range(200):
        middle = (low + high) / 2.0
        if normal_cdf(middle) < ratio:
            low = middle
        else:
            high = middle
    return low


def standard_deviation(G: ArrayLike, ddof: int = 0) -> Vector:
    """sd_j = sqrt(sum_i (g_ij - mean_j)^2 / (b - ddof))."""
    rows = as_rows(G)
    if rows.shape[0] - ddof <= 0:
        raise ValueError("too few rows for this ddof")
    centre = mean(rows)
    total = np.zeros(rows.shape[1])
    for g in rows:
        total = total + (g - centre) ** 2
    return np.array([math.sqrt(v / (rows.shape[0] - ddof)) for v in total])


def attack_lie(G: ArrayLike, f: int, z: float = 0.3, ddof: int = 0) -> Matrix:
    """Baruch et al. 2019, Algorithm 3: f copies of mean(G) - z sd(G)."""
    return copies(mean(G) - z * standard_deviation(G, ddof), f)


def attack_lie_each(G: ArrayLike, zs: ArrayLike, ddof: int = 0) -> Matrix:
    """FedSECA, the authors' code: one row mean(G) - z sd(G) for each z in ``zs`` (f,)."""
    return np.array([mean(G) - float(z) * standard_deviation(G, ddof) for z in np.asarray(zs)])


# --- ByzMean ------------------------------------------------------------------------------------------


def attack_byzmean(
    G: ArrayLike,
    f: int,
    t: Sequence[float] | Vector | None = None,
    split: float | Fraction = 0.5,
    z: float = 0.3,
    ddof: int = 0,
) -> Matrix:
    """m1 rows t, then m2 rows ((n - m1) t - sum of G) / m2, so that the mean of all n rows is t.

    Xu et al. 2022, section III.

    m1 = floor(split * f), m2 = f - m1 >= 1, n = b + f.  Without ``t`` the inner attack is LIE(z, ddof).
    """
    rows = as_rows(G)
    check_f(f)
    if not 0 <= split <= 1:
        raise ValueError("split must lie in [0, 1]")
    target = attack_lie(rows, 1, z, ddof)[0] if t is None else np.array(t, dtype=np.float64)
    if f == 0:
        return np.zeros((0, rows.shape[1]))
    m1 = min(math.floor(split * f), f - 1)
    m2 = f - m1
    n = rows.shape[0] + f
    total = np.zeros(rows.shape[1])
    for g in rows:
        total = total + g
    return np.concatenate([copies(target, m1), copies(((n - m1) * target - total) / m2, m2)])


# --- Min-Max and Min-Sum ------------------------------------------------------------------------------


def perturbation(G: ArrayLike, kind: str = "sd", ddof: int = 0) -> Vector:
    """ "sd" -> -sd(G), "unit" -> -mean / norm(mean) (zero if the mean is), "sign" -> -sgn.

    Shejwalkar & Houmansadr 2021, equations 4 and 5: the direction p.
    """
    centre = mean(G)
    if kind == "sd":
        return -standard_deviation(G, ddof)
    if kind == "unit":
        size = norm(centre)
        return -centre / size if size > 0 else np.zeros_like(centre)
    if kind == "sign":
        return -np.sign(centre)
    raise ValueError("kind must be sd, unit or sign")


def gamma_search(feasible: Callable[[float], bool], gamma: float = 10.0, step: float = 5.0, tol: float = 1e-5) -> float:
    """The **last feasible** gamma of a halving search, 0 if none was.

    Shejwalkar & Houmansadr 2021, equations 4 and 5; the search of their code.

    Success: remember gamma and add step; failure: subtract step; then halve step; stop when
    |best - gamma| <= tol.  Reaches (0, gamma + 2 step) only.
    """
    best = 0.0
    while abs(best - gamma) > tol:
        if feasible(gamma):
            best = gamma
            gamma = gamma + step
        else:
            gamma = gamma - step
        step = step / 2.0
    return best


def min_max_gamma(G: ArrayLike, p: Vector, method: str = "exact") -> float:
    """Largest gamma with max_i norm(mean + gamma p - g_i) <= max_ij norm(g_i - g_j).

    Shejwalkar & Houmansadr 2021, equation 4 (Min-Max).

    Exact: for each i the larger root of gamma^2 p.p + 2 gamma p.(mean - g_i) + norm^2(mean - g_i) - D^2 = 0,
    the smallest over i.  p = 0 gives 0.
    """
    rows = as_rows(G)
    centre = mean(rows)
    if not p.any():
        return 0.0
    bound = max(squared_distance(a, b) for a in rows for b in rows)
    if method == "search":
        return gamma_search(lambda gamma: all(squared_distance(centre + gamma * p, g) <= bound for g in rows))
    if method != "exact":
        raise ValueError("method must be exact or search")
    a = float(np.sum(p * p))
    roots = []
    for g in rows:
        b = 2.0 * float(np.sum(p * (centre - g)))
        c = min(0.0, squared_distance(centre, g) - bound)
        roots.append((-b + math.sqrt(b * b - 4.0 * a * c)) / (2.0 * a))
    return max(0.0, min(roots))


def min_sum_gamma(G: ArrayLike, p: Vector, method: str = "exact", bound_rule: str = "max") -> float:
    """Largest gamma with sum_i norm^2(mean + gamma p - g_i) <= S.

    Shejwalkar & Houmansadr 2021, equation 5 (Min-Sum).

    S = max_i sum_j norm^2(g_i - g_j).  Exact: gamma = sqrt((S - sum_i norm^2(mean - g_i)) / (b p.p)).
    ``bound_rule="min"`` is the released NDSS'21 code, with the smallest row sum as S.  p = 0 gives 0.
    """
    rows = as_rows(G)
    centre = mean(rows)
    if bound_rule not in ("max", "min"):
        raise ValueError("bound_rule must be max or min")
    if not p.any():
        return 0.0
    sums = [sum(squared_distance(a, b) for b in rows) for a in rows]
    bound = max(sums) if bound_rule == "max" else min(sums)
    if method == "search":
        return gamma_search(lambda gamma: sum(squared_distance(centre + gamma * p, g) for g in rows) <= bound)
    if method != "exact":
        raise ValueError("method must be exact or search")
    slack = bound - sum(squared_distance(centre, g) for g in rows)
    return math.sqrt(max(0.0, slack) / (rows.shape[0] * float(np.sum(p * p))))


def attack_min_max(G: ArrayLike, f: int, kind: str = "sd", method: str = "exact", ddof: int = 0) -> Matrix:
    """Shejwalkar & Houmansadr 2021, equations 4 and 5: f copies of mean(G) + gamma p with the Min-Max gamma."""
    p = perturbation(G, kind, ddof)
    return copies(mean(G) + min_max_gamma(G, p, method) * p, f)


def attack_min_sum(
    G: ArrayLike, f: int, kind: str = "sd", method: str = "exact", ddof: int = 0, bound_rule: str = "max"
) -> Matrix:
    """Shejwalkar & Houmansadr 2021, equations 4 and 5: f copies of mean(G) + gamma p with the Min-Sum gamma."""
    p = perturbation(G, kind, ddof)
    return copies(mean(G) + min_sum_gamma(G, p, method, bound_rule) * p, f)


# --- IPM ----------------------------------------------------------------------------------------------


def attack_ipm(G: ArrayLike, f: int, eps: float = 0.1) -> Matrix:
    """Xie et al. 2020: f copies of -eps mean(G)."""
    return copies(-eps * mean(G), f)


def attack_ipm_each(G: ArrayLike, epsilons: ArrayLike) -> Matrix:
    """FedSECA, the authors' code: one row -eps mean(G) for each eps in ``epsilons`` (f,)."""
    return np.array([-float(eps) * mean(G) for eps in np.asarray(epsilons)])


# --- Constants and random rows ------------------------------------------------------------------------


def attack_constant(f: int, d: int, c: float = 5.0) -> Matrix:
    """DeSGD: every entry is c."""
    check_f(f)
    return np.full((f, d), float(c))


def attack_gaussian(noise: ArrayLike, sigma: float = 2.0) -> Matrix:
    """DeSGD: N(0, sigma^2) per coordinate, as sigma * noise from standard normal draws ``noise`` (f, d)."""
    return sigma * np.array(noise, dtype=np.float64)


def attack_zero(f: int, d: int) -> Matrix:
    """zeros."""
    return attack_constant(f, d, 0.0)


def attack_nan(f: int, d: int) -> Matrix:
    """NaN everywhere."""
    return attack_constant(f, d, math.nan)


def attack_inf(f: int, d: int) -> Matrix:
    """+infinity everywhere."""
    return attack_constant(f, d, math.inf)


def attack_alie_classwise(
    G_by_class: Mapping[int, ArrayLike] | Sequence[ArrayLike], held_class: int, f: int, z: float = 1.0
) -> Matrix:
    """DeSGD: f copies of mean - z sd over the honest rows of class ``held_class`` only."""
    return attack_lie(G_by_class[held_class], f, z)


# --- Model replacement, free rider --------------------------------------------------------------------


def attack_model_replacement(own: ArrayLike, honest_count: int, f: int, factor: float | None = None) -> Matrix:
    """Model replacement (Bagdasaryan et al. 2020): own rows times factor, n / f if None, n = honest_count + f."""
    rows = np.array(own, dtype=np.float64)
    if factor is None:
        if f < 1:
            raise ValueError("the default factor needs f >= 1")
        factor = (honest_count + f) / f
    return factor * rows
