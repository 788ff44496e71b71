"""Rules that look at each column on its own: kernels, not weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch

from ..registry import register
from ..rule import Bound, Context, Plan, Rule, State
from ..stack import Updates
from ..stack import kernels as columns

_COLUMNWISE = frozenset({"permutation", "translation", "scale", "columns", "unanimity", "box"})


@register("mean", paper="McMahan et al. 2017")
@dataclass(frozen=True, kw_only=True)
class Mean(Rule):
    """Average of all rows: no defence, the baseline.

    (1/n) sum_i x_i.
    """

    properties: ClassVar[frozenset[str]] = _COLUMNWISE | {"rotation", "mean"}

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        return Plan(updates, torch.full((updates.n,), 1 / updates.n, dtype=torch.float64))


@register("median", paper="Yin et al. 2018", complexity="O(d n log^2 n)")
@dataclass(frozen=True, kw_only=True)
class Median(Rule):
    """Middle value of each column; the mean of the two middle ones for even n.

    Yin et al. 2018, Definition 1. Some published code takes the lower of the two.
    """

    properties: ClassVar[frozenset[str]] = _COLUMNWISE

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        return Plan(updates, kernel=columns.median)


@register("trimmed-mean", paper="Yin et al. 2018", complexity="O(d n log^2 n)")
@dataclass(frozen=True, kw_only=True)
class TrimmedMean(Rule):
    """Mean of each column without its f smallest and f largest values.

    Yin et al. 2018, Definition 2, with f = beta n. Values are dropped by rank, never by subtraction from a sum.
    """

    f: int
    bound: ClassVar[Bound] = Bound(2, 1)
    properties: ClassVar[frozenset[str]] = _COLUMNWISE | {"mean"}

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        return Plan(updates, kernel=partial(columns.trimmed_mean, f=self.f))
