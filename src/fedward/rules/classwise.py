"""DeSGD's server: one class a round, aggregated by any rule, and made up for by what is known of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from ..core import WHOLE, BoundError, Context, Plan, Reason, State, Traits, finite_copy
from ..core.state import ROWS, entries, key, placed, updated, within
from ..registry.bounds import Count, Decay, Share
from ..registry.entries import register
from ..stack import Gathered, Kernel, Statistic, Updates, made_of
from .coordinate import TrimmedMean
from .remembered import unrounded, zero_row
from .wrapped import Wrapped

_BUFFER = "class momentum"
_BASE = "base"
_NOBODYS = "rows that a mixer made are nobody's, so a mixer belongs inside: class-wise:base=(bucketing:s=2 >> median)"


@dataclass(frozen=True, eq=False, kw_only=True)
class _Received:
    """What the base rule decided on the rows of each class, and the average of the buffers that was mixed in."""

    plans: Mapping[int, Plan]
    average: Tensor | None


@register("class-wise", paper="DeSGD", example={"base": TrimmedMean(f=1)})
@dataclass(frozen=True, kw_only=True)
class ClassWise(Wrapped[_Received]):
    """Aggregate the momenta of one class by any rule, and mix in the average of the momenta of all classes.

    Made for `fedward.clients.ClassMomentum`: in a round of class c (`Context.group`) the rows are class-c momenta of
    the workers that hold it, so that honest rows are alike however the data are dealt. With m = base rule(rows) and M
    the average of the class buffers: output (1 - gamma) m + gamma M; then buffer c <- m, every other buffer times
    ``decay``. In the first round M is 0. Rounds without a class are one class. In rounds of several classes, which
    the paper's theory has, m is the mean of what the base rule makes of the rows of each. Arguments of the base rule,
    such as f, are about the rows of a class. So is its memory: it has one for each class, which is forgotten with the
    buffer. A warm-up that goes by the number of the round is of rounds of whatever class; a base rule that counts what
    it has seen (FLDetector) counts rounds of the class.

    Use when: clients hold only some of the classes, so that their whole updates differ, and they can keep a
    momentum for each class.

    Args:
        base: the rule.
        decay: of the buffers of other classes, at least 0 and at most 1; the paper's beta.
        gamma: the compensation coefficient, at least 0 and below 1.
        divisor: "available" to average over the classes received so far; or the number of classes, as the paper
            prints it. The same once all classes were received.
        remember: of how many classes, those received last, at least 1; memory is a row each, and the base rule's.

    Raises:
        ValueError: parameters out of these bounds; a round of several classes that does not say the class of every row.
    """

    decay: Share = 0.9
    gamma: Decay = 0.5
    divisor: Count | Literal["available"] = "available"
    remember: Count = ROWS
    declared = replace(
        WHOLE,
        selects=False,
        passes=3,
        history=True,
        server_rows=True,
        properties=frozenset({"permutation", "scale", "columns"}),
    )

    def traits(self) -> Traits:
        # In rounds of several classes, what came of each is worked out once more.
        base = self.base.traits().passes
        return replace(super().traits(), passes=None if base is None else base + 1)

    def statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        group = context.group
        classes = sorted(set(group.values())) if isinstance(group, Mapping) else [group or 0]
        found: dict[Statistic, None] = {}  # of all rows: those of some follow from them
        for c in classes:
            found |= dict.fromkeys(self.base.statistics(_memory(state, c), _about(c, context)))
        return tuple(found)

    def decide(self, updates: Updates, state: State, context: Context) -> Plan[_Received]:
        plans = self._by_class(updates, state, context)
        average = self._average(state)
        plan = _mean_of(list(plans.values()))
        # The average of the buffers is one more row below those that the plan is about.
        stack = plan.updates.anchored(zero_row(updates) if average is None else average)
        weights: Tensor | None = None
        kernel: Kernel | None = None
        if plan.weights is not None:
            added = torch.tensor([self.gamma], dtype=torch.float64)
            weights = torch.cat([(1 - self.gamma) * plan.weights, added])
        if plan.kernel is not None:
            kernel = _compensated(plan.kernel, self.gamma)
        voters = None if plan.voters is None else torch.cat([plan.voters, torch.ones(1, dtype=torch.bool)])
        return Plan(
            stack,
            weights,
            kernel=kernel,
            voters=voters,
            scores=plan.scores,
            reasons=plan.reasons,
            judged=plan.judged or plan.updates,
            note=plan.note,
            memo=_Received(plans=plans, average=average),
        )

    def check_classes(self, rows: Mapping[int | None, int]) -> None:
        if None in rows:
            raise ValueError(f"{self!r} goes by the class of each row, and there are several: {_NOBODYS}")
        for c, count in rows.items():
            try:
                self.base.check_classes({c: count})
            except BoundError as error:
                raise _of_class(c, error) if len(rows) > 1 else error from None

    def _by_class(self, updates: Updates, state: State, context: Context) -> dict[int, Plan]:
        """The base rule's plan for the rows of each class."""
        if not isinstance(context.group, Mapping):
            c = context.group or 0
            return {c: self.base.decide(updates, _memory(state, c), _about(c, context))}
        unknown = [name for name in updates.ids if name not in context.group]
        if unknown:
            raise ValueError(
                f"group says the class of each row by the client's id, and none for {unknown[0]!r}; {_NOBODYS}"
            )
        classes = [context.group[name] for name in updates.ids]
        plans = {}
        for c in sorted(set(classes)):
            rows = updates.take(torch.tensor([i for i, other in enumerate(classes) if other == c]))
            try:
                self.base.check(rows.n)
            except BoundError as error:
                raise _of_class(c, error) from None
            plans[c] = self.base.decide(rows, _memory(state, c), _about(c, context))
        return plans

    def advance(self, state: State, plan: Plan[_Received], output: Tensor, context: Context) -> State:
        received = plan.memo
        before = _by_classes(state)
        buffers = {name: self.decay * buffer for name, buffer in entries(before, _BUFFER).items()}
        memories: dict[int, State] = {}
        for c, inner in received.plans.items():
            fresh = self._fresh(received, inner, output)
            buffers[key(_BUFFER, c)] = fresh
            below = _about(c, context)
            memories[c] = self.base.advance(_memory(before, c), inner, fresh.to(output.dtype), below)
        after = updated(before, buffers, list(received.plans), self.remember)
        for name in buffers.keys() - after.keys():
            after = placed(after, _part(name), {})
        for c, memory in memories.items():
            after = placed(after, _part(key(_BUFFER, c)), memory)
        return after

    def _fresh(self, received: _Received, inner: Plan, output: Tensor) -> Tensor:
        """What the base rule made of the rows of one class: of a single one, it is in the output."""
        if len(received.plans) > 1 or output.dtype.itemsize < 4:  # rounding would be 1 / (1 - gamma) times as large
            return finite_copy(unrounded(inner))
        fresh = output.clone()
        if received.average is not None:
            fresh.sub_(received.average.to(fresh), alpha=self.gamma)
        return finite_copy(fresh.div_(1 - self.gamma))

    def _average(self, state: State) -> Tensor | None:
        """The average of the class buffers: (d,); None before the first."""
        buffers = list(entries(state, _BUFFER).values())
        if not buffers:
            return None
        count = len(buffers) if self.divisor == "available" else int(self.divisor)
        total = buffers[0].clone()
        for buffer in buffers[1:]:
            total += buffer
        return total / count


