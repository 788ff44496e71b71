"""Reference attacks that go by earlier rounds, float64 NumPy.

``G`` holds the rows the attacker knows; attacks return the (f, d) rows that are sent unless stated.
Random draws are always arguments.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from tests.oracles.attacks import copies, normalised
from tests.oracles.rules import Matrix, Vector, as_rows, mean, norm

Strategy = TypeVar("Strategy")


# --- Mimic --------------------------------------------------------------------------------------------


def mimic_fixed(G: ArrayLike, index: int) -> Vector:
    """Karimireddy et al. 2022, section 3.2 (DeSGD): the message of honest client ``index``."""
    row: Vector = as_rows(G)[index]
    return row.copy()


def mimic_first_round(G: ArrayLike, z0: ArrayLike, steps: int = 20_000) -> int:
    """The row that sticks out most along the direction of largest variance of one round's rows.

    z <- normalised sum_i ((g_i - mu).z)(g_i - mu), mu = mean(G), from z0 until it stays; argmax_i g_i.z.
    """
    rows = as_rows(G)
    centre = mean(rows)
    z = normalised(np.array(z0, dtype=np.float64))
    for _ in range(steps):
        before = z
        total = np.zeros(rows.shape[1])
        for g in rows:
            total = total + float(np.sum((g - centre) * z)) * (g - centre)
        z = normalised(total)
        if norm(z - before) < 1e-13:
            break
    products = [float(np.sum(g * z)) for g in rows]
    return products.index(max(products))


class Mimic:
    """Karimireddy et al. 2022, section 3.2, learned target.  ``round(G)`` returns the index of the honest row to copy.

    t = 0: mu = mean(G), z = normalised sum_i ((g_i - mu).z0)(g_i - mu).
    0 < t < warmup: mu <- (t mu + mean)/(1 + t); a = normalised sum_i ((g_i - mu).z)(g_i - mu) with the new mu;
    z <- normalised (t/(1+t) z + a/(1+t)).  Target = argmax_i g_i.z, ties by lowest index.
    After warm-up the target is frozen; ``frozen="direction"`` freezes z and keeps taking the argmax.
    """

    def __init__(self, z0: ArrayLike, warmup: int = 5, frozen: str = "target") -> None:
        """Start from the random direction z0; the first round is always learned from."""
        if frozen not in ("target", "direction"):
            raise ValueError("frozen must be target or direction")
        self.z = np.array(z0, dtype=np.float64)
        self.mu = np.zeros_like(self.z)
        self.warmup = warmup
        self.frozen = frozen
        self.t = 0
        self.target = 0

    def round(self, G: ArrayLike) -> int:
        """One round."""
        rows = as_rows(G)
        learning = self.t == 0 or self.t < self.warmup
        if learning:
            t = self.t
            self.mu = (t * self.mu + mean(rows)) / (1.0 + t)
            total = np.zeros(rows.shape[1])
            for g in rows:
                total = total + float(np.sum((g - self.mu) * self.z)) * (g - self.mu)
            a = normalised(total)
            self.z = a if t == 0 else normalised(t / (1.0 + t) * self.z + a / (1.0 + t))
        if learning or self.frozen == "direction":
            products = [float(np.sum(g * self.z)) for g in rows]
            self.target = products.index(max(products))
        self.t += 1
        return self.target


# --- PoisonedFL ---------------------------------------------------------------------------------------


class PoisonedFL:
    """Xie et al. 2025: rows c norm(H) v * s with fixed signs s; what is sent is a change of the model.

    H = last global model change, m = last malicious row, v = |H - m norm(H)/norm(m)| normalised.
    Without a non-zero m, v is the vector of ones normalised.
    """

    def __init__(self, s: ArrayLike, c: float = 8.0) -> None:
        """Signs s in {-1, 1}^d and the factor c, which the caller may adjust between rounds."""
        self.s = np.array(s, dtype=np.float64)
        self.c = c
        self.m: Vector | None = None

    def round(self, previous_change: ArrayLike) -> Vector:
        """The row every attacker sends this round."""
        H = np.array(previous_change, dtype=np.float64)
        if self.m is None or norm(self.m) == 0:
            v = normalised(np.ones(H.shape[0]))
        else:
            v = normalised(np.abs(H - self.m * norm(H) / norm(self.m)))
        self.m = self.c * norm(H) * v * self.s
        return self.m.copy()


def binomial_half_quantile(d: int, level_percent: int = 99) -> int:
    """Smallest k with P(Binomial(d, 1/2) <= k) >= level, in exact integers: 100 sum C(d, i) >= percent 2^d."""
    threshold = level_percent * 2**d
    total, term = 0, 1
    for k in range(d + 1):
        total += term
        if 100 * total >= threshold:
            return k
        term = term * (d - k) // (k + 1)
    return d


def poisonedfl_adjust(c: float, moved_along: int, d: int) -> float:
    """0.7c if fewer than the 99% quantile of coordinates moved along s and 0.7c >= 0.5.

    Xie et al. 2025, every 50 rounds.
    """
    if moved_along < binomial_half_quantile(d) and 0.7 * c >= 0.5:
        return 0.7 * c
    return c


# --- Over time, and by class --------------------------------------------------------------------------


def time_varying(draws: Sequence[float] | Vector, strategies: Sequence[Strategy]) -> list[Strategy]:
    """Epoch e uses strategy number floor(u_e S) of the S strategies, u_e uniform in [0, 1) (1: the last).

    Xu et al. 2022, section V.
    """
    chosen = []
    for u in draws:
        chosen.append(strategies[min(math.floor(float(u) * len(strategies)), len(strategies) - 1)])
    return chosen


def attack_free_rider(previous_update: ArrayLike, f: int) -> Matrix:
    """Free rider: f copies of the last global update."""
    return copies(np.array(previous_update, dtype=np.float64), f)


# --- ROP ----------------------------------------------------------------------------------------------


def attack_rop(
    G: ArrayLike,
    f: int,
    last: ArrayLike | None,
    z: float = 1.0,
    relocate: float = 1.0,
    reference: float = 0.9,
    degrees: float = 90.0,
) -> Matrix:
    """ROP: a + z (sin t * p + cos t * u / norm(u)), p = normalised (1 - projection of 1 on u), 1 the vector of ones.

    a = relocate * last + (1 - relocate) * mean(G), u = reference * last + (1 - reference) * mean(G); without a last
    step a = (1 - relocate) * mean(G) and u = mean(G).
    """
    centre = mean(G)
    ones = np.ones(len(centre))
    if last is None:
        start, u = (1 - relocate) * centre, centre
    else:
        step = np.array(last, dtype=np.float64)
        start = relocate * step + (1 - relocate) * centre
        u = reference * step + (1 - reference) * centre
    u = normalised(u)
    p = normalised(ones - float(np.sum(ones * u)) * u)
    t = math.radians(degrees)
    return copies(start + z * (math.sin(t) * p + math.cos(t) * u), f)
