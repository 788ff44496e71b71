"""Rules around another rule: from some round on, or class by class."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..registry import register
from ..rule import Context, Plan, Rule, State
from ..stack import Statistic, Updates
from .coordinate import Mean, Median


@dataclass(frozen=True, kw_only=True)
class Wrapped(Rule):
    """What a rule has from the rule inside of it, unless it says otherwise."""

    base: Rule

    @property
    def passes(self) -> int | None:  # type: ignore[override]  # class variables elsewhere; here it is as the base has it
        return self.base.passes

    @property
    def history(self) -> bool:  # type: ignore[override]
        return self.base.history

    @property
    def by_client(self) -> bool:  # type: ignore[override]
        return self.base.by_client

    @property
    def root_data(self) -> bool:  # type: ignore[override]
        return self.base.root_data

    @property
    def server_rows(self) -> bool:  # type: ignore[override]
        return self.base.server_rows

    @property
    def recorded(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.base.recorded

    def check(self, n: int) -> None:
        self.base.check(n)


@register("delayed", paper="-", example={"base": Median()})
@dataclass(frozen=True, kw_only=True)
class Delayed(Wrapped):
    """A defence that is switched on late: the plain mean before a round, then the rule.

    Shows which rules can recover a model that was poisoned before (Guo et al. 2021, section 5.9).

    Args:
        base: the rule.
        start: the first round that it decides, counted from 0.

    Raises:
        ValueError: a negative start.
    """

    start: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start < 0:
            raise ValueError(f"start counts rounds from 0, got {self.start}")

    @property
    def properties(self) -> frozenset[str]:  # type: ignore[override]
        return Mean().properties & self.base.properties

    def statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        return () if context.round < self.start else self.base.statistics(state, context)

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        return (Mean() if context.round < self.start else self.base).decide(updates, state, context)

    def advance(self, state: State, plan: Plan, output: Tensor, context: Context) -> State:
        return state if context.round < self.start else self.base.advance(state, plan, output, context)
