"""Numbers over rounds as figures take them: smoothed, thinned out, and as JSON has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Figure = dict[str, Any]
"""A specification of plotly.js: ``{"data": [...], "layout": {...}}``."""

Floats = NDArray[np.float64]

MAX_POINTS = 1500
"""Points of a line at most; every k-th round is drawn beyond it."""


def for_json(values: Floats) -> list[float | None]:
    """Numbers for JSON: four decimals, and null for what is not finite."""
    return [round(float(value), 4) if np.isfinite(value) else None for value in values]


def as_floats(values: Sequence[float | None]) -> Floats:
    """Numbers for NumPy: NaN for what was not measured."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def whole_per_cent(part: ArrayLike, of: ArrayLike = 1) -> NDArray[np.int64]:
    """Shares in whole per cent. What is neither none nor all is 1 to 99: "nearly always" must not round to "always".

    Args:
        part, of: finite, of any shape, the second above 0.
    """
    part, of = np.asarray(part), np.asarray(of)
    rounded = np.rint(100 * part / of)
    found: NDArray[np.int64] = np.where((part > 0) & (part < of), np.clip(rounded, 1, 99), rounded).astype(np.int64)
    return found


def share_text(part: float, of: float = 1) -> str:
    """The same of one share, as text; a dash where that is no number."""
    return f"{int(whole_per_cent(part, of))}%" if np.isfinite([part, of]).all() else "\u2013"


def window_of(rounds: int) -> int:
    """Length of the trailing window: a twentieth of the run, at least 1 and at most 50 rounds."""
    return min(50, max(1, rounds // 20))


def trailing_mean(values: Floats, window: int) -> Floats:
    """Mean over each entry and the ``window - 1`` before it, of those that are known; NaN where none is."""
    known = np.isfinite(values)
    # Sums of all that came before each place, so that a window is a difference of two.
    total = np.concatenate(([0.0], np.cumsum(np.where(known, values, 0.0))))
    count = np.concatenate(([0], np.cumsum(known)))
    end = np.arange(1, len(values) + 1)
    start = np.maximum(end - window, 0)
    held = count[end] - count[start]
    return np.where(held > 0, (total[end] - total[start]) / np.maximum(held, 1), np.nan)


def step_of(rounds: int) -> int:
    """Every ``step_of(rounds)``-th round is drawn."""
    return max(1, -(-rounds // MAX_POINTS))


def drawn_as(points: Sequence[object]) -> str:
    """Few points are marked, many are a line."""
    return "lines+markers" if len(points) <= 40 else "lines"
