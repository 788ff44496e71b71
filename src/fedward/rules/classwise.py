"""DeSGD's server: one class a round, aggregated by any rule, and made up for by what is known of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from ..core import BoundError, Context, Plan, Reason, State, finite_copy
from ..core.state import ROWS, check_remember, entries, key, placed, updated, within
from ..registry.entries import register
from ..stack import Gathered, Kernel, Statistic, Updates, made_of
from .coordinate import TrimmedMean
from .wrapped import Wrapped

_BUFFER = "class momentum"
_BASE = "base"


@dataclass(frozen=True, eq=False)
class _Compensated(Plan):
    """Plans of the base rule, by class, with the average of the buffers put to them as one more row."""

    inner: Mapping[int, Plan] = field(default_factory=dict)
    average: Tensor | None = None


@register("class-wise", paper="DeSGD", example={"base": TrimmedMean(f=1)})
@dataclass(frozen=True, kw_only=True)
class ClassWise(Wrapped):
    """Aggregate the momenta of one class by any rule, and mix in the average of the momenta of all classes.

    Made for `fedward.clients.ClassMomentum`: in a round of class c (`Context.group`) the rows are class-c momenta of
    the workers that hold it, so that honest rows are alike however the data are dealt. With m = base rule(rows) and M
    the average of the class buffers: output (1 - gamma) m + gamma M; then buffer c <- m, every other buffer times
    ``decay``. In the first round M is 0. Rounds without a class are one class. In rounds of several classes, which
    the paper's theory has, m is the mean of what the base rule makes of the rows of each. Arguments of the base rule,
    such as f, are about the rows of a class.

    Args:
        base: the rule.
        decay: of the buffers of other classes, at least 0 and at most 1; the paper's beta.
        gamma: the compensation coefficient, at least 0 and below 1.
        divisor: "available" to average over the classes received so far; or the number of classes, as the paper
            prints it. The same once all classes were received.
        remember: of how many classes, those received last, at least 1; memory is a row each.

    Raises:
        ValueError: parameters out of these bounds.
    """

    decay: float = 0.9
    gamma: float = 0.5
    divisor: int | Literal["available"] = "available"
    remember: int = ROWS

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.decay <= 1 or not 0 <= self.gamma < 1:
            raise ValueError(f"0 <= decay <= 1 and 0 <= gamma < 1 are needed, got {self!r}")
        if self.divisor != "available" and self.divisor < 1:
            raise ValueError(f"divisor counts classes, at least 1, got {self.divisor}")
        check_remember(self.remember)

    @property
    def passes(self) -> int | None:  # type: ignore[override]  # class variables elsewhere
        """One more than the base rule's: in rounds of several classes, what came of each is worked out once more."""
        return None if self.base.passes is None else self.base.passes + 1

    @property
    def history(self) -> bool:  # type: ignore[override]
        return True

    @property
    def server_rows(self) -> bool:  # type: ignore[override]
        return True

    @property
    def properties(self) -> frozenset[str]:  # type: ignore[override]
        return frozenset({"permutation", "scale", "columns"}) & super().properties

    def statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        return self.base.statistics(within(state, _BASE), context.fold("base"))

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        inner = self._by_class(updates, state, context)
        plan, average = _mean_of(list(inner.values())), self._average(state)
        fresh = 1 - self.gamma
        stack = plan.updates.anchored(_zeros(updates) if average is None else average)
        weights: Tensor | None = None
        kernel: Kernel | None = None
        if plan.weights is not None:
            added = torch.tensor([self.gamma], dtype=torch.float64)
            weights = torch.cat([fresh * plan.weights.double().cpu(), added])
        else:
            beneath = plan.kernel
            assert beneath is not None

            @made_of(beneath)
            def kernel(block: Tensor) -> Tensor:
                return beneath(block[:-1]).mul(fresh).add(block[-1], alpha=self.gamma)

        judged = plan.judged or plan.updates
        return _Compensated(stack, weights, kernel, plan.scores, plan.reasons, judged, plan.note, inner, average)

    def _by_class(self, updates: Updates, state: State, context: Context) -> dict[int, Plan]:
        """The base rule's plan for the rows of each class."""
        below = context.fold("base")
        if not isinstance(context.group, Mapping):
            return {context.group or 0: self.base.decide(updates, within(state, _BASE), below)}
        classes, plans = [context.group[name] for name in updates.ids], {}
        for c in sorted(set(classes)):
            rows = updates.take(torch.tensor([i for i, other in enumerate(classes) if other == c]))
            try:
                self.base.check(rows.n)
            except BoundError as error:
                raise BoundError(f"class {c}: {error}") from None
            plans[c] = self.base.decide(rows, within(state, _BASE), replace(below, group=c))
        return plans

    def advance(self, state: State, plan: Plan, output: Tensor, context: Context) -> State:
        assert isinstance(plan, _Compensated)
        buffers = {k: v * self.decay if _is_buffer(k) else v for k, v in placed(state, _BASE, {}).items()}
        after: State = within(state, _BASE)
        for c, inner in plan.inner.items():
            fresh = self._fresh(plan, inner, output)
            buffers[key(_BUFFER, c)] = fresh
            below = replace(context.fold("base"), group=c if isinstance(context.group, Mapping) else context.group)
            after = self.base.advance(after, inner, fresh.to(output.dtype), below)
        buffers = updated(buffers, {}, list(plan.inner), self.remember)
        return placed(buffers, _BASE, after)

    def _fresh(self, plan: _Compensated, inner: Plan, output: Tensor) -> Tensor:
        """What the base rule made of the rows of one class: of a single one, it is in the output."""
        wide = torch.promote_types(output.dtype, torch.float32)
        if len(plan.inner) > 1:
            return finite_copy(inner.execute().to(wide))
        fresh = output.to(wide, copy=True)
        if plan.average is not None:
            fresh.sub_(plan.average.to(fresh), alpha=self.gamma)
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


