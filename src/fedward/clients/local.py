"""Clients without memory: one gradient, or some steps of training."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..core import Traits
from ..registry.bounds import Count, Decay, NotNegative, Positive, Share
from ..registry.entries import register
from ..training.schedules import LearningRates
from .base import Answer, Client, Samples, Shard, Task, batches_per_epoch, share_of
from .model import LocalModel


@register("gradient", paper="-", example={"batch_size": 60})
@dataclass(frozen=True, kw_only=True)
class Gradient(Client):
    """One gradient of the cross-entropy on one mini-batch, at the server's parameters.

    Each client walks through its own shard in a fresh random order every epoch; a shard smaller than a batch is one
    batch.

    Args:
        batch_size: samples in a batch, at least 1.
        drop_last: whether a last batch of an epoch that would be short is left out; if not, it is a batch as it is.
        smoothing: share of each label that is spread over all classes.
        clip: the gradient's norm at most; any if None.

    Raises:
        ValueError: batch_size below 1.
    """

    batch_size: Count
    drop_last: bool = True
    smoothing: Share = 0.0
    clip: Positive | None = None
    declared = Traits(sends="gradient")

    def label_smoothing(self) -> float:
        return self.smoothing

    def epochs_per_round(self, shard: Shard) -> float:
        return share_of(self.batch_size, shard, drop_last=self.drop_last)

    def asks(self, task: Task) -> list[Samples]:
        return [(task.shard, next(task.batches(self.batch_size, 1, drop_last=self.drop_last)))]

    def answer(self, task: Task, gradients: Sequence[Tensor], losses: Sequence[float | Tensor]) -> Answer:
        row = gradients[0]
        if self.clip is not None:
            row.mul_((self.clip / torch.linalg.vector_norm(row)).clamp(max=1))
        return Answer(row=row, loss=losses[0])


@register("local-sgd", paper="McMahan et al. 2017", example={"batch_size": 60})
@dataclass(frozen=True, kw_only=True)
class LocalSGD(Client):
    """Train for some epochs or steps from the server's parameters, and send the change of the parameters.

    The optimiser is PyTorch's, and starts without memory in every round; epochs are walked through as in `Gradient`.
    McMahan, Moore, Ramage, Hampson & y Arcas, "Communication-efficient learning of deep networks from decentralized
    data", AISTATS 2017.

    Args:
        batch_size: samples in a batch, at least 1.
        epochs: passes through the client's data; one if neither this nor ``steps`` is given.
        steps: batches, in place of epochs.
        optimizer: "sgd", "adam" or "adamw".
        lr, momentum, weight_decay: the optimiser's; momentum is SGD's alone.
        drop_last: as in `Gradient`. PyTorch's loaders keep a short last batch unless told otherwise, and so does much
            published code. A model that normalises over batches cannot train on a batch of a single sample.
        schedule: of the learning rate, by rounds; it stays if None.
        smoothing, clip: as in `Gradient`, clip of every step's gradient.

    Raises:
        ValueError: parameters out of these bounds, or both epochs and steps.
    """

    batch_size: Count
    epochs: Count | None = None
    steps: Count | None = None
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: Positive = 0.01
    momentum: Decay = 0.0
    weight_decay: NotNegative = 0.0
    drop_last: bool = True
    schedule: LearningRates | None = None
    smoothing: Share = 0.0
    clip: Positive | None = None
    declared = Traits(sends="delta")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epochs is not None and self.steps is not None:
            raise ValueError(f"local training is counted in epochs or in steps, got {self.epochs} and {self.steps}")
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(f"momentum belongs to sgd, {self.optimizer} has its own: leave it out")

    def epochs_per_round(self, shard: Shard) -> float:
        if self.steps is None:
            return float(self.epochs or 1)
        return self.steps * share_of(self.batch_size, shard, drop_last=self.drop_last)

    def label_smoothing(self) -> float:
        return self.smoothing

    def work(self, model: LocalModel, task: Task) -> Answer:
        per_epoch = batches_per_epoch(self.batch_size, task.shard, drop_last=self.drop_last)
        count = self.steps or (self.epochs or 1) * per_epoch
        optimizer = self._optimizer(model, task.rate(self.lr, self.schedule))
        batches = task.batches(self.batch_size, count, drop_last=self.drop_last)
        total = train(model, task.shard, batches, optimizer, clip=self.clip, correct=self._correction(model, task))
        return Answer(row=change(model, task.parameters), loss=total / count)

    def _correction(self, model: LocalModel, task: Task) -> Callable[[], None] | None:
        """What is done to the gradients of every step; nothing if None."""
        return None

    def _optimizer(self, model: LocalModel, lr: float) -> torch.optim.Optimizer:
        fused = model.device.type in ("cpu", "cuda")
        if self.optimizer == "sgd":
            return torch.optim.SGD(
                model.parameters, lr, momentum=self.momentum, weight_decay=self.weight_decay, fused=fused
            )
        adaptive = torch.optim.Adam if self.optimizer == "adam" else torch.optim.AdamW
        return adaptive(model.parameters, lr, weight_decay=self.weight_decay, fused=fused)


def train(
    model: LocalModel,
    shard: Shard,
    batches: Iterable[Tensor],
    optimizer: torch.optim.Optimizer,
    *,
    clip: float | None = None,
    correct: Callable[[], None] | None = None,
) -> Tensor:
    """A step for each batch of the shard's samples; the sum of the losses.

    Args:
        model: trained in place.
        shard, batches: samples, by their numbers there.
        optimizer: of the model's parameters.
        clip: the norm of a step's gradient at most, after its correction.
        correct: what is done to the gradients of every step.
    """
    total = torch.zeros((), device=model.device)
    for places in batches:
        loss = model.loss(*shard.take(places))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        if correct is not None:
            correct()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters, clip)
        optimizer.step()
        total += loss.detach()
    optimizer.zero_grad()
    return total


def change(model: LocalModel, parameters: Tensor) -> Tensor:
    """How far a model has moved from these parameters: a new (d,) row."""
    return model.read().sub_(parameters)
