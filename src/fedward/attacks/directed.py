"""Fang's directed deviation: rows made against one rule, to move the model the other way in every coordinate."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Annotated, Literal

import torch
from torch import Tensor

from ..core import Context
from ..registry.bounds import AtLeast
from ..registry.entries import register
from ..rules import Krum
from ..stack import Dense, Updates
from .base import Attack, View, copies
from .optimised import mean_sign

_LEAST = 1e-5  # the search for lambda ends here


@register("fang-krum", paper="Fang et al. 2020", complexity="O(n^2 d)")
@dataclass(frozen=True, kw_only=True)
class FangKrum(Attack):
    """Against Krum: as far against the honest direction as Krum will still pick it.

    -lambda s with s = sgn(mean(G)), sent by all. Full knowledge: lambda starts at
    min_i sum |x_i - its n - m - 2 nearest honest| / ((n - 2m - 1) sqrt(d)) + max_i |x_i| / sqrt(d) and is halved until
    Krum picks a forged row, or 1e-5 is reached. Partial: G are the own rows, lambda starts at 1, and Krum is played on
    them and k = 1, 2, ... forged copies until one is picked. Fang, Cao, Jia & Gong, "Local model poisoning attacks to
    Byzantine-robust federated learning", USENIX Security 2020, section 4.2. All of it from one Gram matrix.

    Shows: how far against the honest direction a row may point and still be picked by a rule like Krum.

    Args:
        knows: "honest" for full knowledge, "own" for partial.
    """

    knows: Literal["honest", "own"] = "honest"

    def forge(self, view: View) -> Updates:
        m = view.own.n
        stack = view.beside(self.knows, mean_sign)
        if self.knows == "honest":
            _, size = self._shrink(stack, m, _start(stack, m))
        else:
            for k in range(1, max(m, 2)):
                picked, size = self._shrink(stack, k, 1.0)
                if picked:
                    break
        row = torch.zeros(stack.n, dtype=torch.float64)
        row[-1] = -size
        return copies(stack, row, m)

    def _shrink(self, stack: Updates, count: int, size: float) -> tuple[bool, float]:
        """Halve the size until Krum, told of f = ``count``, picks one of so many forged copies above the known rows."""
        known = stack.n - 1
        M = torch.zeros(count + known, stack.n, dtype=torch.float64)
        M[count:, :known] = torch.eye(known, dtype=torch.float64)
        while True:
            M[:count, known] = -size
            picked = Krum(f=count).decide(stack.mix(M), {}, Context()).weights
            assert picked is not None
            if bool(picked[:count].any()):
                return True, size
            if size <= _LEAST:
                return False, size
            size /= 2


def _start(stack: Updates, m: int) -> float:
    """Where the search starts under full knowledge: no forged row beyond it can be picked."""
    h = stack.n - 1
    n = h + m
    dists = stack.sq_dists()[:h, :h].sqrt()
    nearest = dists.sort(1).values[:, 1 : max(h - 2, 1) + 1].sum(1)  # column 0 is each row's distance from itself
    longest = stack.gram().diagonal()[:h].max().sqrt()
    return float(nearest.min() / (max(n - 2 * m - 1, 1) * sqrt(stack.d)) + longest / sqrt(stack.d))


@register("fang-trimmed-mean", paper="Fang et al. 2020")
@dataclass(frozen=True, kw_only=True)
class FangTrimmedMean(Attack):
    """Against the trimmed mean and the median: values just beyond the honest ones, on the far side, in every column.

    With s = sgn(mean(G)) of a column. Full knowledge: s < 0: uniform between max and b max (max / b if max is
    negative); s > 0: between min / b and min (b min and min if min is negative). Partial: between 3 and 4 standard
    deviations of the own rows from their mean, against s. s = 0: the mean. Every client and column draws anew. Fang et
    al. 2020, section 4.3.

    Shows: what a rule that works column by column still promises when every column is pushed just beyond its honest
    values.

    Args:
        b: how far beyond, at least 1; partial knowledge has its 3 and 4 standard deviations instead.
        knows: "honest" for full knowledge, "own" for partial.
    """

    b: Annotated[float, AtLeast(1)] = 2.0
    knows: Literal["honest", "own"] = "honest"

    def forge(self, view: View) -> Updates:
        device = view.own.device
        dtype = torch.promote_types(view.own.dtype, torch.float32)
        generator = view.context.generator("draws", device)
        rows = torch.rand(view.own.n, view.own.d, generator=generator, dtype=dtype, device=device)
        for block in view.known(self.knows).blocks():
            low, high = self._interval(block.rows)
            part = rows[:, block.start : block.stop]
            part.mul_((high - low).to(part)).add_(low.to(part))
        return Dense(rows)

    def _interval(self, block: Tensor) -> tuple[Tensor, Tensor]:
        """Where values are drawn from, column by column."""
        mean = block.mean(0)
        s = mean.sign()
        if self.knows == "own":
            low, high = _around_mean(block, mean, s)
        else:
            low, high = self._beyond(block, s)
        return torch.where(s == 0, mean, low), torch.where(s == 0, mean, high)

    def _beyond(self, block: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        most = block.amax(0)
        least = block.amin(0)
        beyond = torch.where(most > 0, self.b * most, most / self.b)
        below = torch.where(least > 0, least / self.b, self.b * least)
        return torch.where(s < 0, most, below), torch.where(s < 0, beyond, least)


def _around_mean(block: Tensor, mean: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
    sd = block.std(0, correction=0)
    low = torch.where(s < 0, mean + 3 * sd, mean - 4 * sd)
    high = torch.where(s < 0, mean + 4 * sd, mean - 3 * sd)
    return low, high
