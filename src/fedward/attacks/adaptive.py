"""`Maximise`: an attack whose parameter is searched against the defence itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from math import sqrt

import torch
from torch import Tensor

from ..registry import register
from ..rule import BoundError, Plan, State
from ..stack import Joined, Updates
from .base import Attack, View
from .optimised import Deviation


@dataclass(frozen=True, eq=False)
class Trial:
    """What the defence made of one candidate: its plan on the honest rows with the forged ones below them."""

    plan: Plan
    stack: Updates
    honest: int

    def weights(self) -> Tensor | None:
        """Weights of the stack's rows; None where the rule works on columns."""
        return None if self.plan.weights is None else self.plan.updates.to_clients(self.plan.weights)

    def products(self) -> tuple[float, float, float]:
        """<output, output>, <output, mean> and <mean, mean> with the mean of the honest rows; no data if weights do."""
        mean = torch.zeros(self.stack.n, dtype=torch.float64)
        mean[: self.honest] = 1 / self.honest
        weights = self.weights()
        if weights is not None and self.plan.updates.d == self.stack.d and not _has_rows_of_its_own(self.plan):
            K = self.stack.gram()
            return float(weights @ K @ weights), float(weights @ K @ mean), float(mean @ K @ mean)
        output, centre = self.plan.execute().double(), self.stack.combine(mean).double()
        return float(output @ output), float(output @ centre), float(centre @ centre)


def _has_rows_of_its_own(plan: Plan) -> bool:
    """Whether some weight lies on rows that are no client's."""
    assert plan.weights is not None
    ones = torch.ones(plan.updates.n, dtype=torch.float64)
    return plan.updates.to_clients(ones).numel() < plan.updates.n


def accepted(trial: Trial) -> float:
    """Share of the forged rows that got weight; for rules on columns, 1."""
    weights = trial.weights()
    return 1.0 if weights is None else float((weights[trial.honest :] > 0).double().mean())


def distance(trial: Trial) -> float:
    """Distance of the output from the mean of the honest rows."""
    oo, om, mm = trial.products()
    return sqrt(max(oo - 2 * om + mm, 0.0))


def regress(trial: Trial) -> float:
    """Negative progress along the honest mean: -<output, mean> / |mean|^2."""
    _, om, mm = trial.products()
    return -om / mm if mm > 0 else 0.0


OBJECTIVES: dict[str, Callable[[Trial], float]] = {"accepted": accepted, "distance": distance, "regress": regress}


@register("maximise", paper="Shejwalkar & Houmansadr 2021", example={"attack": Deviation(), "over": "gamma"})
@dataclass(frozen=True)
class Maximise(Attack):
    """Play an attack with the value of one parameter that does most harm against the server's actual rule.

    ``Maximise(attacks.IPM, over="epsilon", bounds=(0, 10))``: every candidate is shown to the defence's pure `decide`,
    and the best one is sent; of equal ones the largest value. ``candidates`` values are spread over the bounds, then as
    many again around the best. Candidates that are mixes of the same rows share their statistics: for a rule that
    decides from inner products, forty cost one pass. An adversary who knows the rule and every honest row.

    Args:
        attack: the attack, or its class.
        over: the parameter.
        bounds: its least and greatest value.
        objective: "distance" of the output from the honest mean; "regress", progress the other way along it;
            "accepted", share of the forged rows that get weight, then the largest value.
        candidates: in each of the two rounds of the search.

    Raises:
        ValueError: no such parameter, objective or bounds. At `forge`, that the defence is not known.
    """

    attack: Attack | type[Attack]
    over: str = field(kw_only=True)
    bounds: tuple[float, float] = field(default=(0.0, 10.0), kw_only=True)
    objective: str = field(default="distance", kw_only=True)
    candidates: int = field(default=20, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.attack, type):
            object.__setattr__(self, "attack", self.attack())
        object.__setattr__(self, "bounds", tuple(self.bounds))
        valid = [f.name for f in fields(self.inner)]  # type: ignore[arg-type]  # attacks are dataclasses
        if self.over not in valid:
            raise ValueError(
                f"{type(self.attack).__name__} has no {self.over!r} to search over, only {', '.join(valid)}"
            )
        if self.objective not in OBJECTIVES:
            raise ValueError(f"objective is one of {', '.join(OBJECTIVES)}, got {self.objective!r}")
        if not (len(self.bounds) == 2 and self.bounds[0] < self.bounds[1]) or self.candidates < 2:
            raise ValueError(f"bounds (low, high) with low < high and candidates >= 2 are needed, got {self!r}")

    @property
    def inner(self) -> Attack:
        """The attack that is searched."""
        assert isinstance(self.attack, Attack)
        return self.attack

    @property
    def history(self) -> bool:  # type: ignore[override]  # a class variable elsewhere
        return self.inner.history

    def forge(self, view: View) -> Updates:
        return self.best(view)[0].forge(view)

    def advance(self, view: View, forged: Tensor) -> State:
        return self.inner.advance(view, forged)

    def best(self, view: View) -> tuple[Attack, float, float]:
        """The attack to play, its parameter's value, and what the objective says of it."""
        if view.decide is None:
            return self._with(self.bounds[1]), self.bounds[1], float("nan")
        low, high = self.bounds
        step = (high - low) / (self.candidates - 1)
        value, found = self._search(view, [low + k * step for k in range(self.candidates)])
        fine = 2 * step / (self.candidates + 1)
        around = [value - step + (k + 1) * fine for k in range(self.candidates)]
        other, better = self._search(view, [v for v in around if low <= v <= high])
        if (better, other) > (found, value):
            value, found = other, better
        return self._with(value), value, found

    def _with(self, value: float) -> Attack:
        return replace(self.inner, **{self.over: value})  # type: ignore[type-var]

    def _search(self, view: View, values: Sequence[float]) -> tuple[float, float]:
        scored = [(round(self._score(view, value), 12), value) for value in values]
        found, value = max(scored)
        return value, found

    def _score(self, view: View, value: float) -> float:
        assert view.decide is not None
        stack = Joined.of(view.honest, self._with(value).forge(view), (*view.honest.ids, *view.own.ids))
        try:
            plan = view.decide(stack)
        except BoundError:
            return -float("inf")
        return OBJECTIVES[self.objective](Trial(plan, stack, view.honest.n))
