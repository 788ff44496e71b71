"""DeSGD's server: one class a round, aggregated by any rule, and made up for by what is known of the others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..registry import register
from ..rule import Context, Plan, State
from ..stack import Statistic, Updates
from .coordinate import TrimmedMean
from .wrapped import Wrapped

_BUFFER = "class momentum of "
_BASE = "base/"


@dataclass(frozen=True, eq=False)
class _Compensated(Plan):
    """A plan of the base rule, with the average of the buffers put to it as one more row."""

    inner: Plan | None = None
    average: Tensor | None = None


@register("class-wise", paper="DeSGD", example={"base": TrimmedMean(f=1)})
@dataclass(frozen=True, kw_only=True)
class ClassWise(Wrapped):
    """Aggregate the momenta of one class by any rule, and mix in the average of the momenta of all classes.

    Made for `fedward.clients.ClassMomentum`: in a round of class c (`Context.group`) the rows are class-c momenta of
    the workers that hold it, so that honest rows are alike however the data are dealt. With m = base rule(rows) and M
    the average of the class buffers: output (1 - gamma) m + gamma M; then buffer c <- m, every other buffer times
    ``decay``. In the first round M is 0. Rounds without a class are one class. Arguments of the base rule, such as f,
    are about the rows of a round.

    Args:
        base: the rule.
        decay: of the buffers of other classes, at least 0 and at most 1; the paper's beta.
        gamma: the compensation coefficient, at least 0 and below 1.
        divisor: "available" to average over the classes received so far; or the number of classes, as the paper
            prints it. The same once all classes were received.

    Raises:
        ValueError: parameters out of these bounds.
    """

    decay: float = 0.9
    gamma: float = 0.5
    divisor: int | str = "available"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.decay <= 1 or not 0 <= self.gamma < 1:
            raise ValueError(f"0 <= decay <= 1 and 0 <= gamma < 1 are needed, got {self!r}")
        if self.divisor != "available" and not (isinstance(self.divisor, int) and self.divisor >= 1):
            raise ValueError(f"divisor is 'available' or the number of classes, got {self.divisor!r}")

    @property
    def history(self) -> bool:  # type: ignore[override]  # class variables elsewhere
        return True

    @property
    def server_rows(self) -> bool:  # type: ignore[override]
        return True

    @property
    def properties(self) -> frozenset[str]:  # type: ignore[override]
        return frozenset({"permutation", "scale", "columns"}) & self.base.properties

    def statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        return self.base.statistics(_of_base(state), context.fold("base"))

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        inner = self.base.decide(updates, _of_base(state), context.fold("base"))
        average = self._average(state)
        fresh = 1 - self.gamma
        judged = inner.judged or inner.updates
        below = torch.zeros(updates.d, device=updates.device) if average is None else average
        stack = inner.updates.anchored(below)
        if inner.weights is not None:
            added = torch.tensor([self.gamma], dtype=torch.float64)
            weights = torch.cat([fresh * inner.weights.double().cpu(), added])
            return _Compensated(stack, weights, None, inner.scores, inner.reasons, judged, inner.note, inner, average)
        kernel = inner.kernel
        assert kernel is not None

        def compensated(block: Tensor) -> Tensor:
            return kernel(block[:-1]).mul(fresh).add(block[-1], alpha=self.gamma)

        return _Compensated(stack, None, compensated, inner.scores, inner.reasons, judged, inner.note, inner, average)

    def advance(self, state: State, plan: Plan, output: Tensor, context: Context) -> State:
        assert isinstance(plan, _Compensated)
        assert plan.inner is not None
        fresh = output.to(torch.promote_types(output.dtype, torch.float32), copy=True)
        if plan.average is not None:
            fresh.sub_(plan.average.to(fresh), alpha=self.gamma)
        fresh.div_(1 - self.gamma)  # what the base rule made of the rows
        after = self.base.advance(_of_base(state), plan.inner, fresh.to(output.dtype), context.fold("base"))
        own = f"{_BUFFER}{context.group or 0}"
        buffers = {k: v * self.decay for k, v in state.items() if k.startswith(_BUFFER) and k != own}
        return {**buffers, own: fresh, **{f"{_BASE}{k}": v for k, v in after.items()}}

    def _average(self, state: State) -> Tensor | None:
        """The average of the class buffers: (d,); None before the first."""
        buffers = [v for k, v in state.items() if k.startswith(_BUFFER)]
        if not buffers:
            return None
        count = len(buffers) if self.divisor == "available" else int(self.divisor)
        total = buffers[0].clone()
        for buffer in buffers[1:]:
            total += buffer
        return total / count


def _of_base(state: State) -> dict[str, Tensor]:
    return {k.removeprefix(_BASE): v for k, v in state.items() if k.startswith(_BASE)}
