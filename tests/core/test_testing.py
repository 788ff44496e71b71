"""The conformance suite must let good rules pass and name what is wrong with broken ones."""

import re
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch

import fedward as fw
from fedward import attacks, rules
from fedward.stack import Dense, Gram
from fedward.testing import CHECKS, PROPERTIES, check_attack, check_rule


@fw.register("test-only-cge", paper="Gupta & Vaidya 2020")
@dataclass(frozen=True, kw_only=True)
class CGE(fw.Rule):
    """Mean of the n - f rows of smallest norm."""

    f: int

    def decide(self, updates, state, context) -> fw.Plan:
        norms = updates.norms()
        return fw.average_of(updates, fw.smallest(norms, updates.n - self.f), scores={"norm": norms})


def naive_cge(f):
    return lambda G: G[np.argsort(np.linalg.norm(G, axis=1), kind="stable")[: len(G) - f]].mean(0)


@pytest.mark.parametrize("f", [0, 1, 2, 4])
def test_the_example_of_a_rule_conforms(f):
    check_rule(CGE(f=f))
    if f <= 1:  # a tiny stack has one row, and no mean of none
        check_rule(CGE(f=0), oracle=naive_cge(0))


def test_the_example_is_in_the_catalogue():
    assert fw.build("test-only-cge", f=2) == CGE(f=2)


@dataclass(frozen=True, kw_only=True)
class Mean(fw.Rule):
    """The mean, for broken rules to start from."""

    def decide(self, updates, state, context):
        return fw.Plan(updates, self.weights(updates, context))

    def weights(self, updates, context):
        return torch.full((updates.n,), 1 / updates.n, dtype=torch.float64)


def test_the_rule_to_be_broken_conforms():
    check_rule(Mean(), oracle=lambda G: G.mean(0))


@pytest.mark.parametrize(
    "claim", ["permutation", "translation", "scale", "columns", "rotation", "unanimity", "mean", "box"]
)
def test_true_claims_pass(claim):
    @dataclass(frozen=True, kw_only=True)
    class Claims(Mean):
        declared = fw.Traits(properties=frozenset({claim}))

    check_rule(Claims())


# --- broken rules, each with the name of the check that must catch it ----------------------------------------


@dataclass(frozen=True, kw_only=True)
class ChangesItsInput(Mean):
    def decide(self, updates, state, context):
        updates.read(0, 1).abs_()
        return super().decide(updates, state, context)


@dataclass(frozen=True, kw_only=True)
class ReadsOnceMore(Mean):
    def decide(self, updates, state, context):
        updates.gram()
        return super().decide(updates, state, context)


@dataclass(frozen=True, kw_only=True)
class ReadsFromTheSecondRound(Mean):
    def decide(self, updates, state, context):
        if context.round > 1:
            updates.concordance()
        return super().decide(updates, state, context)


@dataclass(frozen=True, kw_only=True)
class CountsItsCalls(Mean):
    calls: list = field(default_factory=list, compare=False)

    def weights(self, updates, context):
        self.calls.append(updates.n)
        weights = torch.ones(updates.n, dtype=torch.float64)
        if context.round:
            weights[len(self.calls) % updates.n] = 2
        return weights / weights.sum()


@dataclass(frozen=True, kw_only=True)
class RemembersOnItself(Mean):
    """Its memory is written in `advance`, but not into the state."""

    memory: dict = field(default_factory=dict, compare=False)
    declared = fw.Traits(properties=frozenset())

    def weights(self, updates, context):
        weights = torch.ones(updates.n, dtype=torch.float64)
        if context.round:
            weights[0] = self.memory.get("last", 1.0)
        return weights / weights.sum()

    def advance(self, state, plan, output, context):
        self.memory["last"] = 1 + float(output.double()[0].abs())
        return state


@dataclass(frozen=True, kw_only=True)
class WritesIntoItsState(Mean):
    """A round that fails later on would leave a changed state behind."""

    def decide(self, updates, state, context):
        state["rounds"] = state.get("rounds", torch.zeros(1)) + 1
        return super().decide(updates, state, context)


@dataclass(frozen=True, kw_only=True)
class AddsToItsStateInPlace(Mean):
    def advance(self, state, plan, output, context):
        if not state:
            return {"rounds": torch.ones(1)}
        state["rounds"].add_(1)
        return state


