"""Rules around another rule; and `Delayed`, which has it decide from some round on."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from ..core import Compound, Context, Plan, Rule, State, Traits
from ..core.plan import M
from ..registry.bounds import Natural
from ..registry.entries import register
from ..stack import Statistic, Updates
from .coordinate import Mean, Median


@dataclass(frozen=True, kw_only=True)
class Wrapped(Compound[M]):
    """What a rule has from the rule inside of it, unless it says otherwise."""

    base: Rule

    @property
    def parts(self) -> tuple[Rule, ...]:
        return (self.base,)


@register("delayed", paper="-", example={"base": Median()})
@dataclass(frozen=True, kw_only=True)
class Delayed(Wrapped):
    """A defence that is switched on late: the plain mean before a round, then the rule.

    Shows which rules can recover a model that was poisoned before (Guo et al. 2021, section 5.9).

    Use when: you study whether a rule recovers a model that was poisoned before it was switched on. In a federation
    of your own let the rule decide from the first round.

    Args:
        base: the rule.
        start: the first round that it decides, counted from 0.

    Raises:
        ValueError: a negative start.
    """

    start: Natural = 10

    @property
    def parts(self) -> tuple[Rule, ...]:
        return (Mean(), self.base)

    def traits(self) -> Traits:
        traits = super().traits()
        # Before the start the mean accepts everybody.
        return replace(traits, starts=max(traits.starts, self.start), selects=self.base.traits().selects)

    def statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        return self._now(context).statistics(state, context)

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        return self._now(context).decide(updates, state, context)

    def advance(self, state: State, plan: Plan, output: Tensor, context: Context) -> State:
        return self._now(context).advance(state, plan, output, context)

    def _now(self, context: Context) -> Rule:
        """The rule of this round; the mean needs no statistics and remembers what it was given."""
        return Mean() if context.round < self.start else self.base
