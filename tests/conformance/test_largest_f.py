"""Too few clients for f: the error says the largest f that fits, of every rule and mixer that is told f."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch

import fedward as fw
from fedward import mixers, rules
from fedward.core import Bound

RULES = [
    rule
    for entry in fw.catalogue("rule")
    if entry.needs_f and isinstance(rule := entry.build(f=9), fw.Rule) and rule.traits().bound.per_f
]


def largest(rule: fw.Rule, n: int) -> int:
    """By trying f downwards."""
    for f in range(n, -1, -1):
        try:
            replace(rule, f=f).check(n)
        except fw.BoundError:
            continue
        return f
    return -1


@pytest.mark.parametrize("n", [1, 2, 4, 8, 9])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_of_rules(rule: fw.Rule, n: int) -> None:
    with pytest.raises(fw.BoundError) as caught:
        rule.check(n)
    said = re.search(r"f is at most ([0-9]+)", str(caught.value))
    assert (int(said[1]) if said else -1) == largest(rule, n)


@pytest.mark.parametrize("n", [2, 8, 9])
@pytest.mark.parametrize("mixer", [mixers.NNM, mixers.ARC], ids=lambda mixer: mixer.__name__)
def test_of_mixers(mixer: type[mixers.NNM] | type[mixers.ARC], n: int) -> None:
    with pytest.raises(fw.BoundError, match="f is at most") as caught:
        (mixer(f=9) >> rules.Mean())(torch.zeros(n, 3))
    said = re.search(r"f is at most ([0-9]+)", str(caught.value))
    assert said
    (mixer(f=int(said[1])) >> rules.Mean())(torch.zeros(n, 3))
    with pytest.raises(fw.BoundError):
        (mixer(f=int(said[1]) + 1) >> rules.Mean())(torch.zeros(n, 3))


def test_of_shares_and_where_f_does_not_matter() -> None:
    with pytest.raises(fw.BoundError, match=r"got 10 \(f = 5 of 10 rows\) \(f is at most 4\)"):
        rules.TrimmedMean(f=0.5).check(10)
    assert Bound(0, 3).allowed(2) == Bound(2, 3).allowed(2) == ""


def test_there_are_rules_to_try() -> None:
    assert len(RULES) >= 10
