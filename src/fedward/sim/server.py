"""The server's optimiser: what becomes of the aggregate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from ..registry.bounds import Decay, NotNegative, Positive
from ..registry.component import Component
from ..registry.entries import register


@register("sgd", paper="-")
@dataclass(frozen=True, kw_only=True)
class ServerSGD(Component):
    """Stochastic gradient descent with momentum and weight decay, on the aggregate as the gradient.

    v <- momentum v + (g + weight_decay w), w <- w - lr v, with v = g + weight_decay w in the first round: exactly
    `torch.optim.SGD`.

    Raises:
        ValueError: lr not positive, momentum outside [0, 1), or negative weight decay.
    """

    kind: ClassVar[str] = "server"

    lr: Positive = 0.1
    momentum: Decay = 0.0
    weight_decay: NotNegative = 0.0

    def step(self, parameters: Tensor, gradient: Tensor, velocity: Tensor | None) -> tuple[Tensor, Tensor]:
        """New parameters and velocity, (d,) each; the old ones stay as they are."""
        direction = gradient.add(parameters, alpha=self.weight_decay)
        velocity = direction if velocity is None else direction.add_(velocity, alpha=self.momentum)
        return parameters.sub(velocity, alpha=self.lr), velocity
