"""A rule may work out its plan in any type; the plan has weights and scores in float64 wherever it is looked at."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

import fedward as fw
from fedward import mixers, rules

G = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))


@dataclass(frozen=True, kw_only=True)
class FirstHalf(fw.Rule):
    """The mean of the first half of the rows, by weights and scores of a type."""

    dtype: str

    def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
        dtype = getattr(torch, self.dtype)
        n = updates.n
        weights = torch.zeros(n).index_fill_(0, torch.arange(n // 2), 1.0)
        if dtype.is_floating_point:
            weights /= n // 2
        return fw.Plan(updates, weights.to(dtype), scores={"place": torch.arange(n).to(dtype)})


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64"])
@pytest.mark.parametrize("around", ["alone", "nnm", "clip", "filter", "class-wise", "delayed", "hierarchical"])
def test_weights_and_scores_of_any_type_are_numbers_of_float64(around: str, dtype: str) -> None:
    rule: fw.Rule = FirstHalf(dtype=dtype)
    rule = {
        "alone": rule,
        "nnm": mixers.NNM(f=1) >> rule,
        "clip": mixers.ClipNorm(radius=10.0) >> rule,
        "filter": rules.CGE(f=1) >> rule,
        "class-wise": rules.ClassWise(base=rule),
        "delayed": rules.Delayed(base=rule, start=0),
        "hierarchical": rules.Hierarchical(base=rule, size=4),
    }[around]
    result = fw.Aggregator(rule)(G)
    assert result.weights is not None
    assert result.weights.dtype == torch.float64
    assert {score.dtype for score in result.scores.values()} == {torch.float64}
    if around != "class-wise":  # which adds a row of the server's own
        torch.testing.assert_close(result.output, (result.weights @ G.double()).float())
