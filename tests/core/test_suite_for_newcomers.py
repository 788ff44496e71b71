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
from fedward.testing import check_attack, check_rule, check_wrapper, random_stack

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


# --- which rows, and who says so ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class FirstRow(fw.Rule):
    """Whoever comes first; says nothing of properties."""

    def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
        return fw.average_of(updates, torch.tensor([0]))


@dataclass(frozen=True, kw_only=True)
class SaysSo(FirstRow):
    """Claims what is not so."""

    declared = fw.Traits(properties=frozenset({"permutation"}))


@dataclass(frozen=True, kw_only=True)
class AsMeant(FirstRow):
    """Claims no more than is so."""

    declared = fw.Traits(properties=frozenset({"scale"}))


@dataclass(frozen=True, kw_only=True)
class FewOutOfOrder(fw.Rule):
    """The mean, and of no more than three rows the first."""

    def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
        return fw.average_of(updates, torch.arange(updates.n if updates.n > 3 else 1))


ROWS = "fedward.testing.random_stack(rule, seed=0)"
ORDER = "claimed property permutation"


def test_a_claim_that_nobody_made_says_where_it_comes_from_and_how_to_take_it_back() -> None:
    why = failures(FirstRow())[ORDER]
    assert why.endswith(
        f"is allowed, on {ROWS}; Traits that say nothing of properties claim this: if the rule is meant to be without, "
        "write declared = fedward.Traits(..., properties=frozenset({'scale'}))"
    )
    assert failures(SaysSo())[ORDER].endswith(f"is allowed, on {ROWS}")
    assert ORDER not in failures(AsMeant())


def test_rows_of_a_failure_can_be_made_once_more() -> None:
    why = failures(FewOutOfOrder())[ORDER]
    called = why[why.index("random_stack") : why.index(" in the order ")]
    rule = FewOutOfOrder()
    G = eval(called, {"random_stack": random_stack, "rule": rule})
    assert 1 < len(G) <= 3
    assert (rule(G) - rule(G.flip(0))).norm() > 0.1


def test_checks_on_several_stacks_name_the_one_that_failed() -> None:
    @dataclass(frozen=True, kw_only=True)
    class KeepsMore(fw.Rule):
        declared = fw.Traits(selects=True)

        def most_accepted(self, n: int) -> int:
            return 1

        def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
            return fw.average_of(updates, torch.arange(updates.n))

    assert failures(KeepsMore())["accepts no more rows than it says"].endswith(
        "most_accepted says 1, on fedward.testing.example_stacks(rule)['random']"
    )
    with pytest.raises(
        AssertionError, match=r"oracle on a sparse stack: .*, on fedward.*example_stacks\(rule\)\['sparse"
    ):
        check_rule(rules.Mean(), oracle=lambda G: G[0])


def test_functions_are_tried_in_another_order_too() -> None:
    check = "rows in another order give the same"
    why = failures(fw.rule(lambda G: G[0]))[check]
    assert f"on {ROWS}; where the order is meant to count, write a class" in why
    assert failures(fw.rule(lambda G: G[G.norm(dim=1).argmin()])) == {}
    assert check not in [outcome.name for outcome in check_rule(rules.Mean())]
