"""`Cohort`: who takes part in a round, who fails or is late, and what everybody sends."""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, floor, nan
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from ..attacks import Attack, Batch
from ..clients import Answer, Client, Shard, Task
from ..core import EXAMPLES, Context, State
from ..data.dataset import FederatedData
from .backends import Backend
from .progress import Progress


@dataclass(frozen=True)
class Sent:
    """A row that arrived: whose it is, for which class if rounds have classes, what the rule calls it."""

    client: int
    group: int | None
    id: Hashable
    answer: Answer


class Cohort:
    """The clients of a simulation.

    Args:
        data, backend, clients, attack, byzantine: as in `Simulation`.
        shares: of clients that are drawn in a round, and of these that never answer, and that answer a round late.
        device: where the data live.
    """

    def __init__(
        self,
        data: FederatedData,
        backend: Backend,
        clients: Client,
        attack: Attack,
        byzantine: frozenset[int],
        shares: tuple[float, float, float],
        device: torch.device,
    ) -> None:
        self.data, self.backend, self.clients = data, backend, clients
        self.attack, self.byzantine = attack, byzantine
        participation, self.dropout, self.late = shares
        self.active = drawn_in_round(data.n, participation)
        train = data.dataset.train
        inputs, labels = train.inputs.to(device), train.labels.to(device)
        self.shards = [Shard(inputs, labels, places, device) for places in data.shards]
        self.rounds_per_epoch = rounds_per_epoch(clients, self.shards)

    @property
    def fewest(self) -> int:
        """Answers in a round at least, if every byzantine client is present."""
        return fewest_answers(self.active, self.dropout, self.late)

    @property
    def most(self) -> int:
        """Rows in a round at most."""
        return (self.data.n if self.late else self.active) * max(self.clients.traits().by_class, 1)

    def drawn(self, context: Context, now: Progress) -> tuple[list[int], frozenset[int]]:
        """Who works in this round, in order, and will answer; and who of them will be late."""
        drawn = list(range(self.data.n))
        if self.active < self.data.n:
            order = torch.randperm(self.data.n, generator=context.generator("participants"))
            drawn = sorted(order[: self.active].tolist())
        if self.byzantine and not self.attack.present(context.fold("attack")):
            drawn = [client for client in drawn if client not in self.byzantine]
        drawn = [client for client in drawn if client not in now.late]
        order = torch.randperm(len(drawn), generator=context.generator("failures"))
        lost, late = _part(self.dropout, len(drawn)), _part(self.late, len(drawn))
        failed = {drawn[i] for i in order[:lost].tolist()}
        slow = frozenset(drawn[i] for i in order[lost : lost + late].tolist())
        return [client for client in drawn if client not in failed], slow

    def classes_of(self, round: int, present: Sequence[int]) -> tuple[int, ...]:
        """The classes of the round: all in turn, those left out of which no client present holds a sample."""
        many = self.clients.traits().by_class
        if not many:
            return ()
        classes = self.data.dataset.classes
        held = {c for client in present for c in self.shards[client].by_class()}
        in_turn = [c % classes for c in range(round * many, round * many + classes)]
        return tuple([c for c in in_turn if c in held][:many] or in_turn[:1])

    def answers(
        self,
        present: Sequence[int],
        late: frozenset[int],
        classes: Sequence[int],
        context: Context,
        now: Progress,
        rows: Tensor,
    ) -> tuple[list[Sent], Mapping[int, Answer], Mapping[int, State]]:
        """What arrives in this round, in the order of clients and of ``rows``; what will in the next; all memories.

        Byzantine clients whose attack goes by honest rows alone are spared their work.
        """
        members = [c for c in (*present, *now.late) if c in self.byzantine]
        idle = self.attack.traits().knows == "honest" and not self.clients.traits().talks
        spared = {c for c in members if idle and c not in late and c not in now.late}
        working = sorted((c for c in present if c not in spared), key=lambda c: (c in late, c))
        tasks = [self._task(c, members, context, now) for c in working]
        done = dict(zip(working, self.backend.messages(self.clients, tasks, rows), strict=True))
        delayed = {c: a for c, a in done.items() if c in late}
        postponed = {
            c: replace(a, row=a.row.clone(), loss=float(a.loss)) for c, a in delayed.items() if a.row is not None
        }
        nothing = torch.zeros_like(now.parameters)
        waiting = {c: Answer(nothing, nan, messages={EXAMPLES: len(self.shards[c])}) for c in spared} | dict(now.late)
        arrived = waiting | {c: a for c, a in done.items() if c not in late}
        arrived = {c: arrived[c] for c in sorted(arrived)}
        states = {**now.client_states, **{c: a.state for c, a in done.items() if a.state}}
        if len(classes) > 1:
            return self._of_each_class(arrived, classes, waiting, rows), postponed, states
        _settle(rows, {c: a.row for c, a in arrived.items() if a.row is not None}, waiting)
        sent = [Sent(c, classes[0] if classes else None, c, a) for c, a in arrived.items() if a.row is not None]
        return sent, postponed, states

    def _of_each_class(
        self, arrived: Mapping[int, Answer], classes: Sequence[int], spared: Container[int], rows: Tensor
    ) -> list[Sent]:
        """What each client sends for each class of the round; byzantine ones that are spared claim all of them."""
        sent = []
        for client, answer in arrived.items():
            for c in classes:
                row = answer.row if client in spared else self.clients.row_of(answer, c)
                if row is not None:
                    sent.append(Sent(client, c, (client, c), replace(answer, row=row)))
        computed = [s.answer.row for s in sent]
        for place, row in zip(rows, computed, strict=False):
            assert row is not None
            place.copy_(row)
        return sent

    def _task(self, client: int, members: Sequence[int], context: Context, now: Progress) -> Task:
        shard = self.shards[client]
        if client in self.byzantine:
            member, within = members.index(client), context.fold("attack")

            def poison(inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
                batch = Batch(inputs, labels, self.data.dataset.classes, member, len(members))
                poisoned = self.attack.poison(batch, within)
                return poisoned.inputs, poisoned.labels

            shard = shard.poisoned(poison)
        own = now.client_states.get(client, {})
        return Task(client, now.parameters, shard, replace(context, evaluator=None), own, now.buffers)


def drawn_in_round(clients: int, participation: float) -> int:
    """How many clients take part in a round."""
    return ceil(round(participation * clients, 6))  # 0.28 * 25 is 7, whatever floats say


def fewest_answers(drawn: int, dropout: float, late: float) -> int:
    """Answers in time at least, where so many clients take part."""
    return drawn - _part(dropout, drawn) - _part(late, drawn)


def rounds_per_epoch(clients: Client, shards: Sequence[Shard]) -> float | None:
    """How many rounds of a client go through as many samples as a client has on average; None if that is not known."""
    seen = 0.0
    for shard in shards:
        epochs = clients.epochs_per_round(shard)
        if epochs is None:
            return None
        seen += epochs * len(shard)
    return sum(map(len, shards)) / seen if seen > 0 else None


def _part(share: float, count: int) -> int:
    return floor(round(share * count, 6))


def _settle(out: Tensor, rows: Mapping[int, Tensor], waiting: Container[int]) -> None:
    """Bring the rows into the order of clients: those just computed fill the first places of ``out``, in that order."""
    place = {client: i for i, client in enumerate(rows)}
    computed = [client for client in rows if client not in waiting]
    for k in reversed(range(len(computed))):  # each moves back, if at all, so none is overwritten before it moves
        if place[computed[k]] != k:
            out[place[computed[k]]] = out[k]
    for client, row in rows.items():
        if client in waiting:
            out[place[client]] = row


def byzantine_ids(byzantine: Any, n: int) -> frozenset[int]:
    """Which of n clients are byzantine: the first so many of them, or those that are named.

    Raises:
        ValueError: neither a number nor distinct clients, or no honest one is left.
    """
    if _is_whole(byzantine) and 0 <= byzantine < n:
        return frozenset(range(int(byzantine)))
    named = list(byzantine) if isinstance(byzantine, Iterable) else [n]
    if not all(_is_whole(i) and 0 <= i < n for i in named) or len(set(named)) != len(named) or len(named) >= n:
        raise ValueError(f"byzantine is a number below n = {n} or distinct clients 0 to {n - 1}, got {byzantine!r}")
    return frozenset(map(int, named))


def _is_whole(number: object) -> bool:
    return isinstance(number, Integral) and not isinstance(number, bool)
