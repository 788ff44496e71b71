"""`Client`: what a client computes, as a pure function of what the server sent, its data and what it remembers.

What a client sends is a row. A gradient g moves the model by -lr g, a delta by +lr delta: an algorithm says once which
of the two it sends (`Traits.sends`), and the server uses that.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..core import EXAMPLES, Context, State, Whole
from ..registry.component import Component
from ..training.schedules import LearningRates, rate
from .model import Inputs, LocalModel

Poison = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True, kw_only=True)
class Prepare:
    """What inputs become before they are trained on.

    What is random is drawn batch by batch; what is done by it is done for the batches of many clients at once, as long
    as it is the same function.

    Attributes:
        draw: numbers for each sample of a batch, from which samples they are: (B, k) on the CPU.
        apply: what inputs become by their numbers, sample by sample.
    """

    draw: Callable[[Tensor], Tensor]
    apply: Callable[[Tensor, Tensor], Tensor]


class Shard:
    """A client's own samples.

    Args:
        inputs, labels: samples, of which the client may hold only some; inputs may be read batch by batch.
        places: which, as int64 indices; all if None.
        device: where batches go; where the samples are if None.
    """

    def __init__(
        self,
        inputs: Inputs,
        labels: Tensor,
        places: Tensor | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        self.inputs = inputs
        self.labels = labels
        self.device = device
        self.places = torch.arange(len(labels)) if places is None else places
        self.poison: Poison | None = None
        self.prepare: Prepare | None = None
        self._of_class: dict[int, Shard] = {}  # shared by copies: samples do not change their class

    def __len__(self) -> int:
        return len(self.places)

    def poisoned(self, poison: Poison) -> Shard:
        """The same samples, of which every batch goes through ``poison`` before it is trained on."""
        other = copy.copy(self)
        other.poison = poison
        return other

    def prepared(self, prepare: Prepare) -> Shard:
        """The same samples, of which every batch goes through ``prepare``, before anybody poisons it."""
        other = copy.copy(self)
        other.prepare = prepare
        return other

    def part(self, numbers: Tensor) -> Shard:
        """Some of the client's samples, by their numbers among them."""
        other = copy.copy(self)
        other.places = self.places[numbers]
        other._of_class = {}
        return other

    def by_class(self) -> dict[int, Shard]:
        """The samples of each class that the client holds, by their true labels."""
        if not self._of_class:
            labels = self.labels[self.places.to(self.labels.device)].cpu()
            for c in torch.unique(labels).tolist():
                self._of_class[c] = self.part((labels == c).nonzero().flatten())
                self._of_class[c].poison = self._of_class[c].prepare = None
        if self.poison is None and self.prepare is None:
            return self._of_class
        return {c: self._treated(part) for c, part in self._of_class.items()}

    def _treated(self, part: Shard) -> Shard:
        """Some of the samples, whose batches become what those of all become."""
        other = copy.copy(part)
        other.poison = self.poison
        other.prepare = self.prepare
        return other

    def take(self, numbers: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """A batch to train on: inputs and labels of the samples with these numbers, of all if None."""
        return take_together([(self, torch.arange(len(self)) if numbers is None else numbers)])


Samples = tuple[Shard, Tensor]
"""Samples of a shard, by their numbers there."""


def take_together(batches: Sequence[Samples]) -> tuple[Tensor, Tensor]:
    """Batches to train on, one after the other: those of `Shard.take`, to the last bit.

    Clients whose samples lie in the same place have them read at once, and prepared at once if it is done alike.
    """
    parts = [_taken(list(run)) for _, run in groupby(batches, key=_where_and_how)]
    if len(parts) == 1:
        return parts[0]
    inputs, labels = zip(*parts, strict=True)
    return torch.cat(inputs), torch.cat(labels)


def _where_and_how(samples: Samples) -> tuple[object, ...]:
    """Where a batch is read from, and what is done to it by what is drawn: equal if both can be done at once."""
    shard, _ = samples
    return id(shard.inputs), id(shard.labels), shard.device, shard.prepare and shard.prepare.apply


def _taken(batches: Sequence[Samples]) -> tuple[Tensor, Tensor]:
    """Batches of which `_where_and_how` says the same."""
    first, _ = batches[0]
    shards = [shard for shard, _ in batches]
    chosen = [shard.places[numbers] for shard, numbers in batches]
    places = torch.cat(chosen)
    inputs = first.inputs[places.to(first.inputs.device)]
    labels = first.labels[places.to(first.labels.device)]
    if first.device is not None:
        inputs = inputs.to(first.device)
        labels = labels.to(first.device)
    if first.prepare is not None:
        prepares = [shard.prepare for shard in shards if shard.prepare is not None]
        drawn = [prepare.draw(its) for prepare, its in zip(prepares, chosen, strict=True)]
        inputs = first.prepare.apply(inputs, torch.cat(drawn))
    if all(shard.poison is None for shard in shards):
        return inputs, labels
    sizes = [len(its) for its in chosen]
    clean = zip(torch.split(inputs, sizes), torch.split(labels, sizes), strict=True)
    given = [shard.poison(*batch) if shard.poison else batch for shard, batch in zip(shards, clean, strict=True)]
    if len(given) == 1:
        return given[0]
    return torch.cat([its for its, _ in given]), torch.cat([its for _, its in given])


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    """What a client works with in one round.

    Attributes:
        client: who it is; random streams and nothing else depend on it.
        parameters: the server's, (d,).
        shard: its data.
        context: the round, the seed, and the class of the round if there is one.
        state: what it remembered when it last took part; empty at first.
        told: what the server says besides its model, as `Client.tell` has it; empty at first.
        buffers: the server's running statistics, (b,), if the model has any.
        schedule_round: the round that learning rates go by, the context's if None. It is another one where the server
            trains on data of its own, which it goes through anew in every round.
    """

    client: Hashable
    parameters: Tensor
    shard: Shard
    context: Context = field(default_factory=Context)
    state: State = field(default_factory=dict)
    told: State = field(default_factory=dict)
    buffers: Tensor | None = None
    schedule_round: int | None = None

    @property
    def seed(self) -> int:
        """Of what is random in the model in this round."""
        return self.context.draw_seed(f"model of client {self.client}")

    def rate(self, lr: float, schedule: LearningRates | None) -> float:
        """The learning rate of this round, with a schedule or without one."""
        return rate(lr, schedule, self.context.round if self.schedule_round is None else self.schedule_round)

    def batches(self, batch_size: int, count: int, name: str = "", *, drop_last: bool = True) -> Iterator[Tensor]:
        """Sample numbers of this round's ``count`` batches: int64.

        The client walks through its shard in a fresh random order every epoch, and each round begins where the last one
        ended; a last batch that would be short is left out, or with ``drop_last=False`` trained on as it is, and a
        shard smaller than a batch is one batch. A function of seed, client and round alone.
        """
        size = len(self.shard)
        per_epoch = batches_per_epoch(batch_size, self.shard, drop_last=drop_last)
        first = self.context.round * count
        shuffled = -1  # the epoch that the order is of
        order = torch.empty(0, dtype=torch.int64)
        for number in range(first, first + count):
            epoch, place = divmod(number, per_epoch)
            if epoch != shuffled:
                generator = replace(self.context, round=epoch).generator(f"batches of client {self.client}{name}")
                order = torch.randperm(size, generator=generator)
                shuffled = epoch
            yield order[place * batch_size : (place + 1) * batch_size]


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """What comes of a client's round.

    Attributes:
        row: what it sends, (d,); None if it has nothing to send in this round.
        loss: mean over its batches, as it trained; a number, or a tensor of one, which a GPU need not be waited for.
        state: what it remembers.
        messages: what it says besides: its number of samples, SIREN's alarm.
        buffers: its running statistics, (b,), if the model has any.
    """

    row: Tensor | None
    loss: float | Tensor
    state: State = field(default_factory=dict)
    messages: Mapping[str, Any] = field(default_factory=dict)
    buffers: Tensor | None = None


class Client(Component):
    """A client algorithm. A subclass is a frozen dataclass.

    One that needs gradients at the server's parameters and nothing else says of which batches (`asks`) and what it
    makes of them (`answer`), so that those of many clients can be computed together; any other overrides `work`.
    """

    kind: ClassVar[str] = "client"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.traits().sends is None:
            raise TypeError(
                f"{type(self).__name__} does not say what its rows are: write "
                'declared = fedward.Traits(sends="gradient"), or sends="delta"'
            )

    def asks(self, task: Task) -> Sequence[Samples] | None:
        """The batches whose gradients at the server's parameters are all it needs; None if it does not work so."""
        return None

    def answer(self, task: Task, gradients: Sequence[Tensor], losses: Sequence[float | Tensor]) -> Answer:
        """What it makes of the gradients, one (d,) row and one loss for each batch of `asks`.

        Pure, with one exception: the gradients may be modified in place and sent as they are. They must not be
        remembered, since those of the next round are computed into the same memory.
        """
        raise NotImplementedError(f"{type(self).__name__} overrides neither answer nor work")

    def work(self, model: LocalModel, task: Task) -> Answer:
        """One round of one client.

        Pure: neither ``task.state`` nor ``task.parameters`` is modified. ``model`` is scratch: it has the server's
        parameters and buffers, and may be left with any others.
        """
        computed = [model.gradient(*shard.take(numbers)) for shard, numbers in self.asks(task) or ()]
        return self.answer(task, [gradient for gradient, _ in computed], [loss for _, loss in computed])

    def row_of(self, answer: Answer, group: int) -> Tensor | None:
        """What it sends for this class, in a round of several; None if it has nothing to send for it."""
        raise NotImplementedError(f"{type(self).__name__} does not answer for classes")

    def fresh(self) -> Client:
        """The algorithm without its memory: what the server does with data of its own."""
        return self

    def tell(self, told: State, aggregate: Tensor, share: float, round: int) -> State:
        """What the server says to clients in the next round besides its model, `Task.told`.

        Args:
            told: what it said in this round.
            aggregate: of this round's rows, (d,).
            share: of the clients that answered.
            round: this one, 0 the first.
        """
        return {}

    def label_smoothing(self) -> float:
        """The share of each label that its loss spreads over all classes."""
        return 0.0

    def epochs_per_round(self, shard: Shard) -> float | None:
        """How many times it goes through its samples in a round, such as 1/20; None where that is not known."""
        return None


class WithInner(Whole, Client):
    """An algorithm around another one, ``inner``."""

    inner: Client

    @property
    def parts(self) -> Sequence[Client]:
        return (self.inner,)

    def fresh(self) -> Client:
        return self.inner.fresh()

    def tell(self, told: State, aggregate: Tensor, share: float, round: int) -> State:
        return self.inner.tell(told, aggregate, share, round)

    def label_smoothing(self) -> float:
        return self.inner.label_smoothing()


def batches_per_epoch(batch_size: int, shard: Shard, *, drop_last: bool) -> int:
    """How many batches a pass through the client's samples has; a shard that is smaller than a batch is one."""
    whole, left = divmod(len(shard), batch_size)
    return max(whole if drop_last or not left else whole + 1, 1)


def share_of(batch_size: int, shard: Shard, *, drop_last: bool) -> float:
    """A batch as a share of the client's samples, on average where one of an epoch is short."""
    if not drop_last:
        return 1 / batches_per_epoch(batch_size, shard, drop_last=False)
    return min(batch_size / max(len(shard), 1), 1.0)


def carry_out(algorithm: Client, model: LocalModel, task: Task) -> Answer:
    """One round of one client, what is random in the model itself (dropout) included; global generators are kept."""
    with model.seeded(task.seed):
        model.load(task.parameters, task.buffers)
        model.train()
        model.smoothing = algorithm.label_smoothing()
        answer = algorithm.work(model, task)
    if answer.buffers is None and task.buffers is not None:
        answer = replace(answer, buffers=model.read_buffers())
    return introduced(answer, task)


def introduced(answer: Answer, task: Task) -> Answer:
    """The answer with what every client says: its number of samples."""
    return replace(answer, messages={EXAMPLES: len(task.shard), **answer.messages})
