"""Min-Max and Min-Sum tailored to the server's rule: it is asked how far rows may stray, in the place of distances."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isnan
from typing import Literal

from ..registry.bounds import Positive
from ..registry.entries import register
from ..stack import Updates
from .adaptive import distance, tried
from .base import Attack, View
from .optimised import Deviation, Directed, MinMax, MinSum

_SAME = 1e-9  # harm that grows by a smaller share has not grown


@dataclass(frozen=True, kw_only=True)
class _Tailored(Directed):
    """`Deviation` with the gamma that a search by halving finds against the rule, or that of an agnostic attack."""

    knows: Literal["honest", "all"] = "honest"
    start: Positive = 10.0
    tolerance: Positive = 1e-5

    @property
    @abstractmethod
    def agnostic(self) -> Attack:
        """What an adversary sends who does not know the rule."""

    def forge(self, view: View) -> Updates:
        return self.best(view)[0].forged(view)

    def best(self, view: View) -> tuple[Attack, float]:
        """The attack to play, and its harm: NaN if the rule is unknown, -inf if it admits no forged row."""
        if view.decide is None:
            return self.agnostic, float("nan")
        gamma, most = most_harmful(lambda gamma: harm(view, self._at(gamma)), self.start, self.tolerance)
        without = harm(view, self.agnostic)
        if gamma == 0 or without > most * (1 + _SAME):
            return self.agnostic, without
        return self._at(gamma), most

    def _at(self, gamma: float) -> Deviation:
        return Deviation(direction=self.direction, ddof=self.ddof, knows=self.knows, gamma=gamma)


def harm(view: View, attack: Attack) -> float:
    """Distance of the output from the mean of the honest rows; -inf where no forged row has a part in the output."""
    trial = tried(view, attack)
    if trial is None or not trial.admits():
        return -inf
    found = distance(trial)
    return -inf if isnan(found) else found  # a model that has diverged already cannot be harmed


def most_harmful(harm: Callable[[float], float], start: float, tolerance: float) -> tuple[float, float]:
    """The gamma that a search by halving ends at, from the best of start, start / 2, start / 4 ..., and its harm.

    Of those that do the same harm the largest is best. 0 if none does any.
    """
    tried: dict[float, float] = {}
    gamma = start
    while gamma > tolerance or not tried:  # a tolerance may be wider than the search
        tried[gamma] = harm(gamma)
        gamma /= 2
    best = max(tried.values())
    first = max(gamma for gamma, found in tried.items() if found >= best * (1 - _SAME))
    most = 0.0

    def succeeds(gamma: float) -> bool:
        nonlocal most
        found = tried[gamma] if gamma in tried else harm(gamma)
        if not found > most * (1 + _SAME):
            return False
        most = found
        return True

    return halved(succeeds, first, tolerance), most


def halved(succeeds: Callable[[float], bool], start: float, tolerance: float) -> float:
    """The last value that succeeded in a search by halving, 0 if none did.

    From ``start``, half of it upwards after a success and downwards after a failure, then a quarter, and so on, until
    the last success is within the tolerance: all between 0 and 2 start can be reached. The search of the code of
    Shejwalkar & Houmansadr 2021.
    """
    best = 0.0
    value = start
    step = start / 2
    while abs(best - value) > tolerance:
        if succeeds(value):
            best = value
            value += step
        else:
            value -= step
        step /= 2
    return best


@register("tailored-min-max", paper="Shejwalkar & Houmansadr 2021", complexity="O(n^2 d)")
@dataclass(frozen=True, kw_only=True)
class TailoredMinMax(_Tailored):
    """`MinMax` of an adversary who knows the server's rule, and asks it how far rows may stray from the honest mean.

    All send mean(G) + gamma p, p as in `Deviation`, with the gamma of a search by halving: from 10, a step of 5 up
    after a success and down after a failure, then of 2.5, down to 1e-5. A gamma succeeds if the harm
    |rule(honest and forged rows) - mean of the honest rows| is larger than with any before, and the rule admits the
    forged rows, some of them at least. A rule that selects or weighs rows admits those with a weight: rows that Krum
    leaves out are no success, and gamma ends at the most that it still chooses. A rule that works on columns admits the
    rows whose columns it takes: all under the median and FedSECA, those that are selected first under Bulyan. There it
    is the harm that decides.

    The published search starts from 10 whatever it does there, and stays at 10 where larger rows do no more harm, as
    under FedSECA, which cuts them, though a smaller gamma may do much more. So this one first tries 10, 5, 2.5, ... and
    starts from the one that does most: from 10 as published unless a smaller one does more harm.

    What `MinMax` would send is tried as well, and sent if it does more harm, or if nothing succeeded: the harm is at
    least that of the agnostic attack. Where the rule is not known, `MinMax` is what is left, and is sent.

    Every gamma is shown to the pure `decide`, as `Maximise` does with a grid: twenty to forty of them cost one pass
    over the data for rules that decide from inner products, and some passes each for rules that work on columns.

    Shejwalkar & Houmansadr, "Manipulating the Byzantine: optimizing model poisoning attacks and defenses for federated
    learning", NDSS 2021, section IV, equation 1: the harm is what they maximise; against Krum, Multi-Krum and Bulyan
    their code searches for what is selected, against the trimmed mean and the median for the harm. FedSECA's "MinMax
    (agr-updates)" is ``tailored-min-max:direction=unit,knows=all``; its released code moves half as far, so that gamma
    ends between 5 and 15, compares with the candidate before and not with the best, whatever is selected, and has
    every byzantine client search on its own.

    Shows: the farthest that colluders get along one direction when they can ask the rule itself.

    Args:
        direction: of p: "std", "unit" or "sign". The reach of 20 is in units of p: of rows for "unit" and "sign".
        ddof: 0, or 1 for the unbiased deviation of the released code.
        knows: whose rows G are: "honest" or "all"; an adversary who asks the rule knows what the server gets.
        start, tolerance: of the search.
    """

    @property
    def agnostic(self) -> Attack:
        return MinMax(direction=self.direction, ddof=self.ddof, knows=self.knows)


@register("tailored-min-sum", paper="Shejwalkar & Houmansadr 2021", complexity="O(n^2 d)")
@dataclass(frozen=True, kw_only=True)
class TailoredMinSum(_Tailored):
    """`MinSum` of an adversary who knows the server's rule: `TailoredMinMax` with the other agnostic attack.

    The search is the same: the sum of |output - x_i|^2 over h honest rows is h |output - mean|^2 plus a constant, so
    the output that is farthest from their mean has the largest sum. `MinSum` is sent where the rule is not known, where
    nothing succeeds and where it does more harm. Shejwalkar & Houmansadr 2021, section IV.

    Shows: as `TailoredMinMax`; a second look at the same question.

    Args:
        direction, ddof, knows, start, tolerance: as in `TailoredMinMax`.
    """

    @property
    def agnostic(self) -> Attack:
        return MinSum(direction=self.direction, ddof=self.ddof, knows=self.knows)
