"""Server optimisers with memory of their own: FedAvgM, and FedAdagrad, FedAdam and FedYogi."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from ..core import State
from ..registry.bounds import Decay, Positive, Rate
from ..registry.entries import register
from ..training.schedules import LearningRates, rate
from .server import Moved, Server, ServerSGD


@register("fed-avg-m", paper="Hsu, Qi & Brown 2019")
@dataclass(frozen=True, kw_only=True)
class FedAvgM(ServerSGD):
    """Server momentum: v <- momentum v + g, w <- w - lr v, which is `ServerSGD` with the paper's values as defaults.

    Hsu, Qi & Brown, "Measuring the effects of non-identical data distribution for federated visual classification",
    2019. With clients that send deltas, lr 1 is FedAvg with momentum.
    """

    lr: Rate = 1.0
    momentum: Decay = 0.9


@dataclass(frozen=True, kw_only=True)
class _Adaptive(Server):
    """w <- w - lr m / (sqrt(v) + tau), m <- beta1 m + (1 - beta1) g, from m = 0 and v = tau^2; v by the subclass.

    Reddi et al., "Adaptive federated optimization", ICLR 2021, Algorithm 2, whose Delta is -g. Without correction of
    the first rounds' bias, as there.

    Args:
        lr: the server's learning rate, the paper's eta; 10^-2 to 1 in its experiments.
        beta1: of the mean.
        tau: how far it adapts, the larger the less.
        schedule: of the learning rate; it stays if None.

    Raises:
        ValueError: parameters out of bounds.
    """

    lr: Rate = 0.1
    beta1: Decay = 0.9
    tau: Positive = 1e-3
    schedule: LearningRates | None = None

    def rate(self, round: int) -> float:
        return rate(self.lr, self.schedule, round)

    def move(self, parameters: Tensor, gradient: Tensor, velocity: Tensor | None, state: State, round: int) -> Moved:
        before = state or {
            "mean": torch.zeros_like(gradient),
            "square": torch.full_like(gradient, self.tau**2),
        }
        mean = before["mean"].mul(self.beta1).add_(gradient, alpha=1 - self.beta1)
        # What has overflowed once would stay infinite, and its coordinate where it is for ever.
        square = self._squared(before["square"], gradient).clamp_(max=torch.finfo(gradient.dtype).max)
        direction = mean / square.sqrt().add_(self.tau)
        return Moved(
            parameters=parameters.sub(direction, alpha=self.rate(round)),
            velocity=direction,
            state={"mean": mean, "square": square},
        )

    @abstractmethod
    def _squared(self, square: Tensor, gradient: Tensor) -> Tensor:
        """v of this round, a new tensor."""


@register("fed-adagrad", paper="Reddi et al. 2021")
@dataclass(frozen=True, kw_only=True)
class FedAdagrad(_Adaptive):
    """FedAdagrad: v <- v + g^2.

    w <- w - lr m / (sqrt(v) + tau), m <- beta1 m + (1 - beta1) g. Reddi et al., "Adaptive federated optimization",
    ICLR 2021, Algorithm 2.

    Args:
        lr, beta1, tau, schedule: as in `FedAdam`.
    """

    beta1: Decay = 0.0

    def _squared(self, square: Tensor, gradient: Tensor) -> Tensor:
        return square.addcmul(gradient, gradient)


@register("fed-adam", paper="Reddi et al. 2021")
@dataclass(frozen=True, kw_only=True)
class FedAdam(_Adaptive):
    """FedAdam: v <- beta2 v + (1 - beta2) g^2.

    w <- w - lr m / (sqrt(v) + tau), m <- beta1 m + (1 - beta1) g, from m = 0 and v = tau^2, without correction of the
    first rounds' bias. Reddi et al., "Adaptive federated optimization", ICLR 2021, Algorithm 2.

    Args:
        lr: the server's learning rate, the paper's eta.
        beta1: of the mean.
        beta2: of the squares.
        tau: how far it adapts, the larger the less.
        schedule: of the learning rate; it stays if None.

    Raises:
        ValueError: parameters out of bounds.
    """

    beta2: Decay = 0.99

    def _squared(self, square: Tensor, gradient: Tensor) -> Tensor:
        return square.mul(self.beta2).addcmul_(gradient, gradient, value=1 - self.beta2)


@register("fed-yogi", paper="Reddi et al. 2021")
@dataclass(frozen=True, kw_only=True)
class FedYogi(_Adaptive):
    """FedYogi: v <- v - (1 - beta2) g^2 sign(v - g^2).

    w <- w - lr m / (sqrt(v) + tau), m <- beta1 m + (1 - beta1) g, from m = 0 and v = tau^2. Reddi et al., "Adaptive
    federated optimization", ICLR 2021, Algorithm 2.

    Args:
        lr, beta1, beta2, tau, schedule: as in `FedAdam`.
    """

    beta2: Decay = 0.99

    def _squared(self, square: Tensor, gradient: Tensor) -> Tensor:
        new = gradient.square()
        return square.sub((square - new).sign_().mul_(new), alpha=1 - self.beta2)
