"""Rows to try reference functions on, and what must follow from changing them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def sample(seed: int, n: int, d: int, spread: float = 0.7) -> np.ndarray:
    """Rows around one point: (n, d)."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=d) + spread * rng.normal(size=(n, d))


def vec(result: Any) -> np.ndarray:
    """The output of a function that may say more than that."""
    return result[0] if isinstance(result, tuple) else result


def transform(letter: str, X: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, Callable]:
    """The transformed rows and the map that the output must follow."""
    n, d = X.shape
    if letter == "P":
        return X[rng.permutation(n)], lambda v: v
    if letter == "T":
        shift = rng.normal(size=d)
        return X + shift, lambda v: v + shift
    if letter == "S":
        return 2.5 * X, lambda v: 2.5 * v
    if letter == "K":
        order = rng.permutation(d)
        return X[:, order], lambda v: v[order]
    if letter == "R":
        Q = np.linalg.qr(rng.normal(size=(d, d)))[0]
        return X @ Q, lambda v: v @ Q
    return -X, lambda v: -v


def assert_inside(out: np.ndarray, X: np.ndarray) -> None:
    """No column of the output is outside of the range of the rows."""
    assert np.all(out >= X.min(axis=0) - 1e-9)
    assert np.all(out <= X.max(axis=0) + 1e-9)