def _zeros(updates: Updates) -> Tensor:
    return torch.zeros(updates.d, dtype=torch.float32, device=updates.device)


def _is_buffer(name: str) -> bool:
    return name.startswith(f"{_BUFFER} of ")


def _mean_of(plans: Sequence[Plan]) -> Plan:
    """The plan whose output is the mean of these plans' outputs, with what each says of its rows."""
    if len(plans) == 1:
        return plans[0]
    stack, share = Gathered([plan.updates for plan in plans]), 1 / len(plans)
    judged = Gathered([plan.judged or plan.updates for plan in plans])
    names = [name for name in plans[0].scores if all(name in plan.scores for plan in plans)]
    scores = {name: torch.cat([plan.scores[name].double().cpu() for plan in plans]) for name in names}
    reasons = [r for plan, view in zip(plans, judged.views, strict=True) for r in _reasons(plan, view.n)]
    note = ", ".join(dict.fromkeys(plan.note for plan in plans if plan.note))
    weights = [plan.weights.double().cpu() * share for plan in plans if plan.weights is not None]
    if len(weights) == len(plans):
        return Plan(stack, torch.cat(weights), None, scores, reasons, judged, note)

    @made_of(*(plan.kernel for plan in plans))
    def kernel(block: Tensor) -> Tensor:
        parts = zip(plans, stack.split(block), strict=True)
        return torch.stack([_on_block(plan, rows) for plan, rows in parts]).mean(0)

    return Plan(stack, None, kernel, scores, reasons, judged, note)


def _on_block(plan: Plan, rows: Tensor) -> Tensor:
    if plan.kernel is not None:
        return plan.kernel(rows)
    assert plan.weights is not None
    return plan.weights.to(rows) @ rows


def _reasons(plan: Plan, count: int) -> Sequence[Reason]:
    return [Reason.NOT_SELECTED] * count if plan.reasons is None else plan.reasons
