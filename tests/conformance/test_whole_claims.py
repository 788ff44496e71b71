"""What a rule made of rules says of its parts: on how few rows they decided, and how many colluders they withstand."""

from __future__ import annotations

import pytest
import torch

import fedward as fw
from fedward import rules
from fedward.core import BEYOND
from fedward.testing.hostile import breakdown
from fedward.testing.stacks import fewest, random_stack

KRUM = rules.Krum(f=1, bound="definition")  # by definition 4 rows, by theorem 5


@pytest.mark.parametrize(("size", "beyond"), [(4, True), (5, False)])
def test_groups_that_are_too_small_for_the_theorem_say_so(size: int, beyond: bool) -> None:
    rule = rules.Hierarchical(base=KRUM, size=size, then=rules.Median())
    note = fw.Aggregator(rule)(torch.randn(20, 6, generator=torch.Generator().manual_seed(0))).note
    assert note.startswith(f"{20 // size} groups of {size}")
    assert (BEYOND in note) == beyond
    above = rules.Hierarchical(base=rules.Median(), size=size, then=KRUM)
    assert BEYOND in fw.Aggregator(above)(torch.randn(4 * size, 6)).note


def test_groups_say_what_a_share_of_their_rows_is() -> None:
    rule = rules.Hierarchical(base=rules.TrimmedMean(f=0.2), size=5, then=rules.Median())
    assert fw.Aggregator(rule)(torch.randn(10, 3)).note == "2 groups of 5, 1 group of 2, f = 1 of 5 rows"


def test_a_rule_that_is_drawn_withstands_what_the_weakest_does() -> None:
    rule = rules.RobustTailor(rules=(rules.Median(), rules.TrimmedMean(f=2), rules.GeometricMedian()))
    assert rule.withstands(9) == 2
    breakdown(rule, random_stack(rule))
    grouped = rules.Hierarchical(base=rule, size=5)
    assert grouped.withstands(25) == (2 + 1) * (2 + 1) - 1


@pytest.mark.parametrize("entry", fw.catalogue("rule", packaged=True), ids=lambda entry: entry.name)
def test_who_claims_to_withstand_colluders_withstands_some(entry: fw.registry.entries.Entry) -> None:
    rule = entry.build()
    if "breakdown" in rule.traits().properties:
        assert rule.withstands(fewest(rule) + 8) > 0
