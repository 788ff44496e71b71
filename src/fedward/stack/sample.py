"""`Sample`: a random set of columns."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

import numpy as np
import torch
from torch import Tensor

# Random numbers are drawn this many columns at a time, so that a billion columns need no billion-entry array.
_DRAW = 1 << 24


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A random set of columns, drawn without replacement: the same for every block size, layout and device.

    ``count`` columns, or max(1, floor(fraction * d)); all d if that is more than there are. With ``contiguous``,
    one run of neighbouring columns from a random start below d - size, as SignGuard's code draws it: the last column is
    never among fewer than all.
    """

    seed: int
    fraction: float | None = None
    count: int | None = None
    contiguous: bool = False

    def size(self, d: int) -> int:
        """How many of d columns are drawn."""
        wanted = self.count if self.count is not None else floor((self.fraction or 0.0) * d)
        return min(max(wanted, 1), d)

    def coordinates(self, d: int) -> Tensor:
        """The drawn columns in ascending order: (size,) int64."""
        k, rng = self.size(d), np.random.default_rng(self.seed)
        if k == d:
            return torch.arange(d)
        if self.contiguous:
            start = int(rng.integers(0, d - k))
            return torch.arange(start, start + k)
        return torch.from_numpy(_without_replacement(d, k, rng))


def _without_replacement(d: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """A uniform k-subset of range(d): each column with probability k / d, then corrected to exactly k.

    Given its size, a Bernoulli draw is a uniform subset; adding or removing uniformly keeps it one. Unlike a
    permutation of d columns this takes one byte and one random number a column.
    """
    if k > d // 2:
        left_out = np.zeros(d, dtype=bool)
        left_out[_without_replacement(d, d - k, rng)] = True
        return np.flatnonzero(~left_out)
    if k * 50 < d:
        return np.sort(rng.choice(d, k, replace=False, shuffle=False))
    chosen = np.empty(d, dtype=bool)
    for start in range(0, d, _DRAW):
        part = chosen[start : start + _DRAW]
        np.less(rng.random(len(part), np.float32), k / d, out=part)
    surplus = int(np.count_nonzero(chosen)) - k
    if surplus > 0:
        chosen[rng.choice(np.flatnonzero(chosen), surplus, replace=False)] = False
    while surplus < 0:  # at least half of the columns are free, so this ends soon
        column = rng.integers(0, d, -surplus)
        fresh = np.unique(column[~chosen[column]])
        chosen[fresh] = True
        surplus += len(fresh)
    return np.flatnonzero(chosen)
