"""One round of a rule, as the aggregator, the simulator and the red team take it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch

import fedward as fw
from fedward import attacks, rules
from fedward.core import BoundError, Context, Skipped, Step, decision, step, step_or_skip
from fedward.failures import ContractError
from fedward.redteam import Captured, play
from fedward.stack import Dense
from fedward.testing import QuadraticEvaluator

N, D = 7, 5


@dataclass(frozen=True, kw_only=True)
class Counting(fw.Rule):
    """The mean, which counts its rounds, and raises where it is told to."""

    error: type[Exception] | None = None

    def decide(self, updates: fw.Updates, state: Any, context: Context) -> fw.Plan:
        if self.error is not None:
            raise self.error("of these rows")
        return fw.average_of(updates, torch.arange(updates.n))

    def advance(self, state: Any, plan: fw.Plan, output: torch.Tensor, context: Context) -> Any:
        return {"rounds": state.get("rounds", torch.zeros(())) + 1}


@dataclass(frozen=True, kw_only=True)
class NoPlan(fw.Rule):
    """Decides on what is no plan."""

    def decide(self, updates: fw.Updates, state: Any, context: Context) -> fw.Plan:
        return "the third one"  # type: ignore[return-value]


def rows() -> torch.Tensor:
    return torch.randn(N, D, generator=torch.Generator().manual_seed(0))


def test_a_step_is_the_verdict_and_the_next_memory_and_changes_neither_rows_nor_memory() -> None:
    G, state = rows(), {"rounds": torch.tensor(3.0)}
    done = step(Counting(), Dense(G), state, Context(3))
    torch.testing.assert_close(done.result.output, G.mean(0))
    assert done.result.accepted.all()
    assert (float(done.state["rounds"]), float(state["rounds"])) == (4.0, 3.0)
    assert torch.equal(G, rows())


def test_a_step_is_what_the_aggregator_does() -> None:
    aggregator, state = fw.Aggregator(rules.FoolsGold(), seed=2), {}
    for number in range(3):
        G = rows() + number
        done = step(rules.FoolsGold(), Dense(G), state, Context(number, 2))
        state = done.state
        assert torch.equal(aggregator(G).output, done.result.output)
    assert all(torch.equal(value, aggregator.state[name]) for name, value in state.items())


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        (rules.Krum(f=3), "needs n >= 2f + 3 = 9 clients (n >= f + 3 = 6 with bound='definition'), got 7"),
        (Counting(error=ZeroDivisionError), "ZeroDivisionError: of these rows"),
    ],
)
def test_a_round_that_cannot_be_decided_is_skipped_and_remembered_by_nobody(rule: fw.Rule, why: str) -> None:
    state = {"rounds": torch.tensor(3.0)}
    done = step_or_skip(rule, Dense(rows()), state, Context())
    assert isinstance(done, Skipped)
    assert why in done.why
    assert done.state is state
    assert isinstance(step_or_skip(Counting(), Dense(rows()), state, Context()), Step)


def test_a_rule_that_is_none_is_never_skipped() -> None:
    with pytest.raises(ContractError, match="decided on str"):
        step_or_skip(NoPlan(), Dense(rows()), {}, Context())
    captured = Captured(rows=rows(), previous=None, evaluator=QuadraticEvaluator(D))
    with pytest.raises(ContractError, match="decided on str"):
        play(NoPlan(), attacks.SignFlip(), [captured], byzantine=2)


@pytest.mark.parametrize("error", [ZeroDivisionError, BoundError])
def test_an_attack_learns_of_rows_that_the_rule_stumbles_over_that_they_are_not_decided_on(error: type) -> None:
    with pytest.raises(BoundError, match="of these rows"):
        decision(Counting(error=error), Dense(rows()), {}, Context())
