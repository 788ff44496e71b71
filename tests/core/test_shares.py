"""f as a share of the rows that are present: rounded down, said in the result, and held against the bound."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import pytest
import torch
from torch import Tensor

import fedward as fw
from fedward import mixers, rules
from fedward.core import BoundError, Mixer, Rule, how_many
from fedward.testing import check_rule
from fedward.testing.stacks import QuadraticEvaluator

WITH_F = [entry for kind in ("rule", "mixer") for entry in fw.catalogue(kind, packaged=True) if entry.needs_f]


def stack(n: int, seed: int = 0) -> Tensor:
    return torch.randn(n, 30, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_share_is_rounded_down_and_a_number_is_itself() -> None:
    for percent in range(1, 100):
        for n in range(1, 130):
            assert how_many(percent / 100, n) == floor(Fraction(percent, 100) * n), (percent, n)
    assert how_many(3, 2) == 3


@pytest.mark.parametrize("entry", WITH_F, ids=lambda entry: entry.name)
def test_a_share_is_the_number_that_it_comes_to_in_each_round(entry: fw.registry.entries.Entry) -> None:
    by_share, by_number = entry.build(f=0.2), entry.build
    data = QuadraticEvaluator(30)
    for n in (11, 15, 19, 20):

        def made(part: Rule | Mixer) -> Rule:
            return part if isinstance(part, Rule) else part >> rules.Mean()

        found = fw.Aggregator(made(by_share))(stack(n), evaluator=data)
        expected = fw.Aggregator(made(by_number(f=n // 5)))(stack(n), evaluator=data)
        assert torch.equal(found.output, expected.output)
        assert torch.equal(found.accepted, expected.accepted)
        assert f"f = {n // 5} of {n} rows" in found.note
        assert "f =" not in expected.note


def test_rows_that_are_present_are_those_that_come_through() -> None:
    G = stack(16)
    G[3] = torch.nan
    assert fw.Aggregator(rules.TrimmedMean(f=0.2))(G).note == "f = 3 of 15 rows"
    assert fw.Aggregator(rules.MultiKrum(f=0.2) >> rules.TrimmedMean(f=0.2))(G).note == (
        "f = 3 of 15 rows, f = 2 of 10 rows"
    )
    chain = mixers.NNM(f=0.2) >> mixers.Bucketing(s=2) >> rules.TrimmedMean(f=0.2)
    assert fw.Aggregator(chain)(G).note == "f = 3 of 15 rows, f = 1 of 8 rows"


def test_the_bound_is_about_the_number() -> None:
    rule = rules.Krum(f=0.45)
    with pytest.raises(BoundError, match=r"2f \+ 3 = 11 clients.*, got 9 \(f = 4 of 9 rows\)"):
        rule.check(9)
    assert rules.MDA(f=0.2).withstands(10) == 2
    assert rules.Krum(f=0.4, bound="definition").note(10) == "f = 4 of 10 rows, beyond the bound of its theorem"


@pytest.mark.parametrize("text", ["krum:f=1.5", "krum:f=-0.1", "krum:f=1.0", "nnm:f=0.0", "trimmed-mean:f=nan"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="f is a whole number of at least 0 or a number above 0 and below 1"):
        fw.parse(text)


def test_text() -> None:
    assert fw.parse("multi-krum:f=0.2") == rules.MultiKrum(f=0.2)
    assert fw.describe(rules.MultiKrum(f=0.2)) == "multi-krum:f=0.2"


@pytest.mark.parametrize(
    "rule", [rules.MultiKrum(f=0.2), mixers.NNM(f=0.2) >> rules.TrimmedMean(f=0.3), rules.FABA(f=0.25)], ids=repr
)
def test_conforms(rule: Rule) -> None:
    check_rule(rule)
