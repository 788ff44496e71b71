"""What cannot be right is refused: rows of another model than those remembered, seeds that nothing is drawn by."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import fedward as fw
from fedward import mixers, rules
from fedward.stack import Dense, Dots, Offset, loops_from
from fedward.testing import QuadraticEvaluator
from fedward.testing.stacks import random_stack
from tests.sim.test_root import simulation

D = 40
WIDTHS = (D - 10, D + 10)

REMEMBERING = [
    rules.CenteredClipping(radius=1.0),
    rules.SequentialCenteredClipping(radius=1.0),
    rules.SignGuardSim(warmup=1),
    rules.SignGuardDist(warmup=1),
    mixers.SequentialBucketing(s=2) >> rules.Mean(),
    rules.FoolsGold(),
    rules.FLDetector(),
    rules.FedSECA(momentum=0.5),
    rules.ClassWise(base=rules.Mean()),
]


def rows(d: int) -> Tensor:
    return random_stack(rules.Mean(), d=d)


@pytest.mark.parametrize("d", WIDTHS)
@pytest.mark.parametrize("rule", REMEMBERING, ids=repr)
def test_rows_of_another_model_are_refused_and_nothing_is_changed(rule: fw.Rule, d: int) -> None:
    aggregator = fw.Aggregator(rule)
    for _ in range(2):
        aggregator(rows(D))
    with pytest.raises(ValueError, match=rf"\b{d}\b.*\b{D}\b"):
        aggregator(rows(d))
    assert aggregator.round == 2


@pytest.mark.parametrize("entries", [0, None], ids=["loops", "torch"])
@pytest.mark.parametrize("d", WIDTHS)
def test_products_and_sums_with_rows_of_another_width_are_refused(d: int, entries: int | None) -> None:
    other = torch.ones(d)
    stack = Dense(rows(D), block=16)
    with loops_from(entries), pytest.raises(ValueError, match=f"{D} columns"):
        stack.compute(Dots(rows=other))
    with pytest.raises(ValueError, match=f"{D} columns"):
        Offset(stack, [None, other, None, None, None, None])
    with pytest.raises(ValueError, match=f"{D} columns"):
        Offset(stack, [None] * 6, shift=other)


@pytest.mark.parametrize("d", WIDTHS)
def test_the_server_s_own_update_is_as_wide_as_the_rows(d: int) -> None:
    with pytest.raises(ValueError, match=f"update must be {D} finite numbers"):
        rules.FLTrust()(rows(D), evaluator=QuadraticEvaluator(d))


@pytest.mark.parametrize("seed", [-1, 0.5])
def test_a_seed_that_nothing_can_be_drawn_by_is_refused_at_once(seed: int) -> None:
    with pytest.raises(ValueError, match=f"Aggregator: seed is a whole number of at least 0, got {seed}"):
        fw.Aggregator(rules.Median(), seed=seed)
    with pytest.raises(ValueError, match=f"Simulation: seed is a whole number of at least 0, got {seed}"):
        simulation(seed=seed)
