"""Rows of absent clients: the last that each of them sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..core import WHOLE, BoundError, Context, Plan, Rule, State, Traits, noted
from ..core.state import ROWS, entries, key, placed, updated, within
from ..registry.bounds import Count
from ..registry.entries import register
from ..stack import Joined, Layers, Statistic, Updates, held_like
from .coordinate import Median
from .remembered import remember_rows
from .wrapped import Wrapped

_ROW, _BASE = "row", "base"


@dataclass(frozen=True, eq=False, kw_only=True)
class _Answered:
    """The rows of those that answered, and what the base rule decided on all rows, if they were enough for it."""

    updates: Updates
    plan: Plan | None


@register("de-moa", paper="Otsuka et al. 2025", example={"base": Median()})
@dataclass(frozen=True, kw_only=True)
class DeMoA(Wrapped[_Answered]):
    """The base rule on the rows of all clients: of those that are absent, on the last row that each sent.

    "Delayed momentum aggregation". Of the few clients that take part in a round byzantine ones may be most by chance;
    of all clients they are not. m_i <- what client i sends if it takes part, else as it was; output: base rule
    (m_1, ..., m_n). Otsuka, Takezawa & Yamada, "Delayed momentum aggregation: communication-efficient Byzantine-robust
    federated learning with partial participation", arXiv 2509.02970, 2025: the principle is theirs; what is remembered
    of whom, and how long, is ours. Made for clients that send momenta (`fedward.clients.WorkerMomentum`), which change
    slowly. The f of the base rule is about all clients.

    A client counts from the first round that it takes part in, one whose row is NaN or malformed as absent. Until so
    many were seen as the base rule needs, the output is the zero vector, and the note says why; an f that is a share
    fits every number. In the result absent clients have no weights: their rows are the server's by then.

    Use when: few clients take part in a round, so that byzantine ones may be most of them by chance, clients send
    momenta, and the server can hold a row of every client.

    Args:
        base: the rule, without memory by client of its own.
        remember: of how many clients, those seen last, at least 1; memory is a row each.

    Raises:
        ValueError: a base rule that goes by the clients' ids.
    """

    remember: Count = ROWS
    declared = replace(
        WHOLE,
        selects=False,
        history=True,
        by_client=True,
        server_rows=True,
        recalls=True,
        properties=frozenset({"permutation", "scale", "columns"}),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.base.traits().by_client:
            raise ValueError(f"{self.base!r} uses the clients' ids, and of absent clients only rows are known")

    def traits(self) -> Traits:
        # One more pass for statistics beside the remembered rows, and one to remember those of this round.
        passes = self.base.traits().passes
        return replace(super().traits(), passes=None if passes is None else passes + 2)

    def check(self, n: int) -> None:
        Rule.check(self, n)  # how many rows the base rule will have, only the memory knows

    def check_clients(self, clients: int) -> None:
        try:
            self.base.check(clients)
        except BoundError as error:
            raise BoundError(
                f"de-moa has the rows of all {clients} clients at most, and would wait forever: {error}; give a "
                "smaller f, or have more clients"
            ) from None

    def check_classes(self, rows: Mapping[int | None, int]) -> None:
        self.check(sum(rows.values()))

    def statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        return self.base.statistics(within(state, _BASE), context.fold(_BASE))

    def decide(self, updates: Updates, state: State, context: Context) -> Plan[_Answered]:
        memory, below = within(state, _BASE), context.fold(_BASE)
        present = {key(_ROW, client) for client in updates.ids}
        absent = {name: row for name, row in sorted(entries(state, _ROW).items()) if name not in present}
        stack = updates
        if absent:
            stack = Joined(updates, held_like(updates, Layers([[row] for row in absent.values()])))
            stack.ids = (*updates.ids, *absent)  # no client's own name is what its row is kept under
        try:
            self.base.check(stack.n)
        except BoundError as error:
            # An error would leave them unremembered, and the next round as small.
            nothing = torch.zeros(updates.n, dtype=torch.float64)
            return Plan(updates, nothing, note=str(error), memo=_Answered(updates=updates, plan=None))
        stack.compute(*self.base.statistics(memory, below))  # what must be read is read together
        plan = self.base.decide(stack, memory, below)
        said = f"with the last rows of {len(absent)} absent clients" if absent else ""
        return replace(plan, note=noted(said, plan.note), memo=_Answered(updates=updates, plan=plan))

    def advance(self, state: State, plan: Plan[_Answered], output: Tensor, context: Context) -> State:
        answered = plan.memo
        after: State = within(state, _BASE)
        if answered.plan is not None:
            after = self.base.advance(after, answered.plan, output, context.fold(_BASE))
        rows = remember_rows(_ROW, answered.updates)
        own = updated(placed(state, _BASE, {}), rows, answered.updates.ids, self.remember)
        return placed(own, _BASE, after)
