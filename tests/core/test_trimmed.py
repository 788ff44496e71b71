"""How much of a row a rule that trims columns has left out, where an aggregator is asked for it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import fedward as fw
from fedward import mixers, rules
from tests.oracles import audit as oracle


def rows(n: int = 7, d: int = 53) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(("rule", "f"), [(rules.TrimmedMean(f=2), 2), (rules.Median(), 3)])
def test_the_share_is_of_columns_without_a_part_in_the_output(rule: fw.Rule, f: int) -> None:
    G = rows()
    plain = fw.Aggregator(rule)(G)
    found = fw.Aggregator(rule, trimmed=True)(G)
    np.testing.assert_allclose(found.scores["trimmed"].numpy(), oracle.trimmed_by_rank(G.numpy(), f))
    assert torch.equal(found.output, plain.output)
    assert "trimmed" not in plain.scores


def test_rules_that_weigh_rows_have_no_such_score() -> None:
    G = rows()
    assert set(fw.Aggregator(rules.Krum(f=2), trimmed=True)(G).scores) == set(fw.Aggregator(rules.Krum(f=2))(G).scores)


def test_rows_that_no_rule_saw_have_no_share() -> None:
    G = rows()
    G[4, 0] = torch.nan
    found = fw.Aggregator(mixers.ClipNorm(radius="median") >> rules.Median(), trimmed=True)(G).scores["trimmed"]
    assert found.isnan().tolist() == [False] * 4 + [True] + [False] * 2
