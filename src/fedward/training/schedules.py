"""`LearningRates`: the learning rate as a function of the round alone, so that nothing has to be remembered."""

from __future__ import annotations

import ast
import inspect
import warnings
from abc import abstractmethod
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from math import cos, pi
from typing import Annotated, Any, ClassVar

import torch

from ..registry.bounds import Above, AtMost, Count, NotNegative, Positive
from ..registry.component import Component
from ..registry.entries import register
from ..registry.naming import unknown


class LearningRates(Component):
    """Learning rates by round. A subclass is a frozen dataclass."""

    kind: ClassVar[str] = "schedule"

    @abstractmethod
    def at(self, lr: float, round: int) -> float:
        """The learning rate of a round, 0 the first, where it would be ``lr`` without a schedule."""


def rate(lr: float, schedule: LearningRates | None, round: int) -> float:
    """The learning rate of a round, with a schedule or without one."""
    return lr if schedule is None else schedule.at(lr, round)


@register("multi-step", example={"milestones": (100, 150)})
@dataclass(frozen=True, kw_only=True)
class MultiStep(LearningRates):
    """lr gamma^k after k of the milestones, as `torch.optim.lr_scheduler.MultiStepLR`.

    Args:
        milestones: rounds from which on the rate is smaller, in order; the first round is 0.
        gamma: what it is multiplied by at each.

    Raises:
        ValueError: gamma not positive, or milestones that do not grow.
    """

    milestones: tuple[Count, ...]
    gamma: Positive = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"multi-step: milestones are rounds that grow, got {self.milestones}")

    def at(self, lr: float, round: int) -> float:
        return lr * self.gamma ** bisect_right(self.milestones, round)


@register("cosine", paper="Loshchilov & Hutter 2017", example={"rounds": 200})
@dataclass(frozen=True, kw_only=True)
class Cosine(LearningRates):
    """least + (lr - least) (1 + cos(pi t / rounds)) / 2, and ``least`` after that: half a wave without restarts.

    Loshchilov & Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017, equation 5.

    Args:
        rounds: from the largest rate to the least.
        least: at the end.

    Raises:
        ValueError: fewer than one round, or a negative rate.
    """

    rounds: Count
    least: NotNegative = 0.0

    def at(self, lr: float, round: int) -> float:
        return self.least + (lr - self.least) * (1 + cos(pi * min(round / self.rounds, 1.0))) / 2


@register("warm-up", paper="Goyal et al. 2017", example={"rounds": 5})
@dataclass(frozen=True, kw_only=True)
class WarmUp(LearningRates):
    """From a share of lr to lr in equal steps, then another schedule from its beginning.

    Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", 2017, section 2.2.

    Args:
        rounds: until lr is reached.
        begin: share of it that the first round has.
        then: what follows; lr stays if None.

    Raises:
        ValueError: parameters out of bounds.
    """

    rounds: Count
    begin: Annotated[float, Above(0), AtMost(1)] = 0.1
    then: LearningRates | None = None

    def at(self, lr: float, round: int) -> float:
        if round < self.rounds:
            return lr * (self.begin + (1 - self.begin) * round / self.rounds)
        return rate(lr, self.then, round - self.rounds)


@register("torch-schedule", example={"of": "StepLR", "arguments": "step_size=30"})
@dataclass(frozen=True, kw_only=True)
class TorchSchedule(LearningRates):
    """Any schedule of `torch.optim.lr_scheduler` by its name there, stepped once a round.

    ``torch-schedule:of=StepLR,arguments='step_size=30,gamma=0.5'``. Momentum stays as it is, also where the
    schedule would change it.

    Args:
        of: name of the class.
        arguments: its own, as they stand in a call by name: numbers, texts, lists.

    Raises:
        ValueError: there is no such schedule, it needs to see losses, or it does not take these arguments.
    """

    of: str
    arguments: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        _rates(self.of, self.arguments, 0.1, 1)

    def at(self, lr: float, round: int) -> float:
        # As many as the next power of two: not all of them anew in every round.
        return _rates(self.of, self.arguments, lr, 1 << (round + 1).bit_length())[round]


@lru_cache(maxsize=64)
def _rates(name: str, arguments: str, lr: float, rounds: int) -> tuple[float, ...]:
    """The rates of the first rounds; where the schedule is over, its last one goes on."""
    optimizer = torch.optim.SGD([torch.zeros((), requires_grad=True)], lr, momentum=0.9)
    maker = _class(name)
    found: list[float] = []
    try:
        with warnings.catch_warnings(action="ignore"):  # schedules that are over say so
            scheduler = maker(optimizer, **_called_with(arguments))
            while len(found) < rounds:
                found.append(float(optimizer.param_groups[0]["lr"]))
                optimizer.step()
                scheduler.step()
    except Exception as error:  # whatever the schedule trips over
        over = len(found) > 1 and isinstance(error, ValueError)  # which schedules that end say by such an error
        if not over:
            raise ValueError(f"torch-schedule: {name} does not take {arguments!r}: {error}") from error
        # The error comes one step late: the last rate is one after the end, at which OneCycleLR climbs again.
        found.pop()
    return (*found, *[found[-1]] * (rounds - len(found)))


def _called_with(text: str) -> dict[str, Any]:
    call = ast.parse(f"f({text})", mode="eval").body
    if not isinstance(call, ast.Call) or call.args:
        raise ValueError("write arguments by name, such as step_size=30,gamma=0.5")
    return {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}


def _class(name: str) -> Any:
    schedules = torch.optim.lr_scheduler
    known = [
        key
        for key, value in vars(schedules).items()
        if inspect.isclass(value) and issubclass(value, schedules.LRScheduler) and value is not schedules.LRScheduler
    ]
    usable = sorted({key for key in known if not key.startswith("_")} - {"ReduceLROnPlateau"})
    if name not in usable:
        raise ValueError(unknown("schedule of PyTorch", name, usable))
    return getattr(schedules, name)
