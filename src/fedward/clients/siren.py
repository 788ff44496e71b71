"""SIREN's client: it compares the server's model with its own on data that it holds out, and raises an alarm."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import Annotated, Literal, get_args

import torch

from ..core import WHOLE
from ..core.state import placed, within
from ..registry.bounds import Above, Below, Share
from ..registry.entries import register
from .base import Answer, Client, Shard, Task, WithInner
from .local import LocalSGD
from .model import LocalModel

AlarmVariant = Literal["tolerant", "printed", "official"]
VARIANTS = get_args(AlarmVariant)


@register("siren-client", paper="Guo et al. 2021", example={"inner": LocalSGD(batch_size=60)})
@dataclass(frozen=True, kw_only=True)
class Siren(WithInner):
    """Raise the alarm where the server's model does worse than the client's own last one; train on from the better.

    With w the accuracy of the server's model g_t and w_i that of the client's last local model, both on samples that
    the client never trains on: alarm if w_i - w > tolerance. Without alarm it trains from g_t, with it from its own
    model; in both cases it sends the change from g_t, and says ``{"alarm": bool}``. Guo, Wang et al., "SIREN:
    Byzantine-robust federated learning via proactive alarming", SoCC 2021, Algorithm 1.

    ``variant="printed"`` is Algorithm 1 to the letter: alarm unless w - w_i >= tolerance, which alarms at every server
    that is not 4 points better. ``variant="official"`` is the authors' code: alarm if w_i > w + tolerance w_i.

    Args:
        inner: how it trains; it must send deltas.
        tolerance: the paper's client threshold C_c.
        held_out: share of the client's samples that it tests on, rounded up; drawn by the seed, the same in every
            round. The authors' code takes the first ones.
        variant: "tolerant", "printed" or "official".

    Raises:
        ValueError: parameters out of bounds, an inner algorithm that sends gradients, or a client with one sample.
    """

    inner: Client
    tolerance: Share = 0.04
    held_out: Annotated[float, Above(0), Below(1)] = 0.1
    variant: AlarmVariant = "tolerant"
    declared = replace(WHOLE, sends="delta", talks=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.inner.traits().sends != "delta":
            raise ValueError(f"a model of its own comes of local training, such as local-sgd, not of {self.inner!r}")
        if self.inner.traits().by_class:
            raise ValueError(f"{self.inner!r} answers for the class of the round, and a model of its own is for all")

    def epochs_per_round(self, shard: Shard) -> float | None:
        return self.inner.epochs_per_round(shard.part(torch.arange(len(shard) - self._held_out(len(shard)))))

    def work(self, model: LocalModel, task: Task) -> Answer:
        training, test = self._split(task)
        alarm = "own" in task.state and self._alarmed(model, task, test)
        begin = replace(task, shard=training, state=within(task.state, "inner"))
        if alarm:
            begin = replace(begin, parameters=task.state["own"], buffers=task.state.get("own buffers", task.buffers))
        model.load(begin.parameters, begin.buffers)
        model.train()
        answer = self.inner.work(model, begin)
        assert answer.row is not None
        own = begin.parameters + answer.row
        state = placed({"own": own}, "inner", answer.state)
        if task.buffers is not None:
            state["own buffers"] = model.read_buffers()
        return replace(answer, row=own - task.parameters, state=state, messages={**answer.messages, "alarm": alarm})

    def _split(self, task: Task) -> tuple[Shard, Shard]:
        """What it trains on, and what it tests on."""
        size = len(task.shard)
        count = self._held_out(size)
        if count >= size:
            raise ValueError(
                f"client {task.client} has {size} samples and is to hold out {count} of them, which leaves none to "
                "train on: use fewer clients or a smaller held_out"
            )
        generator = replace(task.context, round=0).generator(f"held out by client {task.client}")
        order = torch.randperm(size, generator=generator)
        return task.shard.part(order[count:].sort().values), task.shard.part(order[:count])

    def _held_out(self, size: int) -> int:
        return ceil(round(self.held_out * size, 6))

    def _alarmed(self, model: LocalModel, task: Task, test: Shard) -> bool:
        inputs, labels = test.take()
        model.load(task.parameters, task.buffers)
        server = model.evaluate(inputs, labels).accuracy
        model.load(task.state["own"], task.state.get("own buffers", task.buffers))
        own = model.evaluate(inputs, labels).accuracy
        return raises_alarm(server, own, self.tolerance, self.variant)


def raises_alarm(server: float, own: float, tolerance: float, variant: str = "tolerant") -> bool:
    """Whether a client with these accuracies of the server's model and of its own raises the alarm."""
    slack = 1e-9  # accuracies are fractions of few samples: a difference of exactly 4 points must not hang on rounding
    if variant == "printed":
        return server - own < tolerance - slack
    if variant == "official":
        return own > server + tolerance * own + slack
    return own - server > tolerance + slack
