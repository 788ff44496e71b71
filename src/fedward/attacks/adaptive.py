"""`Maximise`: an attack whose parameter is searched against the defence itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from math import inf, isfinite, isnan, sqrt
from typing import Annotated, Literal

import torch
from torch import Tensor

from ..core import WHOLE, BoundError, Plan
from ..registry.bounds import AtLeast, AtMost
from ..registry.entries import register
from ..registry.parameters import parameters_of
from ..stack import Updates, parts
from .base import Around, Attack, View
from .optimised import Deviation


@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """What the defence made of one candidate: its plan on the honest rows with the forged ones below them."""

    plan: Plan
    stack: Updates
    honest: int

    def weights(self) -> Tensor | None:
        """Weights of the stack's rows; None where the rule works on columns."""
        return None if self.plan.weights is None else self.plan.updates.to_clients(self.plan.weights)

    def admits(self) -> bool:
        """Whether a forged row takes part in the output: with a weight, or as a row that columns are made of."""
        weights = self.plan.weights
        if weights is None:
            weights = torch.ones(self.plan.updates.n, dtype=torch.float64)
        return bool((self.plan.updates.to_clients(weights)[self.honest :] > 0).any())

    def products(self) -> tuple[float, float, float]:
        """<output, output>, <output, mean> and <mean, mean> with the mean of the honest rows; no data if weights do."""
        mean = torch.zeros(self.stack.n, dtype=torch.float64)
        mean[: self.honest] = 1 / self.honest
        weights = self.weights()
        if weights is not None and not _weighs_rows_of_its_own(self.plan, self.stack):
            K = self.stack.gram()
            return float(weights @ K @ weights), float(weights @ K @ mean), float(mean @ K @ mean)
        output = self.plan.execute().double()
        centre = self.stack.combine(mean).double()
        return float(output @ output), float(output @ centre), float(centre @ centre)


def tried(view: View, attack: Attack) -> Trial | None:
    """What the defence, which must be known, makes of an attack's rows; None where the server would skip the round."""
    assert view.decide is not None
    stack = view.sent(attack.forged(view))
    try:
        plan = view.decide(stack)
    except BoundError:
        return None
    return Trial(plan=plan, stack=stack, honest=view.honest.n)


def _weighs_rows_of_its_own(plan: Plan, clients: Updates) -> bool:
    """Whether some weight lies on rows that are no client's: a previous aggregate, noise."""
    assert plan.weights is not None
    return any(
        root is not clients and bool((plan.weights @ weights).any()) for root, weights in parts(plan.updates).items()
    )


def accepted(trial: Trial) -> float:
    """Share of the forged rows that are accepted: with weight, or with a say in what is made of the columns."""
    return float(trial.plan.accepted()[trial.honest :].double().mean())


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
class Maximise(Around):
    """Play an attack with the value of one parameter that does most harm against the server's actual rule.

    ``Maximise(attacks.IPM, over="epsilon", bounds=(0, 10))``: every candidate is shown to the defence's pure `decide`,
    and the best one is sent; of equal ones the largest value. ``candidates`` values are spread over the bounds, then as
    many around the best, ``zooms`` times, each time closer. Candidates that are mixes of the same rows share
    their statistics: for a rule that decides from inner products, forty cost one pass. An adversary who knows the rule
    and every honest row; where the rule is not known, the upper bound is played.

    Shows: the worst that one parameter of an attack does to the very rule in use; what to quote when a rule is said
    to withstand an attack.

    Args:
        attack: the attack, or its class.
        over: the parameter, a number.
        bounds: its least and greatest value.
        objective: "distance" of the output from the honest mean; "regress", progress the other way along it;
            "accepted", share of the forged rows that the rule accepts, then the largest value.
        candidates: in each round of the search, at least 2.
        zooms: rounds after the first.

    Raises:
        ValueError: not an attack, no such parameter or objective, or bounds that it cannot take.
    """

    attack: Attack | type[Attack]  # the only one without its name, as in the example above
    _: KW_ONLY
    over: str
    bounds: tuple[float, float] = (0.0, 10.0)
    objective: Literal["accepted", "distance", "regress"] = "distance"
    candidates: Annotated[int, AtLeast(2), AtMost(10_000)] = 20
    zooms: Annotated[int, AtLeast(0), AtMost(100)] = 2
    declared = replace(WHOLE, knows="honest")

    def __post_init__(self) -> None:
        if isinstance(self.attack, type) and issubclass(self.attack, Attack):
            object.__setattr__(self, "attack", self.attack())
        super().__post_init__()
        self._check_range()

    def _check_range(self) -> None:
        numbers = [name for name, parameter in parameters_of(type(self.inner)).items() if parameter.numbers]
        if self.over not in numbers:
            valid = ", ".join(numbers) or "none"
            raise ValueError(f"{type(self.inner).__name__} has no number {self.over!r} to search over, only {valid}")
        low, high = self.bounds
        if not (isfinite(low) and isfinite(high) and low < high):
            raise ValueError(f"bounds are two finite numbers (low, high) with low < high, got bounds={self.bounds!r}")
        for bound in self.bounds:
            self._with(bound)  # what the attack cannot take, it says now and not in the middle of a run

    @property
    def inner(self) -> Attack:  # type: ignore[override]  # an attribute elsewhere
        """The attack that is searched."""
        assert isinstance(self.attack, Attack)  # no class any more, and checked
        return self.attack

    def forge(self, view: View) -> Updates:
        return self.best(view)[0].forged(view)

    def best(self, view: View) -> tuple[Attack, float, float]:
        """The attack to play, its parameter's value, and what the objective says of it: NaN if the rule is unknown."""
        low, high = self.bounds
        if view.decide is None:
            return self._with(high), high, float("nan")
        step = (high - low) / (self.candidates - 1)
        grid = [min(low + k * step, high) for k in range(self.candidates)]  # rounding would overstep what may be
        scores = {value: self._score(view, value) for value in grid}
        for _ in range(self.zooms):
            # The best value's two neighbours were tried already: as many new ones lie between them.
            value = _best(scores)
            fine = 2 * step / (self.candidates + 1)
            grid = [value - step + (k + 1) * fine for k in range(self.candidates)]
            scores |= {v: self._score(view, v) for v in grid if low <= v <= high and v not in scores}
            step = fine
        value = _best(scores)
        return self._with(value), value, scores[value]

    def _with(self, value: float) -> Attack:
        return replace(self.inner, **{self.over: value})

    def _score(self, view: View, value: float) -> float:
        trial = tried(view, self._with(value))
        if trial is None:
            return -inf
        found = OBJECTIVES[self.objective](trial)
        return -inf if isnan(found) else found  # a model that has diverged already cannot be harmed


def _best(scores: Mapping[float, float]) -> float:
    """The largest of the values that do most harm; what rounding tells apart counts as equal."""
    most = max(scores.values())
    slack = 1e-12 * abs(most) if isfinite(most) else 0.0
    return max(value for value, found in scores.items() if found >= most - slack)
