"""Running statistics by hand: one number after another, as the definitions say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

import numpy as np


def bounded_median(sent: Sequence[float], before: float, kind: str, variance: float = math.nan) -> float:
    """What the server takes of one entry. ``kind`` is "mean", "variance" or "other"; ``variance`` is the mean's."""
    found = median([max(value, 0.0) if kind == "variance" else value for value in sent])
    if kind == "variance":
        low = before / 4
        high = 4 * (before + 1e-5)
    elif kind == "mean":
        low = before - math.sqrt(variance + 1e-5)
        high = before + math.sqrt(variance + 1e-5)
    else:
        return found
    return min(max(found, low), high)


def mean_minus_spread(rows: np.ndarray, gamma: float) -> np.ndarray:
    """mean - gamma sd of every column."""
    out = []
    for column in rows.T:
        mean = sum(column) / len(column)
        sd = math.sqrt(sum((value - mean) ** 2 for value in column) / len(column))
        out.append(mean - gamma * sd)
    return np.array(out)


def min_max_gamma(rows: np.ndarray) -> float:
    """By halving: the farthest along -sd that no row is farther away than two rows are apart."""
    apart = max(float(np.linalg.norm(a - b)) for a in rows for b in rows)
    low = 0.0
    high = 1e3
    for _ in range(200):
        middle = (low + high) / 2
        forged = mean_minus_spread(rows, middle)
        inside = max(float(np.linalg.norm(forged - a)) for a in rows) <= apart
        low, high = (middle, high) if inside else (low, middle)
    return low
