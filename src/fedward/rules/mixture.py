"""A different rule every round."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

import torch
from torch import Tensor

from ..core import WHOLE, Compound, Context, Plan, Rule, State, Traits
from ..core.state import placed, within
from ..registry.entries import register
from ..stack import Statistic, Updates
from .center import GeometricMedian
from .coordinate import Median


@register(
    "robust-tailor",
    paper="Xie et al. 2022",
    complexity="O(that of its rules)",
    example={"rules": (Median(), GeometricMedian())},
)
@dataclass(frozen=True, kw_only=True)
class RobustTailor(Compound):
    """Aggregate by a rule that is drawn anew every round, so that no attack can be made to measure.

    With probabilities p, rule k aggregates the round with probability p_k. Xie, Pethick, Ramezani-Kebrya & Cevher,
    "Mixed Nash for robust federated learning", 2022, which finds p by playing a simulated game; here p is given. A rule
    with memory learns only from the rounds that it was drawn for.

    Use when: attackers may know the rules but not the draw, so that an attack tuned to one of them meets another.
    Each of them should be good by itself.

    Args:
        rules: to draw from; written ``rules=(median | krum:f=2)`` as text.
        probabilities: one for each, adding up to 1; all alike if None.

    Raises:
        ValueError: no rules, or probabilities that do not fit them.
    """

    rules: tuple[Rule, ...]
    probabilities: tuple[float, ...] | None = None
    declared = WHOLE.without("mean")

    def __post_init__(self) -> None:
        super().__post_init__()
        p = self.probabilities
        if not self.rules:
            raise ValueError("RobustTailor draws from at least one rule, got none")
        if p is not None and not (len(p) == len(self.rules) and min(p) >= 0 and abs(sum(p) - 1) <= 1e-9):
            raise ValueError(f"{len(self.rules)} rules need as many probabilities that add up to 1, got {p}")

    @property
    def parts(self) -> tuple[Rule, ...]:
        return self.rules

    def traits(self) -> Traits:
        # Of the rounds that there are a rule sees its share, on average.
        each = zip(self.rules, self._chances, strict=True)
        learns = max(ceil(round(rule.traits().learns / p, 6)) if p else 0 for rule, p in each)
        return replace(super().traits(), learns=learns)

    def withstands(self, n: int) -> int:
        return min(rule.withstands(n) for rule in self.rules)

    @property
    def _chances(self) -> tuple[float, ...]:
        return self.probabilities or (1 / len(self.rules),) * len(self.rules)

    def drawn(self, context: Context) -> int:
        """Which rule aggregates this round."""
        p = torch.tensor(self._chances, dtype=torch.float64)
        draw = torch.multinomial(p, 1, generator=context.generator("rule"))
        return int(draw)

    def statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        k = self.drawn(context)
        return self.rules[k].statistics(within(state, str(k)), context.fold(str(k)))

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        k = self.drawn(context)
        return self.rules[k].decide(updates, within(state, str(k)), context.fold(str(k)))

    def advance(self, state: State, plan: Plan, output: Tensor, context: Context) -> State:
        k = self.drawn(context)
        after = self.rules[k].advance(within(state, str(k)), plan, output, context.fold(str(k)))
        return placed(state, str(k), after)
