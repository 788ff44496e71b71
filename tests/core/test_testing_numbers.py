"""The checks of sizes, order and aliasing must name what is wrong with broken rules, and let good ones pass."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

import fedward as fw
from fedward.core import Context, Plan, State
from fedward.stack import Updates
from fedward.testing import check_rule


@dataclass(frozen=True, kw_only=True)
class Mean(fw.Rule):
    """The mean, for broken rules to start from."""

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        return Plan(updates, self.weights(updates))

    def weights(self, updates: Updates) -> Tensor:
        return torch.full((updates.n,), 1 / updates.n, dtype=torch.float64)


@dataclass(frozen=True, kw_only=True)
class SaysItWithstands(Mean):
    f: int = 1
    declared = fw.Traits(bound=fw.Bound(2, 1), properties=frozenset({"breakdown"}))


@dataclass(frozen=True, kw_only=True)
class FourthPowers(Mean):
    def weights(self, updates: Updates) -> Tensor:
        powers = updates.norms() ** 4
        return powers / powers.sum() if powers.sum() > 0 else super().weights(updates)


@dataclass(frozen=True, kw_only=True)
class DividesBySpread(Mean):
    def statistics(self, state: State, context: Context) -> tuple[fw.stack.Statistic, ...]:
        return (fw.stack.Gram(),)

    def weights(self, updates: Updates) -> Tensor:
        dists = updates.sq_dists()
        closeness = dists.mean() / dists.mean(1)
        weights = torch.where(closeness.isfinite() | (dists.sum() > 0), closeness, 1.0)
        return weights / weights.sum() if dists.max() > 1e-8 or dists.sum() == 0 else weights / 0


@dataclass(frozen=True, kw_only=True)
class TakesTheFirstOfANearestPair(Mean):
    def statistics(self, state: State, context: Context) -> tuple[fw.stack.Statistic, ...]:
        return (fw.stack.Gram(),)

    def weights(self, updates: Updates) -> Tensor:
        others = updates.sq_dists() + torch.diag(torch.full((updates.n,), torch.inf, dtype=torch.float64))
        weights = torch.zeros(updates.n, dtype=torch.float64)
        weights[fw.smallest(others.amin(1), 1)] = 1
        return weights


@dataclass(frozen=True, kw_only=True)
class RemembersTheOutputItself(Mean):
    declared = fw.Traits(history=True)

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        if "last" not in state:
            return Plan(updates, self.weights(updates))
        half = self.weights(updates) / 2
        return Plan(updates.anchored(state["last"]), torch.cat([half, half.new_tensor([0.5])]))

    def advance(self, state: State, plan: Plan, output: Tensor, context: Context) -> State:
        return {"last": output}


@dataclass(frozen=True, kw_only=True)
class RemembersSquares(Mean):
    declared = fw.Traits(history=True)

    def advance(self, state: State, plan: Plan, output: Tensor, context: Context) -> State:
        return {"fourth": output.double().norm() ** 4}


@dataclass(frozen=True, kw_only=True)
class NeverForgets(Mean):
    """Right as long as colluders are there, and led by them ever after."""

    declared = fw.Traits(history=True)

    def weights(self, updates: Updates) -> Tensor:
        norms = updates.norms()
        kept = (norms <= 10 * norms.median()).double()
        return kept / kept.sum()

    def decide(self, updates: Updates, state: State, context: Context) -> Plan:
        longest = updates.norms().max().clamp_max(1e30)
        scale = 1.0 if longest > 1e3 else float(state.get("longest", torch.ones(1)))
        return Plan(updates, self.weights(updates) * scale)

    def advance(self, state: State, plan: Plan, output: Tensor, context: Context) -> State:
        before = state.get("longest", torch.ones(1, dtype=torch.float64))
        return {"longest": torch.maximum(before, plan.updates.norms().max().clamp_max(1e20) / 1e2)}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (SaysItWithstands(), "claimed property breakdown: the output is"),
        (FourthPowers(), "colluders of every number and size.*weighed 1 of 7 rows by NaN or Inf"),
        (DividesBySpread(), "rows that are nearly alike.*weighed 6 of 6 rows by NaN or Inf"),
        (TakesTheFirstOfANearestPair(), "claimed property permutation: differ by"),
        (RemembersTheOutputItself(), "what the caller writes into a result"),
        (RemembersSquares(), "colluders of every number and size.*the memory 'fourth' is not finite"),
        (NeverForgets(), "colluders of every number and size.*is not honest"),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, fw.Rule) else "",
)
def test_a_broken_rule_fails_the_right_check(rule: fw.Rule, message: str) -> None:
    with pytest.raises(AssertionError, match=f"(?s)^{message}"):
        check_rule(rule)


def test_what_they_are_broken_from_conforms() -> None:
    check_rule(Mean())
