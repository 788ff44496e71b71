"""The server's optimiser: what becomes of the aggregate."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from torch import Tensor

from ..core import State
from ..registry.bounds import LARGEST, AtLeast, AtMost, Decay, Rate
from ..registry.component import Component
from ..registry.entries import register
from ..training.schedules import LearningRates, rate


@dataclass(frozen=True, eq=False, kw_only=True)
class Moved:
    """What a server's step leads to.

    Attributes:
        parameters: the new ones, (d,).
        velocity: the direction that they moved in, (d,), with the sign of a gradient: attacks that follow the model
            see it, and momentum remembers it.
        state: what else the optimiser remembers.
    """

    parameters: Tensor
    velocity: Tensor
    state: State = field(default_factory=dict)


class Server(Component):
    """The server's optimiser. A subclass is a frozen dataclass, has a learning rate, and defines `move`."""

    kind: ClassVar[str] = "server"

    lr: float

    @abstractmethod
    def move(self, parameters: Tensor, gradient: Tensor, velocity: Tensor | None, state: State, round: int) -> Moved:
        """Where the aggregate leads to. Pure: what is given stays as it is.

        Args:
            parameters: the model's, (d,).
            gradient: the aggregate, (d,); of clients that send deltas its negative.
            velocity, state: as the last round's `Moved`; None and empty in the first.
            round: 0 the first.
        """

    def rate(self, round: int) -> float:
        """The learning rate of a round, for rules that try steps as well."""
        return self.lr


@register("sgd", paper="-")
@dataclass(frozen=True, kw_only=True)
class ServerSGD(Server):
    """Stochastic gradient descent with momentum and weight decay, on the aggregate as the gradient.

    v <- momentum v + (g + weight_decay w), w <- w - lr v, with v = g + weight_decay w in the first round: exactly
    `torch.optim.SGD`.

    Args:
        lr: the learning rate, where there is no schedule.
        momentum, weight_decay: see above.
        schedule: of the learning rate; it stays if None.

    Raises:
        ValueError: lr not positive or beyond float32, momentum outside [0, 1), or negative weight decay.
    """

    lr: Rate = 0.1
    momentum: Decay = 0.0
    weight_decay: Annotated[float, AtLeast(0), AtMost(LARGEST)] = 0.0
    schedule: LearningRates | None = None

    def rate(self, round: int) -> float:
        return rate(self.lr, self.schedule, round)

    def step(
        self, parameters: Tensor, gradient: Tensor, velocity: Tensor | None, lr: float | None = None
    ) -> tuple[Tensor, Tensor]:
        """New parameters and velocity, (d,) each; the old ones stay as they are."""
        direction = gradient.add(parameters, alpha=self.weight_decay)
        velocity = direction if velocity is None else direction.add_(velocity, alpha=self.momentum)
        return parameters.sub(velocity, alpha=self.lr if lr is None else lr), velocity

    def move(self, parameters: Tensor, gradient: Tensor, velocity: Tensor | None, state: State, round: int) -> Moved:
        if self.schedule is None:  # as a subclass may define `step` that knows of no other learning rate
            moved = self.step(parameters, gradient, velocity)
        else:
            moved = self.step(parameters, gradient, velocity, self.rate(round))
        return Moved(parameters=moved[0], velocity=moved[1])
