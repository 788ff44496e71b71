"""Rules beyond the bound of their theorem: what the formula needs, what it gives there, and that the result says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

import fedward as fw
from fedward import mixers, rules
from fedward.core import BEYOND
from fedward.testing import Check, check_rule, random_stack
from tests.oracles import election, geometry
from tests.oracles import rules as oracle

Oracle = Callable[[np.ndarray], np.ndarray]

# A rule by its definition, its oracle, and the fewest rows by definition and by theorem.
CASES: dict[str, tuple[fw.Rule, Oracle, int, int]] = {
    "krum": (rules.Krum(f=4, bound="definition"), lambda X: oracle.krum(X, 4)[0], 7, 11),
    "multi-krum": (rules.MultiKrum(f=4, bound="definition"), lambda X: oracle.multi_krum(X, 4)[0], 7, 11),
    "bulyan": (rules.Bulyan(f=2, bound="definition"), lambda X: oracle.bulyan(X, 2)[0], 9, 11),
    "mea-med": (rules.MeaMed(f=3, bound="definition"), lambda X: election.meamed(X, 3), 4, 7),
    "monna": (rules.MoNNA(f=3, bound="definition"), lambda X: geometry.monna(X, 3), 4, 7),
    "mda": (rules.MDA(f=3, bound="definition"), lambda X: geometry.mda(X, 3)[0], 4, 7),
    "smea": (rules.SMEA(f=3, bound="definition"), lambda X: geometry.smea(X, 3)[0], 4, 7),
}
PARTS = [pytest.param(*case, id=name) for name, case in CASES.items()]


def test_every_rule_with_a_definition_is_here() -> None:
    assert CASES.keys() == {entry.name for entry in fw.catalogue("rule", packaged=True) if entry.definition}


def test_a_rule_without_the_parameter_has_one_bound() -> None:
    """Of these the formula needs as much as the theorem, so that there is nothing to choose."""
    for rule in (rules.TrimmedMean(f=2), rules.Phocas(f=2), rules.CAF(f=2), rules.FABA(f=2), rules.CGE(f=2)):
        assert rule.traits().definition is None
        with pytest.raises(ValueError, match="unknown argument"):
            fw.build(type(rule).__name__, f=2, bound="definition")


@pytest.mark.parametrize(("rule", "run", "fewest", "needed"), PARTS)
def test_conforms_and_equals_its_oracle(rule: fw.Rule, run: Oracle, fewest: int, needed: int) -> None:
    check_rule(rule, oracle=run)


@pytest.mark.parametrize(("rule", "run", "fewest", "needed"), PARTS)
def test_every_n_from_the_definition_on_equals_its_oracle(rule: fw.Rule, run: Oracle, fewest: int, needed: int) -> None:
    for n in range(fewest, needed + 2):
        for seed in range(8):
            G = random_stack(rule, seed=seed, extra=n - fewest, d=9)
            assert len(G) == n
            result = fw.Aggregator(rule)(G)
            np.testing.assert_allclose(result.output, run(G.numpy()), rtol=1e-9, atol=1e-12)
            assert result.note == (BEYOND if n < needed else "")
            assert (BEYOND in result.table()) == (n < needed)


@pytest.mark.parametrize(("rule", "run", "fewest", "needed"), PARTS)
def test_by_default_the_theorem_counts_and_the_error_says_what_the_definition_takes(
    rule: fw.Rule, run: Oracle, fewest: int, needed: int
) -> None:
    strict = replace(rule, bound="theorem")
    assert strict == fw.build(fw.describe(rule).partition(":")[0], f=rule.f)
    G = random_stack(strict, extra=0)
    assert len(G) == needed
    assert torch.equal(strict(G), rule(G))
    with pytest.raises(fw.BoundError, match=rf"= {needed} clients \(n >= .* = {fewest} with bound='definition'\), got"):
        strict(G[:-1])
    with pytest.raises(fw.BoundError, match=rf"= {needed} clients, got {fewest - 1} \(f is at most [0-9]+\)$"):
        strict(G[: fewest - 1])
    with pytest.raises(
        fw.BoundError, match=rf"needs n >= .* = {fewest} clients, got {fewest - 1} \(f is at most {rule.f - 1}\)$"
    ):
        rule(G[: fewest - 1])


def test_text_and_catalogue_know_both() -> None:
    rule = fw.parse("krum:f=4,bound=definition", "rule")
    assert rule == rules.Krum(f=4, bound="definition")
    assert fw.describe(rule) == "krum:f=4,bound=definition"
    assert fw.describe(rules.Krum(f=4)) == "krum:f=4"
    with pytest.raises(ValueError, match="bound is one of theorem, definition, got 'none at all'"):
        fw.parse("krum:f=4,bound=none at all", "rule")
    entries = {entry.name: entry for entry in fw.catalogue("rule")}
    assert (entries["krum"].bound, entries["krum"].definition) == ("n >= 2f + 3", "n >= f + 3")
    assert (entries["median"].bound, entries["median"].definition) == ("n >= 1", "")


KRUM = rules.Krum(f=2, bound="definition")  # by definition 5 rows, by theorem 7
WHOLES: dict[str, tuple[fw.Rule, int, int]] = {
    "a chain": (mixers.NNM(f=2) >> KRUM, 5, 7),
    "a chain of fewer rows": (mixers.Bucketing(s=2) >> KRUM, 9, 13),
    "class by class": (rules.ClassWise(base=KRUM), 5, 7),
    "switched on late": (rules.Delayed(base=KRUM, start=0), 5, 7),
    "another every round": (rules.RobustTailor(rules=(KRUM, KRUM)), 5, 7),
}


@pytest.mark.parametrize(("rule", "fewest", "needed"), WHOLES.values(), ids=WHOLES)
def test_what_is_made_of_such_rules_has_their_bound_and_their_note(rule: fw.Rule, fewest: int, needed: int) -> None:
    G = torch.randn(needed, 6, generator=torch.Generator().manual_seed(0))
    for n in range(fewest, needed + 1):
        assert fw.Aggregator(rule)(G[:n]).note == (BEYOND if n < needed else "")
    with pytest.raises(fw.BoundError):
        rule(G[: fewest - 1])


def test_a_late_start_and_rows_that_are_left_out_count_as_what_is_decided() -> None:
    G = torch.randn(7, 6, generator=torch.Generator().manual_seed(0))
    late = fw.Aggregator(rules.Delayed(base=KRUM, start=1))
    assert [late(G[:5]).note, late(G[:5]).note] == ["", BEYOND]
    lost = G.clone()
    lost[3] = torch.nan
    assert fw.Aggregator(KRUM)(G).note == ""
    assert fw.Aggregator(KRUM)(lost).note == BEYOND
    # The rejection asks its base rule about n - f rows at least, and its aggregate is of as many.
    rejecting = rules.LossRejection(f=1, base=KRUM)
    evaluator = fw.testing.QuadraticEvaluator(6)
    assert fw.Aggregator(rejecting)(G, evaluator=evaluator).note == BEYOND


def test_nothing_is_withstood_beyond_the_theorem() -> None:
    assert [rules.Krum(f=4, bound="definition").withstands(n) for n in (7, 10, 11, 24)] == [0, 0, 4, 4]
    assert rules.Krum(f=4).withstands(11) == 4


# --- rules of one's own ------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Short(fw.Rule):
    """The mean of the n - f shortest rows, with a theorem about 3f + 1 of them."""

    f: int
    bound: fw.core.Reading = "theorem"
    declared = fw.Traits(bound=fw.Bound(3, 1), definition=fw.Bound(1, 1))

    def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
        kept = fw.smallest(updates.norms(), updates.n - self.f)
        return fw.average_of(updates, kept, note=self.beyond(updates.n))


class Silent(Short):
    """Does not say it."""

    def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
        return replace(super().decide(updates, state, context), note="")


@fw.testing.parametrize([Short(f=2), Short(f=2, bound="definition")])
def test_a_rule_of_ones_own_has_both(check: Check) -> None:
    check()


def test_one_that_does_not_say_it_fails() -> None:
    with pytest.raises(AssertionError, match=r"says so beyond the bound of its theorem: .*note=self\.beyond"):
        check_rule(Silent(f=2, bound="definition"))


def test_a_bound_to_choose_needs_two() -> None:
    with pytest.raises(TypeError, match=r"^Mine\.bound is a trait: write declared = fedward\.Traits\(bound=\.\.\.\)"):
        type("Mine", (fw.Rule,), {"bound": "theorem", "__annotations__": {"bound": "Reading"}})
    message = r'^Mine: declared has a definition beside the bound.*write bound: Reading = "theorem"'
    with pytest.raises(TypeError, match=message):
        type("Mine", (fw.Rule,), {"declared": fw.Traits(bound=fw.Bound(2, 3), definition=fw.Bound(1, 3))})
