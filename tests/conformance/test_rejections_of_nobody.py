"""Where f leaves nobody out, the base rule needs no row more than it has."""

from __future__ import annotations

import pytest
import torch

import fedward as fw
from fedward import rules
from fedward.testing import QuadraticEvaluator

D = 4
ROWS = torch.randn(5, D, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("cls", [rules.LossRejection, rules.ErrorRateRejection, rules.UnionRejection])
@pytest.mark.parametrize("base", [rules.Krum(f=1), rules.TrimmedMean(f=2)], ids=repr)
@pytest.mark.parametrize("f", [0, 0.1])
def test_is_the_base_rule(cls: type[fw.Rule], base: fw.Rule, f: float) -> None:
    rule = cls(f=f, base=base)  # type: ignore[call-arg]
    assert torch.equal(rule(ROWS, evaluator=QuadraticEvaluator(D)), base(ROWS))
    with pytest.raises(fw.BoundError, match=r"needs n >= .* = 5 clients.*got 4"):
        rule(ROWS[:4], evaluator=QuadraticEvaluator(D))


def test_one_that_is_left_out_is_counted() -> None:
    with pytest.raises(fw.BoundError, match=r"= 5 clients.*got 4"):
        rules.LossRejection(f=1, base=rules.Krum(f=1))(ROWS, evaluator=QuadraticEvaluator(D))
    one = rules.LossRejection(f=0, base=rules.Median())
    assert torch.equal(one(ROWS[:1], evaluator=QuadraticEvaluator(D)), ROWS[0])
