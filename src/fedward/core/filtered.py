"""`Filtered`: a rule on the rows that another one accepts, ``filter >> rule``.

A rule that drops clients gives a verdict on each row. Here its verdict counts and its average does not: the rule that
follows sees the accepted rows alone, a view of them, and knows nothing of the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, overload

import torch
from torch import Tensor

from ..registry.component import Component, components_within
from ..registry.traits import WHOLE, Traits
from ..stack import Rooted, Statistic, Updates, View
from .chain import Chain, Mixer
from .compound import Compound
from .context import Context
from .linking import linked, no_link
from .plan import Plan, noted, rows_judged
from .rule import BoundError, Rule
from .state import State, placed, within

_FILTER, _RULE = "filter", "rule"


@dataclass(frozen=True, eq=False, kw_only=True)
class _Decided:
    """What the two decided; where nobody was accepted, the rule was not asked."""

    verdict: Plan
    then: Plan | None


@dataclass(frozen=True, kw_only=True)
class Filtered(Compound[_Decided]):
    """A rule on the rows that another rule accepts: ``filter >> rule``.

    The filter is any rule that drops clients (`Traits.selects`), such as SignGuard, Multi-Krum or CGE; those that it
    gives no weight are dropped, and what else it does with the others (clip, weigh) is not done. The rule sees the
    others alone, as a view, and must be able to work with so many of them. Xu, Huang, Song & Lan 2022, section IV:
    after its filter SignGuard could use any other aggregation. Nobody accepted: the zero vector.

    Both keep their memory, and the filter's previous aggregate is what came of both. Clients that are dropped have the
    filter's reason; scores are those of both, of the rule for those that it saw. One of the rule's that has the name of
    one of the filter's is called ``"filtered ..."``.

    Args:
        filter: whose verdict counts.
        rule: what aggregates the rest.

    Raises:
        ValueError: the filter drops nobody, or adds something of the server's own, which would be lost.
        BoundError: fewer rows are left than the rule needs.
    """

    filter: Rule
    rule: Rule
    # Without byzantine clients a filter may still drop some, and colluders it may let pass.
    declared: ClassVar[Traits] = WHOLE.without("mean", "breakdown")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.filter.links() is not None:
            raise ValueError(f"{self.filter!r} is no single filter: write a >> b >> c, which is a >> (b >> c)")
        traits = self.filter.traits()
        if not traits.selects:
            raise ValueError(
                f"{self.filter!r} drops no clients, so that it cannot stand before {self.rule!r} as a filter: put a "
                "rule there that says who is accepted, such as SignGuard, MultiKrum or CGE, or a mixer"
            )
        if traits.server_rows:
            raise ValueError(
                f"{self.filter!r} adds something of the server's own to its output, which would be lost before "
                f"{self.rule!r}: use it alone, or another filter"
            )

    def __repr__(self) -> str:
        return f"{self.filter!r} >> {self.rule!r}"

    @property
    def parts(self) -> tuple[Rule, ...]:
        return (self.filter, self.rule)

    def traits(self) -> Traits:
        return self._one_first_pass

    @cached_property  # as in `Whole`
    def _one_first_pass(self) -> Traits:
        filter, rule = (part.traits() for part in self.parts)
        passes = None
        if filter.passes is not None and rule.passes is not None:
            # Statistics of both come in one pass, and the filter's output is never made.
            passes = filter.passes + rule.passes - 2
        # Whoever the filter drops is known, whatever the rule says of the others.
        return replace(super().traits(), passes=passes, selects=rule.selects, judges=True)

    def links(self) -> tuple[Component, ...]:
        return (self.filter, self.rule)

    def check(self, n: int) -> None:
        self.filter.check(n)
        most = self.filter.most_accepted(n)
        try:
            self.rule.check(most)
        except BoundError as error:
            if most == n:
                raise
            raise self._too_few(error, f"{n} clients, of which {self.filter!r} accepts {most} at most") from None

    def steps(self, n: int) -> float:
        return self.filter.steps(n) + self.rule.steps(self.filter.most_accepted(n))

    def check_classes(self, rows: Mapping[int | None, int]) -> None:
        self.check(sum(rows.values()))
        self.filter.check_classes(rows)
        self.rule.check_classes(rows)

    def most_accepted(self, n: int) -> int:
        return self.rule.most_accepted(self.filter.most_accepted(n))

    def statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        # Of some rows they follow from those of all, which come in the pass that is made anyhow.
        return (
            *self.filter.statistics(within(state, _FILTER), context.fold(_FILTER)),
            *self.rule.statistics(within(state, _RULE), context.fold(_RULE)),
        )

    def decide(self, updates: Updates, state: State, context: Context) -> Plan[_Decided]:
        # Whatever the rows were made of, the verdict is on them.
        own = Rooted(updates) if isinstance(updates, View) else updates
        verdict = self.filter.decide(own, within(state, _FILTER), context.fold(_FILTER))
        accepted = verdict.accepted()
        left = int(accepted.sum())
        if left == 0:
            nothing = torch.zeros(updates.n, dtype=torch.float64)
            then = Plan(updates, nothing)
            return self._told(updates, accepted, verdict, then, _Decided(verdict=verdict, then=None))
        try:
            self.rule.check(left)
        except BoundError as error:
            raise self._too_few(error, f"{updates.n} clients, of which {self.filter!r} accepts {left}") from None
        kept = updates.take(accepted.nonzero().flatten())
        then = self.rule.decide(kept, within(state, _RULE), context.fold(_RULE))
        return self._told(updates, accepted, verdict, then, _Decided(verdict=verdict, then=then))

    def _too_few(self, error: BoundError, said: str) -> BoundError:
        """What is wrong with so few rows; an f of all clients is seldom one of those that are left."""
        counted = any(isinstance(getattr(part, "f", None), int) for part in components_within(self.rule))
        remedy = "; a share of the rows that are left, such as f=0.2, fits any number of them" if counted else ""
        return BoundError(f"{error} ({said}){remedy}")

    def _told(self, updates: Updates, accepted: Tensor, verdict: Plan, then: Plan, decided: _Decided) -> Plan[_Decided]:
        """The rule's plan, with what both say of all the rows that came in."""
        first = (verdict.judged or verdict.updates).owner()
        second = rows_judged(then, updates)
        second[~accepted] = -1
        scores = verdict.scores_at(first)
        for name, score in then.scores_at(second).items():
            while name in scores:
                name = f"filtered {name}"
            scores[name] = score
        reasons = [
            then.reason_at(b) if ok else verdict.reason_at(a)
            for ok, a, b in zip(accepted.tolist(), first.tolist(), second.tolist(), strict=True)
        ]
        note = noted(verdict.note, then.note)
        return replace(then, scores=scores, reasons=reasons, judged=updates, note=note, memo=decided)

    def advance(self, state: State, plan: Plan[_Decided], output: Tensor, context: Context) -> State:
        verdict, then = plan.memo.verdict, plan.memo.then
        before = self.filter.advance(within(state, _FILTER), verdict, output, context.fold(_FILTER))
        after: State = within(state, _RULE)
        if then is not None:
            after = self.rule.advance(after, then, output, context.fold(_RULE))
        return placed(placed({}, _FILTER, before), _RULE, after)


@dataclass(frozen=True, kw_only=True)
class Front:
    """A filter, or several, and mixers that wait for the rule after them: ``filter >> mixer``, and no rule yet."""

    rule: Rule
    mixer: Mixer

    def __repr__(self) -> str:
        return f"{self.rule!r} >> {self.mixer!r}"

    @overload
    def __rshift__(self, then: Rule) -> Rule: ...
    @overload
    def __rshift__(self, then: Mixer) -> Front: ...
    def __rshift__(self, then: Rule | Mixer) -> Rule | Front:
        if isinstance(then, Rule | Mixer):
            return self.rule >> (self.mixer >> then)
        return no_link(then)


@linked.register
def _(then: Rule, before: Rule) -> Rule:
    # Flat and from the right, as chains are: however it was put together, it is the same.
    if isinstance(before, Chain):
        behind: Rule = before.rule >> then
        return before.mixer >> behind
    if isinstance(before, Filtered):
        following: Rule = before.rule >> then
        return Filtered(filter=before.filter, rule=following)
    return Filtered(filter=before, rule=then)


@linked.register
def _(then: Mixer, before: Rule) -> Front:
    return Front(rule=before, mixer=then)
