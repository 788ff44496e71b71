"""What an audit says of each row, in plain loops: cosines, shares of signs, neighbours, trimmed columns, outliers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def cosine(x: np.ndarray, y: np.ndarray) -> float:
    length = float(np.sqrt(x @ x) * np.sqrt(y @ y))
    return float(x @ y) / length if length else 0.0


def median(values: Sequence[float]) -> float:
    ranked = sorted(values)
    n = len(ranked)
    return (ranked[(n - 1) // 2] + ranked[n // 2]) / 2


def column_medians(G: np.ndarray) -> np.ndarray:
    return np.array([median(column.tolist()) for column in G.T])


def sign_shares(row: np.ndarray) -> list[float]:
    n = len(row)
    return [sum(x > 0 for x in row) / n, sum(x == 0 for x in row) / n, sum(x < 0 for x in row) / n]


def nearest(G: np.ndarray, i: int, k: int) -> list[int]:
    others = [j for j in range(len(G)) if j != i]
    return sorted(others, key=lambda j: (-cosine(G[i], G[j]), j))[:k]


def trimmed_by_rank(G: np.ndarray, f: int) -> list[float]:
    """The share of columns in which a row is strictly beyond the values of rank f + 1 to n - f."""
    n, d = G.shape
    shares = []
    for i in range(n):
        out = 0
        for j in range(d):
            ranked = sorted(G[:, j].tolist())
            out += G[i, j] < ranked[f] or G[i, j] > ranked[n - 1 - f]
        shares.append(out / d)
    return shares


def trimmed_by_distance(G: np.ndarray, centres: np.ndarray, count: int) -> list[float]:
    """The share of columns in which a row is farther from a centre than the ``count`` nearest."""
    n, d = G.shape
    shares = []
    for i in range(n):
        out = 0
        for j in range(d):
            gaps = sorted(abs(G[:, j] - centres[j]).tolist())
            out += abs(G[i, j] - centres[j]) > gaps[count - 1]
        shares.append(out / d)
    return shares


def stands_apart(scores: Sequence[float], side: str, least: float) -> list[bool]:
    """Iglewicz & Hoaglin 1993: beyond 3.5 times 1.4826 median absolute deviations from the median."""
    known = [s for s in scores if s == s]
    middle = median(known)
    spread = 1.4826 * median([abs(s - middle) for s in known])
    reach = 3.5 * max(spread, least * abs(middle))
    found = []
    for s in scores:
        above = s - middle
        beyond = {"high": above, "low": -above, "both": abs(above)}[side]
        found.append(s == s and beyond > reach)
    return found


def nearness(G: np.ndarray) -> float:
    """Median over rows of the distance to the floor(n / 2)-th nearest other row over the row's norm."""
    n = len(G)
    ratios = []
    for i in range(n):
        away = sorted(float(np.linalg.norm(G[i] - G[j])) for j in range(n) if j != i)
        ratios.append(away[n // 2 - 1] / float(np.linalg.norm(G[i])))
    ranked = sorted(ratios)
    return ranked[(n - 1) // 2]  # of two the lower
