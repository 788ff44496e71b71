"""Slips in rules and evaluators of one's own are told, and never become a wrong aggregate without a word."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

import fedward as fw
from fedward import rules
from fedward.core import Skipped, step_or_skip
from fedward.stack import Dense, Updates
from fedward.testing import QuadraticEvaluator

G = torch.randn(6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_of_no_scores_none_are_the_smallest() -> None:
    nothing = torch.zeros(0)
    assert fw.smallest(nothing, 2, nothing).tolist() == []
    assert fw.smallest(nothing, 0).dtype == torch.int64


@pytest.mark.parametrize("odd", [torch.nan, torch.inf])
def test_a_score_that_is_no_number_is_never_among_the_smallest(odd: float) -> None:
    scores = torch.tensor([odd, 3.0, odd, 1.0, -torch.inf])
    assert fw.smallest(scores, 3).tolist() == [4, 3, 1]
    assert fw.smallest(scores, 5).tolist() == [4, 3, 1, 0, 2]


@pytest.mark.parametrize("use", [lambda u, mask: u.take(mask), fw.average_of])
def test_rows_are_chosen_by_number_and_not_by_a_mask(use: Callable[[Updates, Tensor], object]) -> None:
    with pytest.raises(TypeError, match=r"rows are chosen by their numbers, got a mask: mask.nonzero\(\).flatten\(\)"):
        use(Dense(G), G[:, 0] > 0)


@dataclass(frozen=True, kw_only=True)
class Shares(fw.Rule):
    """Weights in proportion to lengths: 0 / 0 where all rows are 0."""

    def decide(self, updates: Updates, state: fw.State, context: fw.Context) -> fw.Plan:
        norms = updates.norms()
        return fw.Plan(updates, norms / norms.sum())


def test_weights_that_are_no_numbers_are_refused() -> None:
    aggregator = fw.Aggregator(Shares())
    aggregator(G)
    with pytest.raises(ValueError, match=r"Shares\(\) weighed 6 of 6 rows by NaN or Inf"):
        aggregator(0 * G)
    assert aggregator.round == 1
    skipped = step_or_skip(Shares(), Dense(0 * G), {}, fw.Context())
    assert isinstance(skipped, Skipped), "what clients sent ends no run"
    assert "NaN" in skipped.why


@pytest.mark.parametrize("shape", [(6, 1), (5,), ()])
@pytest.mark.parametrize("rule", [rules.Zeno(f=1, rho=0.1), rules.LossRejection(f=1)], ids=repr)
def test_an_evaluator_says_one_number_of_each_row(rule: fw.Rule, shape: tuple[int, ...]) -> None:
    class Odd(QuadraticEvaluator):
        def losses(self, steps: Updates) -> Tensor:
            return torch.zeros(shape)

    with pytest.raises(
        ValueError, match=rf"losses are one number for each of \d rows, got shape {re.escape(str(shape))}"
    ):
        fw.Aggregator(rule)(G, evaluator=Odd(5))
