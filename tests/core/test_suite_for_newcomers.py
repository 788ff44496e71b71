"""What somebody new to fedward gets wrong first is found, and said in words that help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import torch
from torch import Tensor

import fedward as fw
from fedward import attacks, mixers, rules
from fedward.core import Compound
from fedward.registry.bounds import Positive
from fedward.stack import RowSource, SqNorms, Statistic
from fedward.testing import check_attack, check_rule, check_wrapper

MEMORY = "memory is tensors by name, and the rule says that it has one"


@dataclass(frozen=True, kw_only=True)
class Counting(fw.Rule):
    """The mean; remembers how many rounds it has seen."""

    declared = fw.Traits(history=True)

    def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
        return fw.average_of(updates, torch.arange(updates.n))

    def advance(self, state: fw.State, plan: fw.Plan, output: Tensor, context: fw.Context) -> fw.State:
        return {"rounds": state.get("rounds", torch.tensor(0)) + 1}


@dataclass(frozen=True, kw_only=True)
class Silent(Counting):
    """Does not say that it remembers."""

    declared = fw.Traits(history=False)


@dataclass(frozen=True, kw_only=True)
class InNumbers(Counting):
    """Remembers a plain number."""

    def advance(self, state: Any, plan: fw.Plan, output: Tensor, context: fw.Context) -> Any:
        return {"rounds": 3}


@dataclass(frozen=True, kw_only=True)
class Forgetful(Compound):
    """Has no part remember anything."""

    base: fw.Rule

    @property
    def parts(self) -> tuple[fw.Rule]:
        return (self.base,)

    def statistics(self, state: fw.State, context: fw.Context) -> tuple[Statistic, ...]:
        return (SqNorms(), *self.base.statistics(state, context))

    def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
        return self.base.decide(updates, state, context)


def failures(rule: fw.Rule) -> dict[str, str]:
    return {outcome.name: outcome.why for outcome in check_rule(rule, on_fail="report") if not outcome.passed}


def test_a_rule_says_that_it_remembers() -> None:
    assert failures(Counting()) == {}
    assert failures(Silent()) == {MEMORY: "it remembers, and does not say so: fw.Traits(history=True)"}


def test_memory_is_tensors() -> None:
    assert failures(InNumbers())[MEMORY] == "advance returned rounds: 3; write torch.tensor(3)"


def test_a_wrapper_that_forgets_is_found() -> None:
    with pytest.raises(AssertionError, match=r"around Remembering\(\): what its part remembers is lost"):
        check_wrapper(lambda rule: Forgetful(base=rule))


@pytest.mark.parametrize(
    ("check", "component", "message"),
    [
        (check_rule, rules.Krum, r"a rule with its parameters, got the class itself: write Krum\(\.\.\.\)"),
        (check_rule, mixers.NNM(f=1), r"got NNM\(f=1\): a mixer is tried before one, NNM\(\.\.\.\) >> rules\.Mean\(\)"),
        (check_attack, attacks.ALIE, r"an attack with its parameters, got the class itself: write ALIE\(\.\.\.\)"),
        (check_attack, rules.Mean(), r"this suite is for an attack, got Mean\("),
    ],
)
def test_what_a_suite_is_not_for_is_refused_at_once(
    check: Callable[[Any], object], component: object, message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        check(component)


@dataclass(frozen=True, kw_only=True)
class BoundTwice(Counting):
    """`Positive` is an annotation already."""

    decay: Annotated[float, Positive] = 0.5


def test_a_bound_that_would_hold_nothing_back_is_refused() -> None:
    with pytest.raises(ValueError, match=r"decay: a type with bounds of its own \(a number above 0\)"):
        BoundTwice(decay=-1.0)


@pytest.mark.parametrize("text", ["robust-tailor:rules=(median | krum:f=1", "krum:f=(1", "krum:f=1)"])
def test_parentheses_match(text: str) -> None:
    with pytest.raises(ValueError, match="parentheses do not match in"):
        fw.parse(text)


@pytest.mark.parametrize("kind", ["partition", "client", "attack"])
def test_another_kind_is_told_before_what_it_needs(kind: str) -> None:
    with pytest.raises(ValueError, match=r"krum is a rule, an? .* is needed"):
        fw.parse("krum", kind)


class OneTensor(RowSource):
    """Rows in a tensor, by nothing but `read`."""

    def __init__(self, G: Tensor) -> None:
        super().__init__(n=len(G), d=G.shape[1], dtype=G.dtype, device=G.device, ids=None, block=16)
        self._rows = G

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        chosen = self._rows if rows is None else self._rows[rows]
        self._entries_read += (stop - start) * len(chosen)
        return chosen[:, start:stop]


@pytest.mark.parametrize("rule", [rules.Krum(f=2), rules.Median(), mixers.NNM(f=2) >> rules.SignGuard()])
def test_a_source_is_one_method(rule: fw.Rule) -> None:
    G = torch.randn(12, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    result = fw.Aggregator(rule)(OneTensor(G))
    torch.testing.assert_close(result.output, fw.Aggregator(rule)(G).output)
