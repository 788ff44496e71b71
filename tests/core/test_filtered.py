"""Filters: the rule that follows sees the accepted rows alone, and what both say of the clients is kept."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import fedward as fw
from fedward import attacks, mixers, rules
from fedward.core import BoundError, Context, Filtered, Front, Reason, State, apply, step_or_skip
from fedward.stack import Dense
from fedward.testing import check_rule
from fedward.testing.stacks import QuadraticEvaluator

FILTERS = [
    entry.build()
    for entry in fw.catalogue("rule", packaged=True)
    if entry.build().traits().selects and not entry.build().traits().server_rows
]
NAMES = {fw.describe(rule).partition(":")[0] for rule in FILTERS}


def stack(n: int = 14, d: int = 40, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    G = 0.5 + torch.randn(n, d, generator=generator, dtype=torch.float64)
    G[:3] = -4 * G[3:].mean(0)
    return G


def test_which_rules_are_filters() -> None:
    assert {"sign-guard", "sign-guard-sim", "krum", "multi-krum", "cge", "faba", "dnc", "fldetector", "zeno"} <= NAMES
    assert not NAMES & {"mean", "median", "trimmed-mean", "bulyan", "geometric-median", "class-wise", "flame", "caf"}


@pytest.mark.parametrize("then", [rules.Median(), rules.Mean()], ids=repr)
@pytest.mark.parametrize("rule", FILTERS, ids=repr)
def test_equals_the_rule_on_what_the_filter_accepts(rule: fw.Rule, then: fw.Rule) -> None:
    G = stack()
    data = QuadraticEvaluator(G.shape[1])
    alone = fw.Aggregator(rule)
    both = fw.Aggregator(rule >> then)
    # Random streams are those of a part, which the filter alone is not.
    verdict = rule.decide(Dense(G), {}, Context(evaluator=data).fold("filter")).accepted()
    result = both(G, evaluator=data)
    alone(G, evaluator=data)
    assert torch.equal(result.accepted, verdict)
    expected = then(G[verdict]) if bool(verdict.any()) else torch.zeros(G.shape[1], dtype=G.dtype)
    torch.testing.assert_close(result.output, expected)
    for ok, reason in zip(verdict.tolist(), result.reasons, strict=True):
        assert (reason is Reason.ACCEPTED) == ok
    if not rule.traits().history:
        assert set(result.reasons) - {Reason.ACCEPTED} <= set(alone(G, evaluator=data).reasons)


def test_both_say_what_they_saw() -> None:
    G = stack()
    result = fw.Aggregator(rules.MultiKrum(f=3) >> rules.Krum(f=2))(G)
    left = result.scores["krum"].argsort(stable=True)[: 14 - 3 - 2]
    seen = ~result.scores["filtered krum"].isnan()
    assert sorted(left.tolist()) == seen.nonzero().flatten().tolist()
    assert not result.scores["krum"].isnan().any()
    assert int(result.accepted.sum()) == 1
    assert {result.reasons[i] for i in range(3)} == {Reason.FAR}


@pytest.mark.parametrize(
    "rule",
    [
        rules.SignGuard() >> rules.Median(),
        rules.SignGuardSim(warmup=2) >> rules.CenteredClipping(radius=10.0),
        rules.CGE(f=1) >> rules.MultiKrum(f=1) >> rules.TrimmedMean(f=1),
        rules.FABA(f=1) >> mixers.Bucketing(s=2) >> rules.Median(),
        mixers.NNM(f=1) >> rules.CosineClustering() >> rules.Median(),
        rules.FLDetector() >> rules.FoolsGold(),
        rules.RobustTailor(rules=(rules.CGE(f=1), rules.Delayed(base=rules.FABA(f=1), start=2))) >> rules.Median(),
        rules.CGE(f=1) >> rules.ClassWise(base=rules.CGE(f=1) >> rules.Median()),
    ],
    ids=repr,
)
def test_conforms(rule: fw.Rule) -> None:
    check_rule(rule)


# --- how it is written ----------------------------------------------------------------------------------------


def test_it_is_the_same_however_it_was_put_together() -> None:
    a, b, c = rules.CGE(f=1), rules.MultiKrum(f=1), rules.Median()
    clip, nnm = mixers.ClipNorm(radius=1.0), mixers.NNM(f=1)
    assert (a >> b) >> c == a >> (b >> c)
    assert isinstance(a >> b >> c, Filtered)
    whole = clip >> a >> nnm >> b >> c
    assert (
        whole == clip >> (a >> (nnm >> (b >> c))) == (clip >> a) >> ((nnm >> b) >> c) == (clip >> a >> nnm) >> (b >> c)
    )
    text = "clip-norm:radius=1.0 >> cge:f=1 >> nnm:f=1 >> multi-krum:f=1 >> median"
    assert fw.describe(whole) == text
    assert fw.parse(text) == whole
    assert fw.parse(f"delayed:base=({text})") == rules.Delayed(base=whole)
    assert repr(whole) == f"{clip!r} >> {a!r} >> {nnm!r} >> {b!r} >> {c!r}"
    waiting = a >> clip
    assert isinstance(waiting, Front)
    assert waiting >> nnm >> c == a >> (clip >> nnm >> c)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: rules.Median() >> rules.Mean(),
            r"Median\(\) drops no clients.* SignGuard, MultiKrum or CGE, or a mixer",
        ),
        (lambda: rules.FLAME() >> rules.Mean(), r"FLAME.* adds something of the server's own"),
        (lambda: rules.CGE(f=1) >> rules.Median() >> rules.Mean(), r"Median\(\) drops no clients"),
        (lambda: Filtered(filter=mixers.NNM(f=1) >> rules.Krum(f=1), rule=rules.Mean()), "is no single filter"),
    ],
)
def test_what_is_no_filter_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


# --- how many are left ------------------------------------------------------------------------------------------


def test_the_rules_bound_holds_for_what_is_left() -> None:
    rule = rules.MultiKrum(f=1) >> rules.TrimmedMean(f=2)
    with pytest.raises(
        BoundError,
        match=r"2f \+ 1 = 5 clients, got 4 \(f is at most 1\) \(7 clients, of which MultiKrum.* accepts 4 at most",
    ):
        rule.check(7)
    rule.check(8)
    assert rules.SMEA(f=2).most_accepted(9) == 7


def test_a_round_of_too_few_is_skipped_with_the_count() -> None:
    G = stack()
    rule = rules.SignGuard() >> rules.TrimmedMean(f=6)
    rule.check(len(G))  # as many may be left
    done = step_or_skip(rule, Dense(G), {}, Context())
    assert "2f + 1 = 13 clients, got" in done.why  # type: ignore[union-attr]
    assert "14 clients, of which SignGuard" in done.why  # type: ignore[union-attr]


def test_where_nobody_is_accepted_the_output_is_zero() -> None:
    G = torch.tensor([[0.0, 0.0]] * 5 + [[1.0, -1.0]] * 4, dtype=torch.float64)
    rule = rules.SignGuard(lower=2.0) >> rules.Median()  # no row is twice as long as the median row is
    result = fw.Aggregator(rule)(torch.ones(5, 2, dtype=torch.float64))
    assert not result.accepted.any()
    assert set(result.reasons) == {Reason.NORM_TOO_SMALL}
    assert not result.output.any()
    assert fw.Aggregator(rules.SignGuard() >> rules.Median())(G).accepted.tolist() == [True] * 5 + [False] * 4


# --- memory -------------------------------------------------------------------------------------------------------


def test_both_remember_and_the_filter_remembers_what_came_of_both() -> None:
    rule = rules.SignGuardSim(warmup=1) >> rules.CenteredClipping(radius=10.0)
    aggregator = fw.Aggregator(rule)
    outputs = [aggregator(stack(seed=seed)).output for seed in range(3)]
    assert sorted(aggregator.state) == ["filter/reference", "rule/previous"]
    assert torch.equal(aggregator.state["filter/reference"], outputs[-1])
    assert torch.equal(aggregator.state["rule/previous"], outputs[-1])


def test_the_rule_forgets_nothing_in_a_round_that_nobody_passes() -> None:
    rule = rules.SignGuard(upper=3.0, lower=2.9) >> rules.CenteredClipping(radius=10.0)
    aggregator = fw.Aggregator(rule)
    G = torch.ones(5, 3, dtype=torch.float64)
    lengths = torch.tensor([1.0, 1.0, 1.0, 2.95, 2.95], dtype=torch.float64)
    aggregator(G * lengths[:, None])
    before = dict(aggregator.state)
    assert before
    aggregator(G)
    assert {k: v.tolist() for k, v in aggregator.state.items()} == {k: v.tolist() for k, v in before.items()}


def test_no_row_is_copied_and_none_read_again() -> None:
    G = stack(d=900)
    rule = rules.MultiKrum(f=3) >> mixers.ClipNorm(radius="median") >> rules.Krum(f=1)
    state: State = {}
    updates = Dense(G, block=64)
    plan = apply(rule, updates, state, Context()).plan
    assert updates.columns_read / updates.d <= 1 + 1 / len(G)  # one row alone in the second pass
    assert plan.updates.base.base is updates  # type: ignore[attr-defined]


# --- where rules are looked at ------------------------------------------------------------------------------------


def test_an_attack_may_search_against_it() -> None:
    attack = attacks.Maximise(attack=attacks.IPM(), over="epsilon", bounds=(0.0, 4.0), candidates=3, zooms=0)
    fw.testing.check_attack(attack)
    G = stack()
    context = Context(round=1)
    rule = rules.SignGuard() >> rules.Median()
    view = attacks.View(
        honest=Dense(G[3:]), own=Dense(G[:3]), context=context, decide=lambda u: rule.decide(u, {}, context)
    )
    assert attack.forge(view).n == 3