@dataclass(frozen=True, kw_only=True)
class KeepsTheWrongRows(CGE):
    def decide(self, updates, state, context):
        return fw.average_of(updates, fw.smallest(-updates.norms(), updates.n - self.f))


@dataclass(frozen=True, kw_only=True)
class DropsByPlaceInTheOrder(CGE):
    """Takes ranks for row numbers."""

    def decide(self, updates, state, context):
        ranks = updates.norms().argsort().argsort()
        return fw.average_of(updates, updates.norms().argsort()[ranks][: updates.n - self.f])


@dataclass(frozen=True, kw_only=True)
class Overflows(Mean):
    def weights(self, updates, context):
        power = updates.norms() ** 12
        return power / power.sum().clamp_min(1e-300)


@dataclass(frozen=True, kw_only=True)
class GoesByRowOrder(Mean):
    def decide(self, updates, state, context):
        return fw.average_of(updates, torch.arange((updates.n + 1) // 2))


@dataclass(frozen=True, kw_only=True)
class GoesByTheFirstBlock(Mean):
    declared = fw.Traits(passes=3)

    def decide(self, updates, state, context):
        first = next(updates.blocks()).rows.double().norm(dim=1)
        return fw.average_of(updates, fw.smallest(first, (updates.n + 1) // 2))


@dataclass(frozen=True, kw_only=True)
class GoesByNumbersOfClients(Mean):
    def weights(self, updates, context):
        weights = torch.tensor([1.0 + hash(i) % 7 for i in updates.ids], dtype=torch.float64)
        return weights / weights.sum()


@dataclass(frozen=True, kw_only=True)
class DividesByZero(Mean):
    def weights(self, updates, context):
        return updates.norms() / updates.norms().sum()


@dataclass(frozen=True, kw_only=True)
class UsesTheGlobalGenerator(Mean):
    def weights(self, updates, context):
        return torch.rand(updates.n, dtype=torch.float64)


@dataclass(frozen=True, kw_only=True)
class TellsRoundingApart(Mean):
    """Weighs by the last bits of inner products."""

    def statistics(self, state, context):
        return (Gram(),)

    def decide(self, updates, state, context):
        return fw.average_of(updates, (updates.gram()[0] * 2e13).remainder(2).gt(1).nonzero().flatten())


@dataclass(frozen=True, kw_only=True)
class ScoresSomeRows(Mean):
    def decide(self, updates, state, context):
        return fw.Plan(updates, self.weights(updates, context), scores={"norm": updates.norms()[:, None]})


@dataclass(frozen=True, kw_only=True)
class IgnoresNoByzantine(CGE):
    """Without byzantine clients it takes the mean of no rows."""

    def decide(self, updates, state, context):
        kept = fw.smallest(updates.norms(), updates.n - self.f)
        return fw.average_of(updates, kept) if self.f else 1 / 0


@dataclass(frozen=True, kw_only=True)
class BreaksAtItsBound(CGE):
    def decide(self, updates, state, context):
        return fw.average_of(updates, fw.smallest(updates.norms(), 2 * self.f)[[2 * self.f - 1]])


@dataclass(frozen=True, kw_only=True)
class BreaksInHalfPrecision(Mean):
    def decide(self, updates, state, context):
        wrong = torch.nan if updates.dtype == torch.bfloat16 else 1
        return fw.Plan(updates, kernel=lambda block: block.mean(0) * wrong)


@dataclass(frozen=True, kw_only=True)
class ClaimsNonsense(Mean):
    declared = fw.Traits(properties=frozenset({"permutation", "fairness"}))


BROKEN = [
    (ChangesItsInput(), "decide is pure, and the input is not modified: the input was modified"),
    (ReadsOnceMore(), "reads the data no more often than it declares: 3 passes in round 0, declared: 2"),
    (ReadsFromTheSecondRound(), "reads the data no more often than it declares: 3 passes in round 2"),
    (CountsItsCalls(), "decide is pure"),
    (RemembersOnItself(), "resuming from a saved state is bitwise equal"),
    (WritesIntoItsState(), "decide is pure"),
    (AddsToItsStateInPlace(), ""),
    (DropsByPlaceInTheOrder(f=2), "claimed property permutation"),
    (Overflows(), "rows of 1e30 give a finite output: ValueError: Overflows() weighed 1 of 6 rows by NaN or Inf"),
    (GoesByRowOrder(), "claimed property permutation"),
    (GoesByTheFirstBlock(), "block size and layer split do not change the decision"),
    (GoesByNumbersOfClients(), "rows with NaN or Inf are left out, as if they had not been sent"),
    (DividesByZero(), "identical rows, zero rows and a single column are no trouble"),
    (UsesTheGlobalGenerator(), "decide is pure, and the input is not modified"),
    (TellsRoundingApart(), "block size and layer split do not change the decision"),
    (ScoresSomeRows(), "weights @ G equals the output: score norm has shape"),
    (IgnoresNoByzantine(f=1), "f = 0 works"),
    (BreaksAtItsBound(f=1), "works at its bound on n"),
    (BreaksInHalfPrecision(), "output has the input's dtype, device and kind: output is not finite in torch.bfloat16"),
    (ClaimsNonsense(), "claimed property fairness: unknown; valid: permutation, "),
]


@pytest.mark.parametrize(("rule", "message"), BROKEN, ids=[type(rule).__name__ for rule, _ in BROKEN])
def test_a_broken_rule_fails_the_right_check(rule, message):
    with pytest.raises(AssertionError, match=f"^{re.escape(message)}"):
        check_rule(rule)


def test_a_rule_that_drops_the_wrong_clients_is_not_its_oracle():
    @dataclass(frozen=True, kw_only=True)
    class AtLeastThree(KeepsTheWrongRows):
        declared = replace(KeepsTheWrongRows.declared, bound=fw.Bound(1, 2))

    check_rule(AtLeastThree(f=1))  # in itself it is a rule like any other
    with pytest.raises(AssertionError, match=r"^equals its oracle on a random stack: differ by"):
        check_rule(AtLeastThree(f=1), oracle=naive_cge(1))


@pytest.mark.parametrize(
    ("rule", "claim"),
    [
        (rules.Median(), "rotation"),
        (rules.Median(), "mean"),
        (CGE(f=1), "translation"),
        (rules.DnC(f=1, subsample=1), "columns"),
        (rules.SignGuard(), "translation"),
        (fw.mixers.ClipNorm(radius=0.5) >> rules.Mean(), "unanimity"),
        (fw.mixers.ClipNorm(radius=0.5) >> rules.Mean(), "scale"),
    ],
    ids=str,
)
def test_false_claims_are_found(rule, claim):
    with pytest.raises(AssertionError):
        PROPERTIES[claim](rule, fw.testing.random_stack(rule))


def test_a_false_claim_is_named():
    @dataclass(frozen=True, kw_only=True)
    class Claims(CGE):
        declared = replace(CGE.declared, properties=frozenset({"permutation", "translation"}))

    with pytest.raises(AssertionError, match=r"^claimed property translation: differ by"):
        check_rule(Claims(f=1))


def test_every_check_has_a_name():
    names = [check.__doc__ for check in CHECKS]
    assert all(names)
    assert len(set(names)) == len(names)


# --- attacks ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Echo(attacks.Attack):
    """For broken attacks to start from."""

    def forge(self, view):
        return view.own


@dataclass(frozen=True, kw_only=True)
class ChangesHonestRows(Echo):
    def forge(self, view):
        view.honest.read(0, 1).zero_()
        return view.own


@dataclass(frozen=True, kw_only=True)
class ChangesOwnRows(Echo):
    def forge(self, view):
        view.own.read(0, 1).zero_()
        return view.own


@dataclass(frozen=True, kw_only=True)
class OneRowForAll(Echo):
    def forge(self, view):
        return view.honest.take(torch.tensor([0]))


@dataclass(frozen=True, kw_only=True)
class NeverTheSame(Echo):
    def forge(self, view):
        return Dense(torch.randn(view.own.n, view.own.d, dtype=torch.float64))


@dataclass(frozen=True, kw_only=True)
class LooksAtBlocks(Echo):
    def forge(self, view):
        return view.own.scale(torch.full((view.own.n,), 1.0 + view.own.block_columns, dtype=torch.float64))


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        (ChangesHonestRows(), "honest rows were modified"),
        (ChangesOwnRows(), r"own rows were modified|written to after"),
        (OneRowForAll(), "forged 1 rows of 203 columns; it must return 4 rows"),
        (NeverTheSame(), "two calls with one seed differ"),
        (LooksAtBlocks(), "differ by"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_broken_attack_fails(attack, message):
    check_attack(Echo())
    with pytest.raises(AssertionError, match=message):
        check_attack(attack)
