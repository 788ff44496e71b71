"""Rows of absent clients: the last that each of them sent."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..core import WHOLE, BoundError, Context, Plan, Rule, State, Traits, noted
from ..core.state import ROWS, entries, key, placed, updated, within
from ..registry.bounds import Count
from ..registry.component import components_within
from ..registry.entries import register
from ..stack import Joined, Layers, Statistic, Updates, held_like
from .classwise import ClassWise
from .coordinate import Median
from .remembered import remember_rows
from .wrapped import Wrapped

_ROW, _ROUND, _BASE = "row", "round", "base"


@dataclass(frozen=True, eq=False, kw_only=True)
class _Answered:
    """The rows of those that answered, and what the base rule decided on all rows, if they were enough for it.

    ``below`` is what it was told, the classes of absent rows included.
    """

    updates: Updates
    plan: Plan | None
    below: Context


@register("de-moa", paper="Otsuka et al. 2025", example={"base": Median()})
@dataclass(frozen=True, kw_only=True)
class DeMoA(Wrapped[_Answered]):
    """The base rule on the rows of all clients: of those that are absent, on the last row that each sent.

    "Delayed momentum aggregation". Of the few clients that take part in a round byzantine ones may be most by chance;
    of all clients they are not, as long as an id is a client. m_i <- what client i sends if it takes part, else as it
    was; output: base rule (m_1, ..., m_n). Otsuka, Takezawa & Yamada, "Delayed momentum aggregation:
    communication-efficient Byzantine-robust federated learning with partial participation", arXiv 2509.02970, 2025: the
    principle is theirs; what is remembered of whom, and how long, is ours. Made for clients that send momenta
    (`fedward.clients.WorkerMomentum`), which change slowly. The f of the base rule is about all clients.

    A client counts from the first round that it takes part in, one whose row is NaN or malformed as absent. Until so
    many were seen as the base rule needs (of the classes of a round, where it has any), the output is the zero vector,
    and the note says why; an f that is a share fits every number. In the result absent clients have no weights: their
    rows are the server's by then.

    Where rounds are about classes (`Context.group`), the row of a client for each class is remembered by itself, and in
    a round the last rows for its classes count. Rules that go by classes belong outside:
    ``class-wise:base=(de-moa:base=median)``.

    Every id that was seen has a vote, whether or not it ever comes back. So who may choose ids has as many votes as he
    likes, and may be a single client: among ten that are always there, one who answers under a new id in every round
    owns the median after ten rounds, whatever f is. Ids must be authenticated before they get here. Honest nodes that
    come back under other ids, after a restart, leave old rows that vote on, too. ``age`` bounds both: the one liar has
    at most age + 1 votes. With more new ids than ``remember``, the rows of others are forgotten.

    Use when: few clients take part in a round, so that byzantine ones may be most of them by chance, clients send
    momenta under ids that they cannot choose, and the server can hold a row of every client.

    Args:
        base: the rule, without memory by client of its own.
        remember: of how many clients, or pairs of a client and a class, those seen last, at least 1; memory is a row
            each.
        age: for how many rounds a row counts after the one it was sent in, at least 1; it should be many times the
            rounds between two answers of a client. None, for good, as published.

    Raises:
        ValueError: a base rule that goes by the clients' ids, or by classes.
    """

    remember: Count = ROWS
    age: Count | None = None
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
        inside = next((part for part in components_within(self.base) if isinstance(part, ClassWise)), None)
        if inside is not None:
            raise ValueError(
                f"{inside!r} goes by classes, and needs rows enough of each, where this rule counts all: put this one "
                "into it, class-wise:base=(de-moa:base=...)"
            )

    def traits(self) -> Traits:
        # One more pass for statistics beside the remembered rows, and one to remember those of this round.
        passes = self.base.traits().passes
        return replace(super().traits(), passes=None if passes is None else passes + 2)

    def check(self, n: int) -> None:
        Rule.check(self, n)  # how many rows the base rule will have, only the memory knows

    def check_clients(self, clients: int, answers: int | None = None) -> None:
        most, whose = clients, f"of all {clients} clients"
        if self.age is not None and answers is not None and (self.age + 1) * answers < clients:
            most = (self.age + 1) * answers
            whose = f"of {self.age + 1} rounds of {answers}"
        try:
            self.base.check(most)
        except BoundError as error:
            older = ", or a larger age" if most < clients else ""
            raise BoundError(
                f"de-moa has the rows {whose} at most, and would wait forever: {error}; give a smaller f{older}, or "
                "have more clients"
            ) from None

    def check_classes(self, rows: Mapping[int | None, int]) -> None:
        self.check(sum(rows.values()))

    def statistics(self, state: State, context: Context) -> tuple[Statistic, ...]:
        return self.base.statistics(within(state, _BASE), context.fold(_BASE))

    def decide(self, updates: Updates, state: State, context: Context) -> Plan[_Answered]:
        memory, below = within(state, _BASE), context.fold(_BASE)
        told = _told(updates.ids, context)
        present = {_row_key(name, c) for name, c in told}
        absent: dict[str, Tensor] = {}
        classes: dict[Hashable, int] = {}
        for c in sorted({c for _, c in told}, key=repr):
            rows = sorted(entries(state, _of_class(_ROW, c)).items())
            found = {k: row for k, row in rows if k not in present and self._counts(k, state, context.round)}
            absent |= found
            if c is not None:
                classes |= dict.fromkeys(found, c)
        if isinstance(context.group, Mapping):
            below = replace(below, group={**context.group, **classes})
        stack = updates
        if absent:
            stack = Joined(updates, held_like(updates, Layers([[row] for row in absent.values()])))
            stack.ids = (*updates.ids, *absent)  # no client's own name is what its row is kept under
        try:
            self.base.check(stack.n)
        except BoundError as error:
            # An error would leave them unremembered, and the next round as small.
            nothing = torch.zeros(updates.n, dtype=torch.float64)
            return Plan(updates, nothing, note=str(error), memo=_Answered(updates=updates, plan=None, below=below))
        stack.compute(*self.base.statistics(memory, below))  # what must be read is read together
        plan = self.base.decide(stack, memory, below)
        said = f"with the last rows of {len(absent)} absent clients" if absent else ""
        return replace(plan, note=noted(said, plan.note), memo=_Answered(updates=updates, plan=plan, below=below))

    def advance(self, state: State, plan: Plan[_Answered], output: Tensor, context: Context) -> State:
        answered = plan.memo
        after: State = within(state, _BASE)
        if answered.plan is not None:
            after = self.base.advance(after, answered.plan, output, answered.below)
        told = _told(answered.updates.ids, context)
        keys = [_row_key(name, c) for name, c in told]
        new = dict(zip(keys, remember_rows(_ROW, answered.updates).values(), strict=True))
        if self.age is not None:
            new |= {_round_key(k): torch.tensor(context.round) for k in keys}
        own = updated(placed(state, _BASE, {}), new, [name for name, _ in told], self.remember)
        rows = [k for k in own if k.startswith(_ROW)]
        for k in rows:
            if not self._counts(k, own, context.round + 1):
                del own[k], own[_round_key(k)]
        return placed(own, _BASE, after)

    def _counts(self, k: str, state: State, round: int) -> bool:
        """Whether the row that a state has under this key is young enough for a round."""
        return self.age is None or round - int(state[_round_key(k)]) <= self.age


def _told(ids: Sequence[Hashable], context: Context) -> list[tuple[Hashable, int | None]]:
    """Whose each row is, and of which class it is: in rounds of classes that of a pair of a client and a class."""
    group = context.group
    if group is None:
        return [(client, None) for client in ids]
    if not isinstance(group, Mapping):
        return [((_plain(client), group), group) for client in ids]
    told: list[tuple[Hashable, int | None]] = []
    for row in ids:
        c = group.get(row)
        # In rounds of several classes a simulation calls the row of client 3 for class 1 (3, 1) itself.
        paired = c is None or (isinstance(row, tuple) and len(row) == 2 and row[1] == c)
        told.append((row if paired else (_plain(row), c), c))
    return told


def _plain(client: Hashable) -> Hashable:
    return client.item() if isinstance(client, np.generic) else client  # as `key` takes them


def _row_key(name: Hashable, c: int | None) -> str:
    """Where a state keeps the last row for a class; for none, where rounds have no classes."""
    return key(_of_class(_ROW, c), name)


def _of_class(name: str, c: int | None) -> str:
    return name if c is None else f"{name} for class {c}"


def _round_key(k: str) -> str:
    """Where a state keeps the round in which the row under a key was sent."""
    return _ROUND + k.removeprefix(_ROW)
