"""Reference attacks tailored to a rule (Fang's, those of Shejwalkar & Houmansadr), float64 NumPy.

``G`` holds the rows the attacker knows; attacks return the (f, d) rows that are sent unless stated.
Random draws are always arguments.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from tests.oracles.attacks import copies, gamma_search, normalised, standard_deviation
from tests.oracles.rules import Matrix, Vector, as_rows, check_f, krum, mean, norm, squared_distance


def attack_fang_fedseca(G: ArrayLike, lambdas: ArrayLike) -> Matrix:
    """FedSECA, the authors' code, "Fang": one row mean(G) - lambda sgn(mean(G)) for each lambda in ``lambdas`` (f,).

    Their code has -1 where this has sgn(0) = 0, on weights: a difference for parameters that no client moves.
    """
    centre = mean(G)
    return np.array([[g - float(lam) * np.sign(g) for g in centre] for lam in np.asarray(lambdas)])


# --- Fang ---------------------------------------------------------------------------------------------


def fang_krum_lambda_bound(G: ArrayLike, n: int, f: int, reference: ArrayLike | None = None) -> float:
    """min_i sum_{nearest n-f-2} norm(g_i - g_j) / ((n-2f-1) sqrt d) + max_i norm(g_i - ref) / sqrt d.

    Fang et al. 2020, section 4.

    Plain distances among the honest rows; n - f - 2 is floored at 1; n - 2f - 1 must be at least 1.
    """
    rows = as_rows(G)
    check_f(f)
    if n - 2 * f - 1 < 1:
        raise ValueError("the bound needs n > 2f + 1")
    b, d = rows.shape
    ref = np.zeros(d) if reference is None else np.array(reference, dtype=np.float64)
    sums = []
    for i in range(b):
        distances = [math.sqrt(squared_distance(rows[i], rows[j])) for j in range(b) if j != i]
        sums.append(sum(sorted(distances)[: max(1, n - f - 2)]))
    farthest = max(norm(g - ref) for g in rows)
    return min(sums) / ((n - 2 * f - 1) * math.sqrt(d)) + farthest / math.sqrt(d)


def fang_krum_search(
    honest: Matrix, count: int, f: int, reference: Vector, s: Vector, start: float, stop: float = 1e-5
) -> tuple[bool, float]:
    """Halve lambda until Krum(f) on [count crafted copies, honest rows] picks a copy or lambda <= stop.

    Fang et al. 2020, section 4.

    Returns (whether a copy was picked, the last lambda tried).
    """
    lam = start
    while True:
        rows = np.concatenate([copies(reference - lam * s, count), honest])
        picked = krum(rows, f)[1][0] < count
        if picked or lam <= stop:
            return picked, lam
        lam = lam / 2.0


def attack_fang_krum(
    G: ArrayLike, f: int, reference: ArrayLike | None = None, partial: bool = False
) -> tuple[Matrix, float]:
    """Fang et al. 2020, section 4.2: f copies of reference - lambda sgn(mean(G)), and lambda.

    Full knowledge: G holds the honest rows, n = b + f, lambda starts at ``fang_krum_lambda_bound``.
    Partial: G holds the attackers' f own honest rows; k = 1..f-1 copies (1 if f = 1), Krum's f = k, lambda from 1.
    """
    rows = as_rows(G)
    check_f(f)
    b, d = rows.shape
    ref = np.zeros(d) if reference is None else np.array(reference, dtype=np.float64)
    s = np.sign(mean(rows))
    if f == 0:
        return np.zeros((0, d)), 0.0
    lam = 1.0
    if partial:
        if b != f:
            raise ValueError("partial knowledge takes the f own rows")
        for k in range(1, max(2, f)):
            picked, lam = fang_krum_search(rows, k, k, ref, s, 1.0)
            if picked:
                break
    else:
        _, lam = fang_krum_search(rows, f, f, ref, s, fang_krum_lambda_bound(rows, b + f, f, ref))
    return copies(ref - lam * s, f), lam


def fang_interval(low: float, high: float, s: float, b: float) -> tuple[float, float]:
    """The interval of one coordinate with honest range [low, high].

    Fang et al. 2020, section 4.3, full knowledge.
    """
    if s < 0:
        return (high, b * high) if high > 0 else (high, high / b)
    return (low / b, low) if low > 0 else (b * low, low)


def attack_fang_trmean(G: ArrayLike, uniforms: ArrayLike, b: float = 2.0) -> Matrix:
    """Fang et al. 2020, section 4.3: a draw beyond the honest range, against s_j = sgn(mean_j).

    s_j = -1: [max, b max] if max > 0 else [max, max/b]; s_j = +1: [min/b, min] if min > 0 else [b min, min];
    s_j = 0: the honest mean.  ``uniforms`` (f, d) in [0, 1] place the draws, 0 at the lower end.
    """
    rows, draws = as_rows(G), np.array(uniforms, dtype=np.float64)
    centre = mean(rows)
    if draws.ndim != 2 or draws.shape[1] != rows.shape[1]:
        raise ValueError("one draw per attacker and coordinate")
    out = np.zeros(draws.shape)
    for i in range(draws.shape[0]):
        for j in range(draws.shape[1]):
            s = float(np.sign(centre[j]))
            if s == 0:
                out[i, j] = centre[j]
                continue
            low, high = fang_interval(float(min(rows[:, j])), float(max(rows[:, j])), s, b)
            out[i, j] = low + draws[i, j] * (high - low)
    return out


def attack_fang_trmean_partial(own: ArrayLike, uniforms: ArrayLike, ddof: int = 0) -> Matrix:
    """[mu+3sd, mu+4sd] if s_j = -1, [mu-4sd, mu-3sd] if s_j = +1, else mu.

    Fang et al. 2020, section 4.3, partial knowledge.
    """
    rows, draws = as_rows(own), np.array(uniforms, dtype=np.float64)
    mu, sd = mean(rows), standard_deviation(rows, ddof)
    if draws.ndim != 2 or draws.shape[1] != rows.shape[1]:
        raise ValueError("one draw per attacker and coordinate")
    out = np.zeros(draws.shape)
    for i in range(draws.shape[0]):
        for j in range(draws.shape[1]):
            if mu[j] < 0:
                out[i, j] = mu[j] + (3.0 + draws[i, j]) * sd[j]
            elif mu[j] > 0:
                out[i, j] = mu[j] + (-4.0 + draws[i, j]) * sd[j]
            else:
                out[i, j] = mu[j]
    return out


# --- Attacks tailored to a rule -----------------------------------------------------------------------


def adaptive_repo_start(G_all: ArrayLike, kind: str) -> tuple[Vector, Vector, float]:
    """Base = mean of all rows, p = -sd (unbiased) / -sgn(base) / -base/norm(base), gamma = 2 / 0.5 / 5 norm(base).

    SignGuard, the authors' repository.

    ``kind`` is "std", "sign" or "uv".  Returns (base, p, gamma).
    """
    rows = as_rows(G_all)
    base = mean(rows)
    if kind == "std":
        return base, -standard_deviation(rows, 1), 2.0
    if kind == "sign":
        return base, -np.sign(base), 0.5
    if kind == "uv":
        return base, -normalised(base), 5.0 * norm(base)
    raise ValueError("kind must be std, sign or uv")


def attack_adaptive_repo(
    G_all: ArrayLike,
    kind: str,
    damage: Callable[[Vector], float],
    full: float | None = None,
    max_trials: int = 1000,
) -> tuple[float, Vector]:
    """The last gamma of the search, and the row base + gamma p.

    SignGuard, the authors' repository.

    step = gamma/2; while |best - gamma| > 0.01 and gamma > 0: if damage(base + gamma p) >= the highest so far
    (the first trial always is): best <- gamma, gamma -= step/2, and stop if the damage reached ``full``;
    else gamma += step/2; then step = max(step/2, 0.1).  The search may climb for ever: ``max_trials`` ends it.
    """
    base, p, gamma = adaptive_repo_start(G_all, kind)
    step = gamma / 2.0
    best, highest = 0.0, -math.inf
    trials = 0
    while abs(best - gamma) > 0.01 and gamma > 0 and trials < max_trials:
        trials += 1
        value = damage(base + gamma * p)
        if value >= highest:
            best, highest = gamma, value
            gamma = gamma - step / 2.0
            if full is not None and value >= full:
                break
        else:
            gamma = gamma + step / 2.0
        step = max(step / 2.0, 0.1)
    return gamma, base + gamma * p


def agr_tailored_gamma(
    G: ArrayLike,
    f: int,
    p: ArrayLike,
    aggregate: Callable[[Matrix], Vector],
    gamma: float = 10.0,
    step: float = 5.0,
    tol: float = 1e-5,
) -> float:
    """Min-Max's halving search, where gamma succeeds if norm(mean(G) - aggregate(all rows)) exceeds the best so far.

    Shejwalkar & Houmansadr 2021.

    All rows: the f crafted rows first, then the honest ones.  The best damage starts at 0.
    """
    rows, direction = as_rows(G), np.array(p, dtype=np.float64)
    centre = mean(rows)
    highest = 0.0

    def success(value: float) -> bool:
        nonlocal highest
        output = aggregate(np.concatenate([copies(centre + value * direction, f), rows]))
        size = norm(centre - output)
        if size > highest:
            highest = size
            return True
        return False

    return gamma_search(success, gamma, step, tol)


def attack_agr_tailored(
    G: ArrayLike,
    f: int,
    p: ArrayLike,
    aggregate: Callable[[Matrix], Vector],
    gamma: float = 10.0,
    step: float = 5.0,
    tol: float = 1e-5,
) -> Matrix:
    """f copies of mean(G) + gamma p with the gamma of ``agr_tailored_gamma`` (0 if nothing succeeded).

    Shejwalkar & Houmansadr 2021.
    """
    best = agr_tailored_gamma(G, f, p, aggregate, gamma, step, tol)
    return copies(mean(G) + best * np.array(p, dtype=np.float64), f)


def tailored_harm(
    G: ArrayLike,
    f: int,
    p: ArrayLike,
    gamma: float,
    aggregate: Callable[[Matrix], Vector],
    admits: Callable[[Matrix], bool],
) -> float:
    """norm(aggregate(all rows) - mean(G)) with f rows mean(G) + gamma p first; -inf if none of them is admitted."""
    rows = as_rows(G)
    centre = mean(rows)
    everybody = np.concatenate([copies(centre + gamma * np.array(p, dtype=np.float64), f), rows])
    return norm(aggregate(everybody) - centre) if admits(everybody) else -math.inf


def tailored_gamma(
    G: ArrayLike,
    f: int,
    p: ArrayLike,
    agnostic: float,
    aggregate: Callable[[Matrix], Vector],
    admits: Callable[[Matrix], bool] = lambda rows: True,
) -> float:
    """Shejwalkar & Houmansadr 2021, equation 1: the gamma that a search by halving finds, or the agnostic one.

    Min-Max's halving search, where gamma succeeds if a forged row is admitted and the harm exceeds the largest so far,
    0 at first; from 10 2^-k, with the k >= 0 that does most harm, of equal ones the least. The agnostic gamma is taken
    if nothing succeeds or if it does more harm.
    """
    highest = 0.0
    starts = [10.0 * 2.0**-k for k in range(20)]  # above 1e-5
    harms = [tailored_harm(G, f, p, start, aggregate, admits) for start in starts]
    start = next(s for s, found in zip(starts, harms, strict=True) if found >= max(harms) * (1 - 1e-9))

    def success(value: float) -> bool:
        nonlocal highest
        found = tailored_harm(G, f, p, value, aggregate, admits)
        if found > highest * (1 + 1e-9):
            highest = found
            return True
        return False

    gamma = gamma_search(success, start, start / 2)
    without = tailored_harm(G, f, p, agnostic, aggregate, admits)
    return agnostic if gamma == 0 or without > highest * (1 + 1e-9) else gamma


# --- Objectives of adaptive searches ------------------------------------------------------------------


def deviation_ratio(output: ArrayLike, G: ArrayLike) -> float:
    """norm(output - mean(G)) / max_i norm(g_i - mean(G)); if that is 0: 0 for output = mean(G), else +inf."""
    rows = as_rows(G)
    centre = mean(rows)
    size = norm(np.array(output, dtype=np.float64) - centre)
    spread = max(norm(g - centre) for g in rows)
    if spread == 0:
        return 0.0 if size == 0 else math.inf
    return size / spread


def progress(output: ArrayLike, G: ArrayLike) -> float:
    """<output, mean(G)> / norm(mean(G))^2; 0 if the mean is zero."""
    centre = mean(G)
    square = float(np.sum(centre * centre))
    if square == 0:
        return 0.0
    return float(np.sum(np.array(output, dtype=np.float64) * centre)) / square
