"""`Client`: what a client computes, as a pure function of what the server sent, its data and what it remembers.

What a client sends is a row. A gradient g moves the model by -lr g, a delta by +lr delta: an algorithm says once which
of the two it sends (`Client.sends`), and the server goes by that.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..rule import Component, Context, State
from ..stack import Layout

BATCH_NORM = ("mean", "frozen")
_EVALUATION_BATCH = 1000

Poison = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Shard:
    """A client's own samples.

    Args:
        inputs, labels: samples, of which the client may hold only some.
        places: which, as int64 indices; all if None.
        device: where batches go; where the samples are if None.
    """

    def __init__(
        self,
        inputs: Tensor,
        labels: Tensor,
        places: Tensor | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        self.inputs, self.labels, self.device = inputs, labels, device
        self.places = torch.arange(len(labels)) if places is None else places
        self.poison: Poison | None = None
        self._of_class: dict[int, Shard] = {}  # shared by copies: samples do not change their class

    def __len__(self) -> int:
        return len(self.places)

    def poisoned(self, poison: Poison) -> Shard:
        """The same samples, of which every batch goes through ``poison`` before it is trained on."""
        other = copy.copy(self)
        other.poison = poison
        return other

    def part(self, numbers: Tensor) -> Shard:
        """Some of the client's samples, by their numbers among them."""
        other = copy.copy(self)
        other.places, other._of_class = self.places[numbers], {}
        return other

    def by_class(self) -> dict[int, Shard]:
        """The samples of each class that the client holds, by their true labels."""
        if not self._of_class:
            labels = self.labels[self.places.to(self.labels.device)].cpu()
            for c in torch.unique(labels).tolist():
                self._of_class[c] = self.part((labels == c).nonzero().flatten())
                self._of_class[c].poison = None
        if self.poison is None:
            return self._of_class
        return {c: part.poisoned(self.poison) for c, part in self._of_class.items()}

    def take(self, numbers: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """A batch to train on: inputs and labels of the samples with these numbers, of all if None."""
        chosen = self.places if numbers is None else self.places[numbers]
        inputs, labels = (t[chosen.to(t.device)] for t in (self.inputs, self.labels))
        if self.device is not None:
            inputs, labels = inputs.to(self.device), labels.to(self.device)
        return (inputs, labels) if self.poison is None else self.poison(inputs, labels)


@dataclass(frozen=True, eq=False)
class Task:
    """What a client has to go by in one round.

    Attributes:
        client: who it is; random streams and nothing else depend on it.
        parameters: the server's, (d,).
        shard: its data.
        context: the round, the seed, and the class of the round if there is one.
        state: what it remembered when it last took part; empty at first.
        buffers: the server's running statistics, (b,), if the model has any.
    """

    client: Hashable
    parameters: Tensor
    shard: Shard
    context: Context = field(default_factory=Context)
    state: State = field(default_factory=dict)
    buffers: Tensor | None = None

    def batches(self, batch_size: int, count: int, name: str = "") -> Iterator[Tensor]:
        """Sample numbers of this round's ``count`` batches: int64.

        The client walks through its shard in a fresh random order every epoch, and goes on in the next round; a last
        batch that would be short is left out, and a shard smaller than a batch is one batch. A function of seed,
        client and round alone.
        """
        size, first = len(self.shard), self.context.round * count
        per_epoch, before, order = max(size // batch_size, 1), -1, torch.empty(0, dtype=torch.int64)
        for number in range(first, first + count):
            epoch, place = divmod(number, per_epoch)
            if epoch != before:
                generator = replace(self.context, round=epoch).generator(f"batches of client {self.client}{name}")
                order, before = torch.randperm(size, generator=generator), epoch
            yield order[place * batch_size : (place + 1) * batch_size]


@dataclass(frozen=True, eq=False)
class Answer:
    """What comes of a client's round.

    Attributes:
        row: what it sends, (d,); None if it has nothing to send in this round.
        loss: mean over its batches, as it trained.
        state: what it remembers.
        messages: what it says besides: its number of samples, SIREN's alarm.
        buffers: its running statistics, (b,), if the model has any.
    """

    row: Tensor | None
    loss: float
    state: State = field(default_factory=dict)
    messages: Mapping[str, Any] = field(default_factory=dict)
    buffers: Tensor | None = None


class Client(Component):
    """A client algorithm. A subclass is a frozen dataclass that overrides `work`."""

    kind: ClassVar[str] = "client"
    by_class: ClassVar[bool] = False
    """Whether rounds have a class, `Context.group`, that clients answer for."""
    talks: ClassVar[bool] = False
    """Whether it says anything besides its number of samples."""

    @property
    @abstractmethod
    def sends(self) -> str:
        """ "gradient", which moves the model by -lr g, or "delta", which moves it by +lr delta."""

    @abstractmethod
    def work(self, model: LocalModel, task: Task) -> Answer:
        """One round of one client.

        Pure: neither ``task.state`` nor ``task.parameters`` is modified. ``model`` is scratch: it has the server's
        parameters and buffers, and may be left with any others.
        """

    def fresh(self) -> Client:
        """The algorithm without its memory: what the server does with data of its own."""
        return self


class LocalModel:
    """A module to work on, its parameters and running statistics read and written as rows.

    Args:
        module: copied.
        device: where it works.
        batch_norm: what becomes of running statistics: "mean", they follow a client's batches, and the server takes
            the mean of those of accepted clients; "frozen", they stay as the module has them and normalise training
            too. A mean is not robust: what an accepted client says of its statistics counts.

    Raises:
        ValueError: another policy.
    """

    def __init__(self, module: nn.Module, device: torch.device | str = "cpu", batch_norm: str = "mean") -> None:
        if batch_norm not in BATCH_NORM:
            raise ValueError(f"batch_norm is one of {', '.join(BATCH_NORM)}, got {batch_norm!r}")
        self.device, self.batch_norm = torch.device(device), batch_norm
        self.module = copy.deepcopy(module).to(self.device)
        named = {k: p for k, p in self.module.named_parameters() if p.requires_grad}
        self.layout = Layout.of(named)
        self.parameters = list(named.values())
        # Convolutions over small channels are up to twice as fast on the CPU with channels last.
        self.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
        running = {k: b for k, b in self.module.named_buffers() if b.is_floating_point()}
        self.buffer_layout = Layout.of(running) if running else None
        self._running = list(running.values())
        self._counters = [(b, b.clone()) for b in self.module.buffers() if not b.is_floating_point()]
        self.initial, self.initial_buffers = self.read(), self.read_buffers()

    def load(self, parameters: Tensor, buffers: Tensor | None = None) -> None:
        """Take on these parameters, (d,), and running statistics, (b,); those that it came with if None."""
        with torch.no_grad():
            values = self.layout.unflatten(parameters).values()
            for parameter, value in zip(self.parameters, values, strict=True):
                parameter.copy_(value)
            if self.buffer_layout is not None:
                named = self.buffer_layout.unflatten(self.initial_buffers if buffers is None else buffers)
                for buffer, value in zip(self._running, named.values(), strict=True):
                    buffer.copy_(value)
            for counter, value in self._counters:
                counter.copy_(value)

    def read(self) -> Tensor:
        """Its parameters: a new (d,) row."""
        return torch.cat([p.detach().reshape(-1) for p in self.parameters])

    def read_buffers(self) -> Tensor:
        """Its running statistics: a new (b,) row; b is 0 for a model without any."""
        return torch.cat([torch.zeros(0, device=self.device), *(b.detach().reshape(-1) for b in self._running)])

    def train(self) -> None:
        """Get ready to train."""
        self.module.train()
        if self.batch_norm == "frozen":
            for part in self.module.modules():
                if isinstance(part, nn.modules.batchnorm._BatchNorm):
                    part.eval()

    def gradient(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, float]:
        """The gradient of the cross-entropy, (d,), and the loss; the parameters stay as they are."""
        loss = nn.functional.cross_entropy(self.module(inputs), labels)
        gradients = torch.autograd.grad(loss, self.parameters)
        return torch.cat([g.reshape(-1) for g in gradients]), float(loss.detach())

    def evaluate(self, inputs: Tensor, labels: Tensor) -> tuple[float, float]:
        """Accuracy and mean loss, without dropout."""
        correct, loss = 0, 0.0
        for logits, wanted in self._answers(inputs, labels):
            correct += int((logits.argmax(1) == wanted).sum())
            loss += float(nn.functional.cross_entropy(logits, wanted, reduction="sum"))
        return correct / len(labels), loss / len(labels)

    def confidence(self, inputs: Tensor, labels: Tensor) -> float:
        """Mean probability that it gives to the labels; 0 of no samples."""
        answers = self._answers(inputs, labels)
        total = sum(float(logits.softmax(1).gather(1, wanted[:, None]).sum()) for logits, wanted in answers)
        return total / max(len(labels), 1)

    def _answers(self, inputs: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        self.module.eval()
        for start in range(0, len(labels), _EVALUATION_BATCH):
            part = slice(start, start + _EVALUATION_BATCH)
            with torch.inference_mode():
                logits = self.module(inputs[part].to(self.device))
            yield logits, labels[part].to(self.device)


def carry_out(algorithm: Client, model: LocalModel, task: Task) -> Answer:
    """One round of one client, what is random in the model itself (dropout) included; global generators are kept."""
    cuda = model.device.type == "cuda"
    seed = task.context.draw_seed(f"model of client {task.client}")
    with torch.random.fork_rng(devices=[model.device] if cuda else []):
        torch.default_generator.manual_seed(seed)
        if cuda:
            torch.cuda.manual_seed(seed)
        model.load(task.parameters, task.buffers)
        model.train()
        answer = algorithm.work(model, task)
    messages = {"samples": len(task.shard), **answer.messages}
    buffers = answer.buffers
    if buffers is None and task.buffers is not None:
        buffers = model.read_buffers()
    return replace(answer, messages=messages, buffers=buffers)


def prefixed(name: str, state: State) -> dict[str, Tensor]:
    """A part's memory, as entries of the whole's."""
    return {f"{name}/{k}": v for k, v in state.items()}


def within(name: str, state: State) -> dict[str, Tensor]:
    """A part's memory out of the whole's."""
    return {k.removeprefix(f"{name}/"): v for k, v in state.items() if k.startswith(f"{name}/")}
