"""Clients with momentum: one buffer, or one for each class of its data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from ..core import Traits
from ..core.state import key, placed, within
from ..registry.bounds import Count, Decay
from ..registry.entries import register
from ..registry.traits import Draw
from .base import Answer, Client, Samples, Shard, Task, WithInner, share_of
from .local import Gradient
from .model import LocalModel


@register("worker-momentum", paper="Karimireddy, He & Jaggi 2021", example={"inner": Gradient(batch_size=60)})
@dataclass(frozen=True, kw_only=True)
class WorkerMomentum(WithInner):
    """Send the momentum of what another algorithm would send: m <- beta m + (1 - beta) row, from 0.

    Honest rows differ less, so that there is less room to hide in. Karimireddy, He & Jaggi, "Learning from history for
    Byzantine robust optimization", ICML 2021. A client that takes no part keeps its momentum until it does.

    Args:
        inner: what it is the momentum of.
        beta: at least 0 and below 1.

    Raises:
        ValueError: beta out of bounds, or an inner algorithm that sends by class.
    """

    inner: Client
    beta: Decay = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.inner.traits().by_class:
            raise ValueError(f"{self.inner!r} has a momentum for each class: one of all of them would mix the classes")

    def epochs_per_round(self, shard: Shard) -> float | None:
        return self.inner.epochs_per_round(shard)

    def asks(self, task: Task) -> Sequence[Samples] | None:
        return self.inner.asks(self._within(task))

    def answer(self, task: Task, gradients: Sequence[Tensor], losses: Sequence[float | Tensor]) -> Answer:
        return self._averaged(self.inner.answer(self._within(task), gradients, losses), task)

    def work(self, model: LocalModel, task: Task) -> Answer:
        return self._averaged(self.inner.work(model, self._within(task)), task)

    def _within(self, task: Task) -> Task:
        return replace(task, state=within(task.state, "inner"))

    def _averaged(self, answer: Answer, task: Task) -> Answer:
        assert answer.row is not None
        momentum = answer.row.mul(1 - self.beta)
        if "momentum" in task.state:
            momentum.add_(task.state["momentum"].to(momentum), alpha=self.beta)
        kept = {"momentum": momentum.clone()}  # whoever gets the row may write to it
        return replace(answer, row=momentum, state=placed(kept, "inner", answer.state))


@register("class-momentum", paper="DeSGD", example={"batch_size": 50})
@dataclass(frozen=True, kw_only=True)
class ClassMomentum(Client):
    """DeSGD's worker: a momentum for every class it holds, all updated in each round, that of the round's class sent.

    m_c <- (1 - beta) g_c + beta m_c from 0, g_c the gradient on a batch of class c. A client without samples of the
    round's class (`Context.group`) updates its momenta and sends nothing. An attack sees rows of that class alone, so
    that ALIE in such a round is class-wise ALIE.

    ``order="printed"`` is the formula as the paper prints it, m_c <- beta g_c + (1 - beta) m_c: with its beta = 0.9 it
    hardly averages, and runs under attack collapse.

    The paper's rounds go through the classes in turn. With ``draw="random"`` those of a round are drawn without
    replacement, all alike, from the round's own stream: the random unbiased set of its theory. Classes of which no
    client that is present holds a sample are passed over in both. At random the model follows the classes that were
    drawn last, and learns less in as many rounds than by all in turn.

    Args:
        batch_size: samples of a class in a batch, at least 1.
        beta: at least 0 and below 1.
        order: "usual" or "printed".
        classes: in a round; of several, a client sends the momentum of each that it holds, and the server takes the
            mean of what it makes of each (the set of classes of the paper's theory).
        draw: "cyclic" or "random".
        drop_last: as in `Gradient`, of the samples of each class.

    Raises:
        ValueError: parameters out of these bounds.
    """

    batch_size: Count
    beta: Decay = 0.9
    order: Literal["usual", "printed"] = "usual"
    classes: Count = 1
    draw: Draw = "cyclic"
    drop_last: bool = True
    traits_as_parameters = frozenset({"draw"})
    declared = Traits(sends="gradient", by_class=1, draw="cyclic")

    def traits(self) -> Traits:
        return replace(super().traits(), by_class=self.classes)

    def row_of(self, answer: Answer, group: int) -> Tensor | None:
        return _copied(answer.state.get(key("momentum", group)))

    def fresh(self) -> Client:
        return Gradient(batch_size=self.batch_size, drop_last=self.drop_last)

    def epochs_per_round(self, shard: Shard) -> float:
        # A batch of each class that it holds: small classes are through sooner than large ones, so the mean over its
        # samples counts.
        parts = shard.by_class().values()
        taken = (len(part) * share_of(self.batch_size, part, drop_last=self.drop_last) for part in parts)
        return sum(taken) / max(len(shard), 1)

    def asks(self, task: Task) -> list[Samples]:
        if task.context.group is None:
            raise ValueError("class-momentum answers for the class of the round: the context needs a group")
        return [(shard, self._batch(task, c, shard)) for c, shard in task.shard.by_class().items()]

    def _batch(self, task: Task, c: int, shard: Shard) -> Tensor:
        """This round's samples of a class."""
        of_class = replace(task, shard=shard)
        return next(of_class.batches(self.batch_size, 1, f", class {c}", drop_last=self.drop_last))

    def answer(self, task: Task, gradients: Sequence[Tensor], losses: Sequence[float | Tensor]) -> Answer:
        state = {
            key("momentum", c): self._blend(gradient, task.state.get(key("momentum", c)))
            for c, gradient in zip(task.shard.by_class(), gradients, strict=True)
        }
        sent = _copied(state.get(key("momentum", task.context.group)))
        return Answer(row=sent, loss=sum(losses) / len(losses), state=state)

    def _blend(self, gradient: Tensor, momentum: Tensor | None) -> Tensor:
        fresh, kept = 1 - self.beta, self.beta
        if self.order == "printed":
            fresh, kept = kept, fresh
        blended = gradient * fresh
        if momentum is not None:
            blended.add_(momentum.to(blended), alpha=kept)
        return blended


def _copied(momentum: Tensor | None) -> Tensor | None:
    """To send: whoever gets it may write to it."""
    return None if momentum is None else momentum.clone()
