"""Rules that weigh votes: whose vote counts is who is accepted, through every wrapper, and what follows from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fedward as fw
from fedward import attacks, mixers, rules
from fedward.attacks import View
from fedward.core.rule import apply
from fedward.rules.classwise import _mean_of
from fedward.stack import Dense, as_updates
from tests.oracles import election

N, D = 6, 40
VARIANTS = ["paper", "official"]


def stack(outvoted: tuple[int, ...] = (1, 4), seed: int = 0) -> torch.Tensor:
    """Rows that agree with one another, but for those that are turned round."""
    generator = torch.Generator().manual_seed(seed)
    G = 1 + 0.8 * torch.randn(N, D, generator=generator, dtype=torch.float64)
    G[list(outvoted)] *= -1
    return G


def judged(rule: fw.Rule, G: torch.Tensor, **more) -> fw.Result:
    return fw.Aggregator(rule)(G, **more)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_who_is_outvoted_is_not_accepted(variant: str, momentum: float) -> None:
    G = stack()
    result = judged(rules.FedSECA(variant=variant, momentum=momentum, sparsity=0.5), G)
    assert result.weights is None
    assert result.accepted.tolist() == [True, False, True, True, False, True]
    assert [reason.value for reason in result.reasons] == [
        "accepted" if ok else "outvoted" for ok in result.accepted.tolist()
    ]
    np.testing.assert_allclose(result.scores["concordance"], election.concordance_ratios(G.numpy()), atol=1e-15)
    assert "outvoted" in result.table()


@pytest.mark.parametrize("vote", ["count", "mass", None])
def test_without_weighed_votes_everybody_takes_part(vote: str | None) -> None:
    rule = rules.FedSECA(vote=vote)
    assert judged(rule, stack()).accepted.all()
    assert rule.traits().recorded == ()


@pytest.mark.parametrize("rule", [rules.TIES(sparsity=0.5), rules.SignMajority(), rules.Median()])
def test_rules_whose_votes_count_alike_accept_everybody(rule: fw.Rule) -> None:
    assert judged(rule, stack()).accepted.all()


def test_one_that_sends_nothing_finite_is_not_outvoted_but_refused() -> None:
    G = stack()
    G[0, 3] = torch.nan
    result = judged(rules.FedSECA(), G)
    assert [r.value for r in result.reasons] == [
        "nonfinite", "outvoted", "accepted", "accepted", "outvoted", "accepted",
    ]  # fmt: skip
    assert result.scores["concordance"].isnan().tolist() == [True] + 5 * [False]


# --- ratios ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), order=st.permutations(range(N)))
def test_ratios_go_with_the_clients_and_know_no_scale(variant: str, seed: int, order: list[int]) -> None:
    generator = torch.Generator().manual_seed(seed)
    G = (torch.randn(N, 9, generator=generator, dtype=torch.float64) + 0.2).round(decimals=1)  # zeros and ties, too
    factors = torch.rand(N, generator=generator, dtype=torch.float64) * 5 + 0.1
    rule = rules.FedSECA(variant=variant)
    plain, other = judged(rule, G), judged(rule, (factors[:, None] * G)[order])
    assert torch.equal(plain.scores["concordance"][order], other.scores["concordance"])
    assert torch.equal(plain.accepted[order], other.accepted)
    assert torch.equal(plain.scores["concordance"] > 0, plain.accepted)
    turned = judged(rule, -G)
    assert torch.equal(turned.scores["concordance"], plain.scores["concordance"])
    np.testing.assert_allclose(plain.scores["concordance"], election.concordance_ratios(G.numpy()), atol=1e-15)


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), sparsity=st.sampled_from([0.0, 0.3, 0.6, 0.9, 1.0]))
def test_official_is_its_oracle_where_raw_and_sparse_rows_agree_with_others(seed: int, sparsity: float) -> None:
    # Few large entries against many small ones: rows agree with one another in the one, and not in the other.
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(5, 14)) + 0.3 * rng.choice([-1, 1], size=(5, 1))
    X[:, :3] *= 9 * rng.choice([-1, 1], size=(5, 3))
    found = rules.FedSECA(variant="official", sparsity=sparsity)(X)
    np.testing.assert_allclose(found, election.fedseca_repo(X, sparsity), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("vote", ["crise", "count", "mass", None])
@pytest.mark.parametrize("parts", [{}, {"clip": False}, {"clamp": False}, {"merge": "mean"}, {"sparsity": None}])
def test_every_part_of_the_official_variant_is_its_oracle_s(vote: str | None, parts: dict) -> None:
    rule = rules.FedSECA(**{"variant": "official", "sparsity": 0.6, "vote": vote, **parts})
    for seed in range(5):
        X = np.random.default_rng(seed).normal(size=(5, 11)) * np.array([[1], [1], [3], [0.5], [40]])
        whole = election.fedseca_repo(X, rule.sparsity, rule.clip, rule.clamp, vote or "none", rule.merge)
        np.testing.assert_allclose(rule(X), whole, rtol=1e-9, atol=1e-12)


# --- around it ----------------------------------------------------------------------------------------------


def test_in_a_chain_whoever_is_in_a_bucket_that_has_a_vote_is_accepted() -> None:
    G = stack(outvoted=())
    G[:2] *= -1
    M = torch.zeros(3, N, dtype=torch.float64)
    for row in range(3):
        M[row, 2 * row : 2 * row + 2] = 0.5
    plan = rules.FedSECA().decide(as_updates(G).mix(M), {}, fw.Context())
    assert plan.accepted().tolist() == [False, False, True, True, True, True]
    chained = judged(mixers.ClipNorm(radius="median") >> rules.FedSECA(momentum=0.5), stack())
    assert torch.equal(chained.accepted, judged(rules.FedSECA(), stack()).accepted)
    assert (mixers.NNM(f=1) >> rules.FedSECA()).traits().recorded == ("concordance",)


def test_in_rounds_of_classes() -> None:
    wrapped = rules.ClassWise(base=rules.FedSECA(momentum=0.5))
    G = stack()
    aggregator = fw.Aggregator(wrapped)
    for _ in range(3):  # with and without an average of buffers below the rows
        result = aggregator(G, group=0)
        assert result.accepted.tolist() == [True, False, True, True, False, True]
        assert result.reasons[1] is fw.Reason.OUTVOTED
    several = fw.Aggregator(wrapped)(torch.cat([G[:3], -G[3:]]), group={0: 0, 1: 0, 2: 0, 3: 1, 4: 1, 5: 1})
    assert several.accepted.tolist() == [True, False, True, True, False, True]


def test_of_several_rules_on_several_classes_those_without_weight_are_out() -> None:
    whole = as_updates(stack())
    first = rules.Krum(f=0).decide(whole.take(torch.arange(3)), {}, fw.Context())
    second = rules.FedSECA().decide(whole.take(torch.arange(3, 6)), {}, fw.Context())
    plan = _mean_of([first, second])
    assert plan.accepted().sum() == 3
    assert plan.accepted()[3:].tolist() == [True, False, True]


def test_before_its_start_a_delayed_rule_accepts_all_and_says_no_ratio() -> None:
    aggregator = fw.Aggregator(rules.Delayed(base=rules.FedSECA(), start=1))
    first, second = aggregator(stack()), aggregator(stack())
    assert first.accepted.all()
    assert "concordance" not in first.scores
    assert second.accepted.sum() == 4


def test_running_statistics_are_those_of_accepted_clients() -> None:
    G = stack()
    sent = [{"w": row, "bn.running_mean": torch.tensor([float(i)])} for i, row in enumerate(G)]
    result = fw.Aggregator(rules.FedSECA(), batch_norm="mean")(sent)
    assert result.state_dict()["bn.running_mean"].item() == np.mean([0, 2, 3, 5])


def test_an_attack_that_wants_to_be_accepted_is_told_the_truth() -> None:
    G = stack(outvoted=()).float()
    rule = rules.FedSECA()
    found = {}
    for scale in (-1.0, 1.0):
        forged = (scale * G[:2]).double()
        rows = Dense(torch.cat([G[2:].double(), forged]))
        trial = attacks.adaptive.Trial(plan=rule.decide(rows, {}, fw.Context()), stack=rows, honest=4)
        found[scale] = attacks.adaptive.accepted(trial)
    assert found == {-1.0: 0.0, 1.0: 1.0}
    search = attacks.Maximise(attacks.IPM, over="epsilon", bounds=(-1.0, 1.0), objective="accepted", candidates=5)
    honest, own = as_updates(G[2:]), as_updates(G[:2])
    view = View(honest=honest, own=own, decide=lambda updates: rule.decide(updates, {}, fw.Context()))
    _, epsilon, accepted = search.best(view)
    assert epsilon < 0, "the mean turned round would be outvoted"
    assert accepted == 1.0


def test_what_a_rule_s_columns_are_made_of_is_what_it_accepts() -> None:
    G = stack(outvoted=()) + 0.0
    G = torch.cat([G, 100 + G[:1]])
    outcome = apply(rules.Bulyan(f=1), as_updates(G), {}, fw.Context())
    assert outcome.plan.kernel is not None
    assert not outcome.plan.accepted()[-1]


def test_voters_are_a_bool_for_each_row_of_a_kernel() -> None:
    updates = as_updates(stack())
    plan = fw.Plan(updates, kernel=lambda block: block.mean(0), voters=torch.ones(N, dtype=torch.bool))
    for wrong in ({"voters": torch.ones(N - 1)}, {"kernel": None, "weights": torch.ones(N)}):
        with pytest.raises(ValueError, match="voters say of 6 rows"):
            replace(plan, **wrong)
