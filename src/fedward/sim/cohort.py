"""`Cohort`: who takes part in a round, who fails or is late, and what everybody sends."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
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
from .inbox import Inbox
from .progress import Progress


@dataclass(frozen=True, eq=False, kw_only=True)
class Drawn:
    """Who takes part in a round.

    Attributes:
        present: who works and will answer, in order.
        late: who of them answers one round late.
        members: the byzantine clients of the round, those whose answer comes from the last round last.
        classes: that the round is about; none where rounds have no classes.
        context: of the round; its group is the first class.
    """

    present: tuple[int, ...]
    late: frozenset[int]
    members: tuple[int, ...]
    classes: tuple[int, ...]
    context: Context


@dataclass(frozen=True, eq=False, kw_only=True)
class Arrival:
    """What comes with a row.

    Attributes:
        client: whose it is.
        id: what the rule calls it.
        group: the class that it is for, if rounds have classes.
        loss, messages, buffers: as in `Answer`.
    """

    client: int
    id: Hashable
    group: int | None
    loss: float | Tensor
    messages: Mapping[str, Any]
    buffers: Tensor | None


@dataclass(frozen=True, eq=False, kw_only=True)
class Arrivals:
    """What arrives at the server in a round.

    Attributes:
        each: in the order of the rows, which the cohort's inbox has.
        honest, byzantine: places of the rows of the ones and of the others.
        postponed: answers of this round that arrive in the next one, by client.
        states: what every client remembers now.
    """

    each: tuple[Arrival, ...]
    honest: tuple[int, ...]
    byzantine: tuple[int, ...]
    postponed: Mapping[int, Answer]
    states: Mapping[int, State]

    @property
    def ids(self) -> list[Hashable]:
        """What the rule calls the rows."""
        return [arrival.id for arrival in self.each]

    @property
    def clients(self) -> list[int]:
        """Whose the rows are."""
        return [arrival.client for arrival in self.each]

    @property
    def groups(self) -> list[int | None]:
        """The classes that rows are for, each once; None where rounds have no classes."""
        return list(dict.fromkeys(arrival.group for arrival in self.each))


class Cohort:
    """The clients of a simulation, and the memory of what they send.

    Args:
        data, backend, clients, attack, byzantine, participation, dropout, late: as in `Simulation`.
        device: where the data live.
        spare: whether byzantine clients are spared work that nobody would look at.

    Attributes:
        inbox: the rows of the round.
        active: how many clients are drawn in a round.
        shards: what each client trains on.
        rounds_per_epoch: as in `Context`.
    """

    def __init__(
        self,
        *,
        data: FederatedData,
        backend: Backend,
        clients: Client,
        attack: Attack,
        byzantine: frozenset[int],
        participation: float,
        dropout: float,
        late: float,
        device: torch.device,
        spare: bool = True,
    ) -> None:
        self.data = data
        self.backend = backend
        self.clients = clients
        self.attack = attack
        self.byzantine = byzantine
        self.dropout = dropout
        self.late = late
        self.spare = spare
        self.active = drawn_in_round(data.n, participation)
        inputs = data.dataset.train.inputs.to(device)
        labels = data.dataset.train.labels.to(device)
        self.shards = [Shard(inputs, labels, places, device) for places in data.shards]
        self.rounds_per_epoch = rounds_per_epoch(clients, self.shards)
        senders = data.n if late else self.active  # who is late answers beside those that are drawn anew
        self.inbox = Inbox(senders * max(clients.traits().by_class, 1), backend.initial())

    @cached_property
    def honest_mixes(self) -> Tensor:
        """How many samples of each class each honest client trains on, in order: (honest clients, classes)."""
        labels = self.data.dataset.train.labels
        classes = self.data.dataset.classes
        honest = [shard for client, shard in enumerate(self.data.shards) if client not in self.byzantine]
        return torch.stack([torch.bincount(labels[shard], minlength=classes) for shard in honest])

    @property
    def fewest(self) -> int:
        """Answers in a round at least, if every byzantine client is present."""
        return fewest_answers(self.active, self.dropout, self.late)

    @property
    def most(self) -> int:
        """Answers in a round at most, those included that come a round late."""
        return most_answers(self.data.n, self.active, self.dropout, self.late)

    @property
    def _spares(self) -> bool:
        """Whether nobody would look at the work of byzantine clients, so that they need not do it."""
        return self.spare and self.attack.traits().knows == "honest" and not self.clients.traits().talks

    def senders(self, group: int) -> list[int]:
        """Who sends a row for this class when present: who holds samples of it, or claims to."""
        return [
            client
            for client, shard in enumerate(self.shards)
            if group in shard.by_class() or (client in self.byzantine and self._spares)
        ]

    # --- who takes part -------------------------------------------------------------------------------------

    def draw(self, context: Context, now: Progress) -> Drawn:
        """Who works in this round and who of them is late; those of the last round who are late do nothing else."""
        drawn = list(range(self.data.n))
        if self.active < self.data.n:
            order = torch.randperm(self.data.n, generator=context.generator("participants"))
            drawn = sorted(order[: self.active].tolist())
        if self.byzantine and not self.attack.present(context.fold("attack")):
            drawn = [client for client in drawn if client not in self.byzantine]
        drawn = [client for client in drawn if client not in now.late]
        order = torch.randperm(len(drawn), generator=context.generator("failures"))
        lost = _part(self.dropout, len(drawn))
        late = _part(self.late, len(drawn))
        failed = {drawn[i] for i in order[:lost].tolist()}
        present = tuple(client for client in drawn if client not in failed)
        classes = self._classes_of(context, present)
        return Drawn(
            present=present,
            late=frozenset(drawn[i] for i in order[lost : lost + late].tolist()),
            members=tuple(client for client in (*present, *now.late) if client in self.byzantine),
            classes=classes,
            context=replace(context, group=classes[0] if classes else None),
        )

    def _classes_of(self, context: Context, present: Sequence[int]) -> tuple[int, ...]:
        """The classes of the round, those left out of which no client present holds a sample."""
        traits = self.clients.traits()
        many = traits.by_class
        if not many:
            return ()
        classes = self.data.dataset.classes
        held = {c for client in present for c in self.shards[client].by_class()}
        order = [c % classes for c in range(context.round * many, context.round * many + classes)]
        if traits.draw == "random":
            order = torch.randperm(classes, generator=context.generator("classes")).tolist()
        return tuple([c for c in order if c in held][:many] or order[:1])

    # --- what they send -------------------------------------------------------------------------------------

    def collect(self, drawn: Drawn, now: Progress) -> Arrivals:
        """What arrives in this round, in the order of clients.

        Byzantine clients whose attack looks at honest rows alone need not compute theirs: zeros stand for them.
        """
        spared = self._spared(drawn, now)
        # Those who are late come last: so the others' rows are in order, and nothing has to move to make room.
        working = sorted((c for c in drawn.present if c not in spared), key=lambda c: (c in drawn.late, c))
        tasks = [self._task(client, drawn, now) for client in working]
        done = dict(zip(working, self.inbox.compute(self.backend, self.clients, tasks), strict=True))
        postponed = {c: _kept(a) for c, a in done.items() if c in drawn.late and a.row is not None}
        waiting = {**self._nothing(spared, now), **now.late}
        arrived = {**waiting, **{c: a for c, a in done.items() if c not in drawn.late}}
        each: list[Arrival] = []
        rows: list[Tensor | None] = []
        for client in sorted(arrived):
            for arrival, row in self._sent(client, arrived[client], drawn.classes, client in waiting):
                each.append(arrival)
                rows.append(row)
        self.inbox.arrange(rows)
        return Arrivals(
            each=tuple(each),
            honest=tuple(i for i, arrival in enumerate(each) if arrival.client not in self.byzantine),
            byzantine=tuple(i for i, arrival in enumerate(each) if arrival.client in self.byzantine),
            postponed=postponed,
            states={**now.client_states, **{c: a.state for c, a in done.items() if a.state}},
        )

    def _spared(self, drawn: Drawn, now: Progress) -> set[int]:
        """Byzantine clients whose work nobody would look at."""
        if not self._spares:
            return set()
        return {client for client in drawn.members if client not in drawn.late and client not in now.late}

    def _nothing(self, clients: Iterable[int], now: Progress) -> dict[int, Answer]:
        """What stands for the answers of clients that were spared their work."""
        zeros = torch.zeros_like(now.parameters)
        return {c: Answer(row=zeros, loss=nan, messages={EXAMPLES: len(self.shards[c])}) for c in clients}

    def _sent(
        self, client: int, answer: Answer, classes: Sequence[int], waiting: bool
    ) -> list[tuple[Arrival, Tensor | None]]:
        """What a client sends: one row, or one for each class of the round; None for a row that was just computed."""

        def arrival(id: Hashable, group: int | None) -> Arrival:
            return Arrival(
                client=client,
                id=id,
                group=group,
                loss=answer.loss,
                messages=answer.messages,
                buffers=answer.buffers,
            )

        if len(classes) <= 1:
            group = classes[0] if classes else None
            return [] if answer.row is None else [(arrival(client, group), answer.row if waiting else None)]
        # Who was spared the work claims to hold samples of every class.
        rows = {c: answer.row if waiting else self.clients.row_of(answer, c) for c in classes}
        return [(arrival((client, c), c), row) for c, row in rows.items() if row is not None]

    def _task(self, client: int, drawn: Drawn, now: Progress) -> Task:
        shard = self.shards[client]
        if client in self.byzantine:
            shard = self._poisoned(shard, client, drawn)
        return Task(
            client=client,
            parameters=now.parameters,
            shard=shard,
            context=replace(drawn.context, evaluator=None),
            state=now.client_states.get(client, {}),
            told=now.told,
            buffers=now.buffers,
        )

    def _poisoned(self, shard: Shard, client: int, drawn: Drawn) -> Shard:
        """What the attack makes of a byzantine client's data."""
        # Among all of them, so that it is the same whoever takes part, and as `Phases.attacked` has it.
        liars = sorted(self.byzantine)
        context = drawn.context.fold("attack")

        def poison(inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
            batch = Batch(
                inputs=inputs,
                labels=labels,
                classes=self.data.dataset.classes,
                member=liars.index(client),
                members=len(liars),
                client=client,
            )
            poisoned = self.attack.poison(batch, context)
            return poisoned.inputs, poisoned.labels

        return shard.poisoned(poison)


def _kept(answer: Answer) -> Answer:
    """An answer to be sent a round later, when the memory of its row has others in it."""
    assert answer.row is not None
    return replace(answer, row=answer.row.clone(), loss=float(answer.loss))


def drawn_in_round(clients: int, participation: float) -> int:
    """How many clients take part in a round."""
    return ceil(round(participation * clients, 6))  # 0.28 * 25 is 7, whatever floats say


def fewest_answers(drawn: int, dropout: float, late: float) -> int:
    """Answers in time at least, where so many clients take part."""
    return drawn - _part(dropout, drawn) - _part(late, drawn)


def most_answers(clients: int, drawn: int, dropout: float, late: float) -> int:
    """Answers at most, those included that come a round late.

    Whoever is late answers in the next round and is not drawn for it, so that of fewer clients fewer are lost: of 10
    with dropout 0.3 and late 0.1 at most 7 answer in the first round, and 9 - 2 + 1 = 8 in the second.
    """
    most = 0
    for waiting in range(_part(late, drawn) + 1):
        for among in range(max(0, drawn + waiting - clients), waiting + 1):  # of the waiting, how many would be drawn
            most = max(most, fewest_answers(drawn - among, dropout, late) + waiting)
    return most


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


def byzantine_ids(byzantine: Any, n: int) -> frozenset[int]:
    """Which of n clients are byzantine: the first so many of them, or those that are named.

    Raises:
        ValueError: neither a number nor distinct clients, or no honest one is left.
    """
    if _is_whole(byzantine) and 0 <= byzantine < n:
        return frozenset(range(int(byzantine)))
    named = list(byzantine) if isinstance(byzantine, Iterable) else []
    known = all(_is_whole(i) and 0 <= i < n for i in named)
    distinct = len(set(named)) == len(named)
    if not (isinstance(byzantine, Iterable) and known and distinct and len(named) < n):
        raise ValueError(f"byzantine is a number below n = {n} or distinct clients 0 to {n - 1}, got {byzantine!r}")
    return frozenset(map(int, named))


def _is_whole(number: object) -> bool:
    return isinstance(number, Integral) and not isinstance(number, bool)
