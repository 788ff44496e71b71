"""Groups of rows, groups of what comes of them, and so on: the loops as one says them. Groups are given by an order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

Run = Callable[[np.ndarray], tuple[np.ndarray, Sequence[bool]]]
"""What becomes of rows: the output, and which of them were accepted."""
Order = Callable[[int, int], Sequence[int]]
"""In which order so many rows of a level are dealt."""


def dealt(n: int, size: int, order: Sequence[int]) -> list[list[int]]:
    """Rows of each group: of nearly the same size, the larger ones first."""
    count = (n + size - 1) // size
    groups, taken = [], 0
    for k in range(count):
        length = n // count + (1 if k < n % count else 0)
        groups.append(sorted(int(row) for row in order[taken : taken + length]))
        taken += length
    return groups


def hierarchical(X: np.ndarray, size: int, runs: Sequence[Run], order: Order) -> tuple[np.ndarray, list[bool]]:
    """The output, and which rows were accepted; ``runs`` are the rule of the first level and that of the others."""
    rows = np.asarray(X, dtype=np.float64)
    members = [[client] for client in range(len(X))]  # the clients behind each row that are still accepted
    level = 0
    while True:
        run = runs[0] if level == 0 else runs[1]
        aggregates, behind = [], []
        for group in dealt(len(rows), size, order(level, len(rows))):
            output, accepted = run(rows[group])
            aggregates.append(output)
            behind.append([c for row, ok in zip(group, accepted, strict=True) if ok for c in members[row]])
        rows, members = np.array(aggregates), behind
        level += 1
        if len(rows) == 1:
            return rows[0], [client in members[0] for client in range(len(X))]


def withstands(n: int, size: int, stands: Sequence[Callable[[int], int]]) -> int:
    """How many bad clients never reach the top, by looking for the cheapest way to make a row of each level bad."""
    costs, level = [1] * n, 0
    while True:
        t = stands[0] if level == 0 else stands[1]
        groups = dealt(len(costs), size, range(len(costs)))
        # The cheapest rows may be dealt to any group.
        cheapest = sorted(costs)
        costs = [sum(cheapest[: t(len(group)) + 1]) for group in groups]
        level += 1
        if len(costs) == 1:
            return costs[0] - 1
