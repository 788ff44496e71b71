"""Groups of groups: equal to the loops of the oracle, and no more byzantine clients than the bound reach the top."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fedward as fw
from fedward import mixers, rules
from fedward.core import BoundError, Reason
from fedward.stack import Dense
from tests.oracles import hierarchical as oracle
from tests.oracles import rules as plain
from tests.oracles.hierarchical import Run


def everyone(run: object) -> Run:
    return lambda X: (run(X), [True] * len(X))  # type: ignore[operator]


def krum(f: int) -> Run:
    def run(X: np.ndarray) -> tuple[np.ndarray, Sequence[bool]]:
        output, chosen = plain.krum(X, f)[:2]
        chosen = int(np.ravel(chosen)[0])
        return output, [k == chosen for k in range(len(X))]

    return run


def order_of(context: fw.Context) -> oracle.Order:
    def order(level: int, n: int) -> list[int]:
        generator = context.fold(str(level)).generator("groups")
        return [int(row) for row in torch.randperm(n, generator=generator)]

    return order


CASES = {
    "median": (rules.Hierarchical(base=rules.Median(), size=4), [everyone(plain.median)] * 2),
    "mean of medians": (
        rules.Hierarchical(base=rules.Median(), size=5, then=rules.Mean()),
        [everyone(plain.median), everyone(plain.mean)],
    ),
    "median of means": (
        rules.Hierarchical(base=rules.Mean(), size=3, then=rules.Median()),
        [everyone(plain.mean), everyone(plain.median)],
    ),
    "krum": (rules.Hierarchical(base=rules.Krum(f=1), size=7), [krum(1)] * 2),
    "median of krums": (
        rules.Hierarchical(base=rules.Krum(f=1), size=6, then=rules.Median()),
        [krum(1), everyone(plain.median)],
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("n", [5, 26, 70])
@pytest.mark.parametrize("round_", [0, 3])
def test_equals_the_oracle(case: str, n: int, round_: int) -> None:
    rule, runs = CASES[case]
    X = np.random.default_rng(n + round_).standard_normal((n, 30)) * np.linspace(1, 3, n)[:, None]
    try:
        rule.check(n)
    except BoundError:
        with pytest.raises(BoundError):
            rule(torch.tensor(X))
        return
    context = fw.Context(round_, 7)
    aggregate = fw.Aggregator(rule, seed=7)
    aggregate.round = round_
    found = aggregate(torch.tensor(X))
    output, accepted = oracle.hierarchical(X, rule.size, runs, order_of(context))
    np.testing.assert_allclose(found.output.numpy(), output, rtol=1e-9, atol=1e-12)
    assert found.accepted.tolist() == accepted
    assert [reason is Reason.ACCEPTED for reason in found.reasons] == accepted
    if found.weights is not None:
        np.testing.assert_allclose(found.weights.numpy() @ X, output, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 9, 10, 27, 28, 100, 101, 1000])
@pytest.mark.parametrize("size", [2, 3, 10])
def test_the_bound_is_that_of_the_cheapest_way_to_the_top(n: int, size: int) -> None:
    rule = rules.Hierarchical(base=rules.Median(), size=size)
    most = oracle.withstands(n, size, [lambda s: (s - 1) // 2] * 2)
    # Groups of two sizes may stand a few more; where all are alike it is exact.
    assert rule.withstands(n) <= most
    if all(len(set(sizes)) == 1 for sizes in rule.levels(n)):
        assert rule.withstands(n) == most
    assert sum(rule.levels(n)[0]) == n
    assert rule.levels(n)[-1] == [len(rule.levels(n)[-2])] if n > size else [n]


@settings(max_examples=40)
@given(n=st.integers(1, 60), size=st.integers(2, 9), seed=st.integers(0, 999))
def test_colluders_within_the_bound_never_decide(n: int, size: int, seed: int) -> None:
    rule = rules.Hierarchical(base=rules.Median(), size=size)
    f = rule.withstands(n)
    assert f < n
    generator = torch.Generator().manual_seed(seed)
    G = torch.randn(n, 3, generator=generator).clamp(-4, 4)
    byzantine = torch.randperm(n, generator=generator)[:f]
    G[byzantine] = 1e6 * torch.randn(3, generator=generator).sign()
    assert fw.Aggregator(rule, seed=seed)(G).output.abs().max() <= 4


def test_one_more_than_the_bound_may_decide() -> None:
    """The bound is reached: put where the deal has room for it, one more is at the top."""
    rule = rules.Hierarchical(base=rules.Median(), size=3)
    n, f = 9, rule.withstands(9)
    assert f == 3
    order = order_of(fw.Context(0, 0))(0, n)
    groups = oracle.dealt(n, 3, order)
    G = torch.zeros(n, 2)
    G[[*groups[0][:2], *groups[1][:2]]] = 1e6
    assert (fw.Aggregator(rule)(G).output == 1e6).all()
    G[groups[0][0]] = 0
    assert (fw.Aggregator(rule)(G).output == 0).all()


def test_rows_of_no_group_are_compared() -> None:
    """Inner products are within groups: 64 rows in groups of 8 are 8 matrices of 8 x 8 and one of the aggregates."""
    stack = Dense(torch.randn(64, 200))
    rule = rules.Hierarchical(base=rules.MultiKrum(f=2), size=8)
    fw.Aggregator(rule)(stack)
    assert max(value.numel() for value in stack._statistics.values()) == 64
    assert stack.columns_read / stack.d <= 4  # norms, each of two levels, the output


def test_a_rule_that_cannot_be_there_is_named() -> None:
    with pytest.raises(ValueError, match=r"FoolsGold.*remembers earlier rounds"):
        rules.Hierarchical(base=rules.FoolsGold())
    with pytest.raises(ValueError, match=r"Mean\(weighted=True\) uses the clients' ids.*then=Median"):
        rules.Hierarchical(base=rules.Mean(weighted=True))
    with pytest.raises(ValueError, match=r"at least 2.*groups of one are no groups"):
        rules.Hierarchical(base=rules.Median(), size=1)
    with pytest.raises(
        BoundError, match=r"= 7 clients.*, got 6 \(f is at most 1\) \(100 clients in 6 groups of 16 or 17, 1 group of 6"
    ):
        rules.Hierarchical(base=rules.Median(), size=17, then=rules.Krum(f=2)).check(100)
    rules.Hierarchical(base=rules.Mean(weighted=True), then=rules.Median())


def test_as_text() -> None:
    rule = fw.parse("hierarchical:base=(nnm:f=1 >> krum:f=1),size=10,then=median")
    assert rule == rules.Hierarchical(base=mixers.NNM(f=1) >> rules.Krum(f=1), size=10, then=rules.Median())
    G = torch.randn(60, 20)
    found = fw.Aggregator(rule)(G)
    assert found.accepted.any()
    assert "6 groups of 10, 1 group of 6" in found.note


BASES = [rules.Median(), rules.TrimmedMean(f=0.2), mixers.ClipNorm(radius="median") >> rules.Mean()]
SUITE = [rules.Hierarchical(base=base, size=size) for base in BASES for size in (4, 50)]


@fw.testing.parametrize([*SUITE, rules.Hierarchical(base=rules.MultiKrum(f=0.2), size=6, then=rules.Median())])
def test_conforms(check: fw.testing.Check) -> None:
    check()
