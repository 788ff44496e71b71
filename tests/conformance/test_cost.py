"""A decision that will take minutes says so beforehand, with what takes less."""

from __future__ import annotations

import pytest
import torch

import fedward as fw
from fedward import mixers, rules
from fedward.core import BoundError, CostWarning, rule

DEAR = [
    rules.Bulyan(f=0.2),
    rules.CAF(f=0.2),
    rules.DnC(f=0.2),
    rules.FABA(f=0.2),
    rules.SequentialCenteredClipping(radius=1.0),
]


@pytest.mark.parametrize("dear", DEAR, ids=repr)
def test_what_takes_minutes_is_said(dear: fw.Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.randn(40, 10)
    fw.Aggregator(dear)(rows)  # warnings are errors here
    assert dear.steps(10_000) > rule._MANY_STEPS
    assert dear.steps(300) < rule._MANY_STEPS
    monkeypatch.setattr(rule, "_MANY_STEPS", dear.steps(39))
    with pytest.warns(CostWarning, match=r"steps for 40 rows, and there are about 1e\+11 in a minute.*hierarchical"):
        fw.Aggregator(dear)(rows)
    fw.Aggregator(dear)(rows[:39])


def test_a_search_that_may_take_minutes_is_said() -> None:
    assert rules.MDA(f=1).steps(2_000) > rule._MANY_STEPS > rules.MDA(f=1).steps(1_000)


def test_the_whole_takes_what_its_parts_take() -> None:
    dear = DEAR[0]
    n = 10_000
    assert (mixers.Bucketing(s=10) >> dear).steps(n) == dear.steps(n // 10)
    assert (mixers.NNM(f=1) >> dear).steps(n) == dear.steps(n)
    assert (rules.CGE(f=0.5) >> dear).steps(n) == dear.steps(n // 2)
    assert rules.Delayed(base=dear).steps(n) == dear.steps(n)
    assert rules.Hierarchical(base=dear, size=50).steps(n) < 1e-3 * dear.steps(n)


def test_more_subsets_than_a_float_can_count_are_refused_in_a_sentence() -> None:
    with pytest.raises(BoundError, match=r"would try 1e\+300 subsets of 2000 clients, limit=100000: use CAF"):
        rules.SMEA(f=0.2).check(2_000)


def test_rules_of_a_few_pairs_say_nothing() -> None:
    for entry in fw.catalogue("rule", packaged=True):
        if entry.cls not in {*map(type, DEAR), rules.MDA}:
            assert entry.build().steps(10_000) == 0, entry.name
