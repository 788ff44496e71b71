"""The server's optimiser: what becomes of the aggregate."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..registry.parameters import check_parameters


@dataclass(frozen=True, kw_only=True)
class ServerSGD:
    """Stochastic gradient descent with momentum and weight decay, on the aggregate as the gradient.

    v <- momentum v + (g + weight_decay w), w <- w - lr v, with v = g + weight_decay w in the first round: exactly
    `torch.optim.SGD`.

    Raises:
        ValueError: lr not positive, momentum outside [0, 1), or negative weight decay.
    """

    lr: float = 0.1
    momentum: float = 0.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        check_parameters(self)
        if not (self.lr > 0 and 0 <= self.momentum < 1 and self.weight_decay >= 0):
            raise ValueError(f"lr > 0, 0 <= momentum < 1 and weight_decay >= 0 are needed, got {self!r}")

    def step(self, parameters: Tensor, gradient: Tensor, velocity: Tensor | None) -> tuple[Tensor, Tensor]:
        """New parameters and velocity, (d,) each; the old ones stay as they are."""
        direction = gradient.add(parameters, alpha=self.weight_decay)
        velocity = direction if velocity is None else direction.add_(velocity, alpha=self.momentum)
        return parameters.sub(velocity, alpha=self.lr), velocity
