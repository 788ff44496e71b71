"""Rows that are alike but for rounding have no first direction, and rules that look for one go on."""

from __future__ import annotations

import pytest
import torch

from fedward import rules
from fedward.rules.spectral import top_eigenpair


def test_nothing_has_an_eigenpair() -> None:
    value, vector = top_eigenpair(torch.zeros(7, 7, dtype=torch.float64), 1)
    assert float(value) == 0
    assert vector.norm() == 1


@pytest.mark.parametrize("number", [0.0, 1.0, 1e-30])
@pytest.mark.parametrize("rule", [rules.DnC(f=1), rules.CAF(f=1)])
def test_one_column_of_one_number(rule: rules.DnC | rules.CAF, number: float) -> None:
    G = torch.full((7, 1), number)
    assert torch.allclose(rule(G), G[0])