def _memory(state: State, c: int) -> State:
    """What the base rule remembers of a class."""
    return within(_by_classes(state), _part(key(_BUFFER, c)))


def _part(buffer: str) -> str:
    """Under which part's name the base rule's memory of a class is, by the name of its buffer."""
    return _BASE + buffer.removeprefix(_BUFFER)


def _by_classes(state: State) -> State:
    """The state with a memory of the base rule for each class.

    States of earlier versions have one for all of them. Where there was a single class, it is that class's; else it is
    nobody's, and the base rule begins anew.
    """
    joint = within(state, _BASE)
    if not joint:
        return state
    buffers = list(entries(state, _BUFFER))
    alone = placed(state, _BASE, {})
    return placed(alone, _part(buffers[0]), joint) if len(buffers) == 1 else alone


def _about(c: int, context: Context) -> Context:
    """The base rule's context, of a round of this class; of no class where rounds have none."""
    below = context.fold("base")
    return replace(below, group=c) if isinstance(context.group, Mapping) else below


def _of_class(c: int | None, error: BoundError) -> BoundError:
    return BoundError(f"class {c}: {error}")


def _compensated(kernel: Kernel, gamma: float) -> Kernel:
    """What a kernel makes of all rows but the last, mixed with the last."""

    @made_of(kernel)
    def mixed(block: Tensor) -> Tensor:
        return kernel(block[:-1]).mul(1 - gamma).add(block[-1], alpha=gamma)

    return mixed


def _mean_of(plans: Sequence[Plan]) -> Plan:
    """The plan whose output is the mean of these plans' outputs, with what each says of its rows."""
    if len(plans) == 1:
        return plans[0]
    stack = Gathered([plan.updates for plan in plans])
    judged = Gathered([plan.judged or plan.updates for plan in plans])
    names = [name for name in plans[0].scores if all(name in plan.scores for plan in plans)]
    scores = {name: torch.cat([plan.scores[name] for plan in plans]) for name in names}
    reasons: list[Reason] = []
    for plan, view in zip(plans, judged.views, strict=True):
        reasons += [Reason.NOT_SELECTED] * view.n if plan.reasons is None else plan.reasons
    note = ", ".join(dict.fromkeys(plan.note for plan in plans if plan.note))
    share = 1 / len(plans)
    weights = [plan.weights * share for plan in plans if plan.weights is not None]
    if len(weights) == len(plans):
        return Plan(stack, torch.cat(weights), scores=scores, reasons=reasons, judged=judged, note=note)

    @made_of(*(plan.kernel for plan in plans))
    def kernel(block: Tensor) -> Tensor:
        parts = zip(plans, stack.split(block), strict=True)
        return torch.stack([_on_block(plan, rows) for plan, rows in parts]).mean(0)

    voters = torch.cat([plan.counted() > 0 for plan in plans])
    return Plan(stack, kernel=kernel, voters=voters, scores=scores, reasons=reasons, judged=judged, note=note)


def _on_block(plan: Plan, rows: Tensor) -> Tensor:
    if plan.kernel is not None:
        return plan.kernel(rows)
    assert plan.weights is not None
    return plan.weights.to(rows) @ rows
