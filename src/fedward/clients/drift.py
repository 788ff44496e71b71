"""Against the drift of unlike clients: FedProx holds them near the server's model, SCAFFOLD corrects their steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import State, Traits
from ..registry.bounds import Count, NotNegative, Positive, Share
from ..registry.entries import register
from ..training.schedules import LearningRates, rate
from .base import Answer, Client, Shard, Task, share_of
from .local import LocalSGD, change, train
from .model import LocalModel


@register("fed-prox", paper="Li et al. 2020", example={"batch_size": 60})
@dataclass(frozen=True, kw_only=True)
class FedProx(LocalSGD):
    """Local training on the loss plus proximal / 2 ||w - w_t||^2, w_t the server's model; all else as `LocalSGD`.

    Li, Sahu, Zaheer, Sanjabi, Talwalkar & Smith, "Federated optimization in heterogeneous networks", MLSys 2020,
    equation 2.

    Args:
        proximal: the paper's mu, 0.001 to 1 there.

    Raises:
        ValueError: as `LocalSGD`, or a negative weight.
    """

    proximal: NotNegative = 0.01

    def _correction(self, model: LocalModel, task: Task) -> Callable[[], None] | None:
        begin = model.layout.unflatten(task.parameters)

        def pull() -> None:
            for parameter, start in zip(model.parameters, begin.values(), strict=True):
                if parameter.grad is not None:
                    parameter.grad.add_(parameter.detach() - start, alpha=self.proximal)

        return pull


@register("scaffold", paper="Karimireddy et al. 2020", example={"batch_size": 60})
@dataclass(frozen=True, kw_only=True)
class Scaffold(Client):
    """Local steps y <- y - lr (g(y) - c_i + c), with control variates c_i of the client and c of the server.

    With K steps from x to y: c_i <- c_i - c + (x - y) / (K lr), option II; the server's is
    c <- c + |S| / N mean(c_i's change), and since that change is -c - (y - x) / (K lr), it follows from the mean of
    the rows y - x that clients send. In place of that mean stands what the rule makes of them, so that byzantine
    clients have no second way in; under Mean it is the paper's algorithm. Karimireddy, Kale, Mohri, Reddi, Stich &
    Suresh, "SCAFFOLD: stochastic controlled averaging for federated learning", ICML 2020, Algorithm 1.

    Args:
        batch_size: samples in a batch, at least 1.
        steps: the paper's K, the same for all clients.
        lr, weight_decay: of the steps.
        schedule: of the learning rate, by rounds; it stays if None.
        smoothing: share of each label that is spread over all classes.
        drop_last: as in `LocalSGD`.

    Raises:
        ValueError: parameters out of bounds.
    """

    batch_size: Count
    steps: Count = 10
    lr: Positive = 0.01
    weight_decay: NotNegative = 0.0
    schedule: LearningRates | None = None
    smoothing: Share = 0.0
    drop_last: bool = True
    declared = Traits(sends="delta")

    def epochs_per_round(self, shard: Shard) -> float:
        return self.steps * share_of(self.batch_size, shard, drop_last=self.drop_last)

    def label_smoothing(self) -> float:
        return self.smoothing

    def work(self, model: LocalModel, task: Task) -> Answer:
        nothing = torch.zeros_like(task.parameters)
        own = task.state.get("control", nothing).to(nothing)
        server = task.told.get("control", nothing).to(nothing)
        shift = model.layout.unflatten(server - own)

        def correct() -> None:
            for parameter, part in zip(model.parameters, shift.values(), strict=True):
                if parameter.grad is not None:
                    parameter.grad.add_(part)

        lr = task.rate(self.lr, self.schedule)
        optimizer = torch.optim.SGD(model.parameters, lr, weight_decay=self.weight_decay)
        batches = task.batches(self.batch_size, self.steps, drop_last=self.drop_last)
        total = train(model, task.shard, batches, optimizer, correct=correct)
        row = change(model, task.parameters)
        control = (own - server).sub_(row, alpha=1 / (self.steps * lr)) if lr else own
        return Answer(row=row, loss=total / self.steps, state={"control": control})

    def tell(self, told: State, aggregate: Tensor, share: float, round: int) -> State:
        lr = rate(self.lr, self.schedule, round)
        if not lr:
            return told
        before = told.get("control", torch.zeros_like(aggregate)).to(aggregate)
        changed = before.neg().sub_(aggregate, alpha=1 / (self.steps * lr))
        return {"control": before.add(changed, alpha=share)}
