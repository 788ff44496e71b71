"""Plain functions as rules and attacks: they do what others do, wherever others are, and what is wrong is said."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import fedward as fw
from fedward import attacks, clients, mixers, redteam, rules, sim
from fedward.core import reads
from fedward.experiments.spec import make_spec
from fedward.registry.notation import describe, parse
from fedward.testing import QuadraticEvaluator, check_attack, check_rule

pytestmark = pytest.mark.usefixtures("functions_of_mine")


def stack(n: int = 9, d: int = 30, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def median(G: Tensor) -> Tensor:
    return G.median(0).values


@fw.rule
def middle(G: Tensor) -> Tensor:
    return G.median(0).values


@fw.attack
def turned(honest: Tensor, own: Tensor) -> Tensor:
    return -honest.mean(0)


@dataclass(frozen=True)
class Trim:
    f: int

    def __call__(self, G: Tensor) -> Tensor:
        return G.sort(0).values[self.f : -self.f].mean(0)


class Bare:
    def __call__(self, G: Tensor) -> Tensor:
        return G.mean(0)


# --- it is a rule --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_equals_the_rule_of_the_same_formula(dtype: torch.dtype) -> None:
    G = stack(dtype=dtype)
    before = G.clone()
    for made in (fw.rule(median), middle, fw.rule(numpy=True)(lambda G: np.median(G, axis=0))):
        output = made(G)
        assert output.dtype == dtype
        assert torch.equal(output, rules.Median()(G))
    assert torch.equal(G, before)


def test_arrays_come_back_as_arrays() -> None:
    G = stack().numpy()
    output = middle(G)
    assert isinstance(output, np.ndarray)
    assert np.array_equal(output, np.median(G, axis=0))


def test_a_verdict_says_who_took_part_and_no_weights() -> None:
    G = stack()
    G[3, 4] = torch.nan
    result = fw.Aggregator(middle)([{"a": row[:10].reshape(2, 5), "b": row[10:]} for row in G])
    assert result.weights is None
    assert result.accepted.tolist() == [i != 3 for i in range(9)]
    assert result.reasons[3] is fw.Reason.NONFINITE
    assert "nonfinite" in result.table()
    rest = torch.cat([G[:3], G[4:]])
    assert torch.equal(result.state_dict()["a"], median(rest)[:10].reshape(2, 5))


@pytest.mark.parametrize(
    "front",
    [mixers.NNM(f=2), mixers.Bucketing(s=2), mixers.ClipNorm(radius="median") >> mixers.NNM(f=1), rules.MultiKrum(f=2)],
    ids=repr,
)
def test_after_mixers_and_filters_it_sees_what_any_rule_sees(front: Any) -> None:
    G = stack()
    G[0] = torch.inf
    own, usual = (fw.Aggregator(front >> rule)(G) for rule in (fw.rule(lambda G: G.mean(0)), rules.Mean()))
    torch.testing.assert_close(own.output, usual.output)
    told = [reason.replace(fw.Reason.NOT_JUDGED, fw.Reason.ACCEPTED) for reason in own.reasons]
    assert told == [*usual.reasons]
    assert own.accepted.tolist() == usual.accepted.tolist()


def test_within_wrappers() -> None:
    G = stack(n=12)
    for make in (
        lambda rule: rules.Hierarchical(base=rule, size=4),
        lambda rule: rules.Hierarchical(base=rule, size=4, then=rules.Krum(f=0)),
        lambda rule: rules.ClassWise(base=rule),
        lambda rule: rules.DeMoA(base=rule),
    ):
        own, usual = (fw.Aggregator(make(rule)) for rule in (fw.rule(lambda G: G.mean(0)), rules.Mean()))
        for seed in range(3):
            torch.testing.assert_close(own(G + seed).output, usual(G + seed).output)


def test_it_says_that_it_holds_the_whole_stack() -> None:
    assert not rules.Krum(f=1).traits().in_memory
    for rule in (middle, mixers.NNM(f=1) >> middle, rules.SignGuard() >> middle, rules.Hierarchical(base=middle)):
        assert rule.traits().in_memory
    assert reads(middle) == ("the whole stack",)
    assert middle.traits().properties == frozenset()


def test_the_suites_pass() -> None:
    check_rule(fw.rule(lambda G: G.mean(0)), oracle=lambda G: G.mean(0))
    check_rule(fw.rule(partial(torch.quantile, q=0.5, dim=0), minimum=3))
    check_attack(turned)


def test_the_fewest_rows_are_counted_without_those_that_are_not_finite() -> None:
    rule = fw.rule(median, minimum=4)
    rule(stack(4))
    G = stack(4)
    G[0, 0] = torch.nan
    with pytest.raises(fw.BoundError, match="n >= 4 clients, got 3"):
        rule(G)


# --- it is an attack -----------------------------------------------------------------------------------------


def test_an_attack_equals_the_one_of_the_same_formula() -> None:
    honest, own = stack(), stack(3, seed=1)
    expected = attacks.IPM(epsilon=1.0)(honest, own)
    torch.testing.assert_close(turned(honest, own), expected)
    assert torch.equal(fw.attack(lambda honest, own: -own)(honest, own), attacks.SignFlip()(honest, own))
    forged = fw.attack(lambda honest, own: -np.mean(honest, axis=0), numpy=True)(honest.numpy(), own.numpy())
    assert isinstance(forged, np.ndarray)
    np.testing.assert_allclose(forged, expected)


def test_in_a_simulation_they_are_what_their_formulas_are() -> None:
    data = sim.federate(sim.load("fashion-mnist-subset"), clients=7)
    outcomes = []
    for rule, attack in ((fw.rule(median), turned), (rules.Median(), attacks.IPM(epsilon=1.0))):
        simulation = fw.Simulation(
            model=lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10)),
            data=data,
            rule=rule,
            attack=attack,
            byzantine=1,
            clients=clients.Gradient(batch_size=20),
            server=fw.ServerSGD(lr=0.1),
            threads=1,
        )
        outcomes.append([(r.loss, r.skipped, r.accepted) for r in simulation.run(rounds=2, evaluate_every=1)])
    (first, second) = outcomes
    assert [told[1:] for told in first] == [(None, (True,) * 7)] * 2
    np.testing.assert_allclose([told[0] for told in first], [told[0] for told in second], rtol=1e-4)


def test_the_red_team_plays_them() -> None:
    stacks = [stack(13, seed=seed, dtype=torch.float32) + 1 for seed in range(3)]
    captured = [redteam.Captured(rows=G, previous=None, evaluator=QuadraticEvaluator(30)) for G in stacks]
    own = redteam.play(fw.rule(median), turned, captured, 3)
    usual = redteam.play(rules.Median(), attacks.IPM(epsilon=1.0), captured, 3)
    assert own.kappa == pytest.approx(usual.kappa)
    searched = parse("maximise:attack=ipm,over=epsilon,bounds=(0, 5),candidates=3,zooms=0", "attack")
    assert redteam.play(fw.rule(median), searched, captured, 3).kappa >= own.kappa * (1 - 1e-6)


# --- by name, and in other processes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("functions_of_mine:trim:f=2", "functions_of_mine.trim:f=2"),
        ("functions_of_mine.one", "functions_of_mine.trim:f=1"),
        ("functions_of_mine:one:f=2", "functions_of_mine.trim:f=2"),
        ("functions_of_mine:quantile", "functions_of_mine.quantile"),
        ("functions_of_mine:quantile:q=0.25", "functions_of_mine.quantile:q=0.25"),
        ("functions_of_mine:krum", "krum:f=2"),
        ("nnm:f=2 >> functions_of_mine.trim:f=1", "nnm:f=2 >> functions_of_mine.trim:f=1"),
        ("sign-guard >> functions_of_mine.quantile", "sign-guard >> functions_of_mine.quantile"),
        ("hierarchical:base=functions_of_mine.one,size=3", "hierarchical:base=(functions_of_mine.trim:f=1),size=3"),
    ],
)
def test_by_import_path(text: str, written: str) -> None:
    rule = parse(text, "rule")
    assert isinstance(rule, fw.Rule)
    assert parse(describe(rule), "rule") == rule == parse(written, "rule")
    again = pickle.loads(pickle.dumps(rule))
    assert again == rule
    assert repr(again) == repr(rule)
    assert torch.equal(again(stack()), rule(stack()))


def test_attacks_by_import_path() -> None:
    attack = parse("functions_of_mine:back:z=3", "attack")
    assert describe(attack) == "functions_of_mine.back:z=3"
    assert pickle.loads(pickle.dumps(attack)) == attack
    assert torch.equal(parse("functions_of_mine:noisy", "attack")(stack(), stack(2)), 3 * stack(2))


def test_an_f_that_is_not_given_is_the_number_of_byzantine_clients() -> None:
    spec = make_spec({"rule": "functions_of_mine:trim", "clients": 10, "byzantine": 3, "data": "fashion-mnist-subset"})
    assert describe(spec.make_rule()) == "functions_of_mine.trim:f=3"


def test_what_others_read_is_the_same_everywhere() -> None:
    assert repr(fw.rule(partial(median), minimum=3)) == f"rule({__name__}.median, minimum=3)"
    line = test_what_others_read_is_the_same_everywhere.__code__.co_firstlineno + 3
    assert repr(fw.rule(lambda G: G.mean(0))).endswith(f"<lambda> (line {line}))")
    assert repr(fw.rule(Trim(f=2))) == "rule(Trim(f=2))"
    assert repr(fw.rule(partial(Trim.__call__, Trim(f=2)))) == f"rule({__name__}.Trim.__call__ of Trim(f=2))"
    assert repr(fw.rule(Bare())) == f"rule({__name__}.Bare)"
    saved = fw.Aggregator(middle).state_dict()
    fw.Aggregator(pickle.loads(pickle.dumps(middle))).load_state_dict(saved)
    with pytest.raises(ValueError, match="saved with rule"):
        fw.Aggregator(fw.rule(median, minimum=2)).load_state_dict(saved)
    assert pickle.loads(pickle.dumps(middle)) is middle
    assert pickle.loads(pickle.dumps(replace(middle, minimum=5))) == replace(middle, minimum=5)
    # Options that stand nowhere but here would be lost by the path.
    assert describe(fw.rule(median, minimum=3)) == repr(fw.rule(median, minimum=3))


def test_a_function_is_registered_as_a_class_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedward.registry.entries._ENTRIES", dict(fw.registry.entries._ENTRIES))
    fw.register("middle-of-mine", paper="mine")(middle)
    (entry,) = (entry for entry in fw.catalogue("rule") if entry.name == "middle-of-mine")
    assert fw.build("middle-of-mine") is middle
    assert (entry.bound, entry.passes, reads(entry.build())) == ("n >= 1", 2, ("the whole stack",))
