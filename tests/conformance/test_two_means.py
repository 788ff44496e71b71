"""SignGuard with 2-means: equal to its oracle, whatever the order, and what it is good for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import fedward as fw
from fedward import rules
from fedward.rules.twomeans import larger_of_two
from fedward.testing import check_rule
from tests.oracles import twomeans
from tests.oracles.test_oracles_two_means import points_of

FAMILY = [rules.SignGuard, rules.SignGuardSim, rules.SignGuardDist]


def shares(seed: int) -> np.ndarray:
    """Sign shares, which tie: multiples of a tenth."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(10, [0.5, 0.1, 0.4], size=int(rng.integers(2, 16))) / 10


@pytest.mark.parametrize("make", [points_of, shares])
def test_the_larger_cluster_equals_the_oracle_in_any_order(make) -> None:  # type: ignore[no-untyped-def]
    for seed in range(40):
        points = make(seed)
        found = larger_of_two(points)
        assert np.flatnonzero(found).tolist() == twomeans.larger(points), seed
        order = np.random.default_rng(seed).permutation(len(points))
        assert np.array_equal(larger_of_two(points[order]), found[order]), seed


def test_points_that_are_all_the_same_are_one_cluster() -> None:
    assert larger_of_two(np.full((5, 3), 0.3)).all()
    assert larger_of_two(np.zeros((1, 3))).all()


@pytest.mark.parametrize("cls", FAMILY)
@pytest.mark.parametrize("variant", ["paper", "official"])
def test_conforms(cls: type[rules.SignGuard], variant: str) -> None:
    check_rule(cls(cluster="2-means", variant=variant))  # type: ignore[arg-type]


@pytest.mark.parametrize("cls", FAMILY)
def test_a_row_that_several_send_is_dropped(cls: type[rules.SignGuard]) -> None:
    generator = torch.Generator().manual_seed(0)
    G = 0.3 + torch.randn(20, 2000, generator=generator, dtype=torch.float64)
    G[:6] = -G.mean(0) * 3  # of about the same length
    result = fw.Aggregator(cls(cluster="2-means", fraction=1.0))(G)
    assert not result.accepted[:6].any()
    assert int(result.accepted[6:].sum()) == 14
    assert set(result.reasons[:6]) == {fw.Reason.SIGN_OUTLIER}


def test_text_and_errors() -> None:
    rule = fw.parse("sign-guard:cluster=2-means")
    assert rule == rules.SignGuard(cluster="2-means")
    assert fw.describe(rule) == "sign-guard:cluster=2-means"
    with pytest.raises(ValueError, match="2-means"):
        fw.parse("sign-guard:cluster=3-means")
