"""Rounds in which not all clients take part."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np

CLIENTS: list[Hashable] = [*range(8), *(str(i) for i in range(4)), "a client", ("site", 3)]
D = 37
ROUNDS = 18
SEEDS = range(6)


Round = tuple[list[Hashable], np.ndarray]


def rounds(seed: int, fewest: int = 5, count: int = ROUNDS) -> Iterator[Round]:
    """Rows of random clients in random order; every client has a direction of its own beside the common one."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=D)
    own = 0.6 * rng.normal(size=(len(CLIENTS), D))
    own[:2] -= 2 * common  # two that pull the other way
    for _ in range(count):
        common = common + 0.2 * rng.normal(size=D)
        present = rng.permutation(len(CLIENTS))[: rng.integers(fewest, len(CLIENTS) + 1)]
        rows = common + own[present] + 0.3 * rng.normal(size=(len(present), D))
        yield [CLIENTS[i] for i in present], rows


def equal(actual: Any, expected: np.ndarray, message: str) -> None:
    np.testing.assert_allclose(
        np.asarray(actual), expected, rtol=1e-6, atol=1e-7 * max(float(np.abs(expected).max()), 1e-9), err_msg=message
    )
