"""What clients say about how many samples they have, and what becomes of it where a rule is asked to weigh by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import fedward as fw
from fedward import attacks, clients, mixers, rules, sim
from fedward.core import EXAMPLES
from fedward.rules.messages import examples
from fedward.testing import check_rule

WEIGHTED = [
    rules.Mean(weighted=True),
    rules.SIREN(weighted=True),
    rules.Delayed(base=rules.Mean(weighted=True), start=0),
    rules.ClassWise(base=rules.Mean(weighted=True)),
    rules.RobustTailor(rules=(rules.Mean(weighted=True),)),
    rules.LossRejection(f=0, base=rules.Mean(weighted=True)),
    mixers.ClipNorm(radius=1e9) >> rules.Mean(weighted=True),
]
WORDS = r"none of the 3 clients says a positive number: pass messages=\{id: \{'num-examples': 250\}, ...\} \(num_ex"
ROWS = torch.eye(3, dtype=torch.float64)


def aggregated(rule: fw.Rule, messages: dict[Any, Any]) -> fw.Result[torch.Tensor]:
    return fw.Aggregator(rule)(ROWS, messages=messages, evaluator=fw.testing.QuadraticEvaluator(3))


@pytest.mark.parametrize("key", ["num-examples", "num_examples", "samples"])
@pytest.mark.parametrize("rule", WEIGHTED, ids=repr)
def test_every_spelling_weighs(rule: fw.Rule, key: str) -> None:
    said = {i: {key: (i + 1) * 10, "loss": 0.5} for i in range(3)}
    output = aggregated(rule, said).output / (0.5 if isinstance(rule, rules.ClassWise) else 1)
    torch.testing.assert_close(output, torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64) / 6)


@pytest.mark.parametrize("value", [None, 0, -3, float("nan"), float("inf"), "many", True, [5], 10**400])
@pytest.mark.parametrize("rule", WEIGHTED, ids=repr)
def test_nobody_says_anything_usable(rule: fw.Rule, value: object) -> None:
    for said in ({}, {i: {"num-examples": value} for i in range(3)}, {i: {"n_examples": 5} for i in range(3)}):
        with pytest.raises(ValueError, match=WORDS):
            aggregated(rule, said)
    with pytest.raises(ValueError, match=WORDS):
        rule(ROWS, evaluator=fw.testing.QuadraticEvaluator(3))


@pytest.mark.parametrize("rule", WEIGHTED, ids=repr)
def test_who_says_nothing_among_others_has_no_weight_and_a_reason(rule: fw.Rule) -> None:
    result = aggregated(rule, {0: {"num-examples": 5}, 1: {"num-examples": "5"}, 2: {"samples": 15}})
    assert result.accepted.tolist() == [True, False, True]
    assert result.reasons[1] is fw.Reason.NO_EXAMPLES


@pytest.mark.parametrize("rule", WEIGHTED[:2], ids=repr)
def test_conforms(rule: fw.Rule) -> None:
    check_rule(rule)


@pytest.mark.parametrize("number", [1e300, 1e-300, 10**300, np.float32(3e38), np.int64(2**62)])
def test_great_and_small_numbers_weigh_as_others_do(number: Any) -> None:
    said = {0: {"num-examples": number}, 1: {"num-examples": number}, 2: {"num-examples": float(number) / 2}}
    torch.testing.assert_close(
        aggregated(rules.Mean(weighted=True), said).output, torch.tensor([0.4, 0.4, 0.2], dtype=torch.float64)
    )


@pytest.mark.parametrize("count", [5e-324, 1e-320, 1e-300, 1, 1e308])
def test_weights_add_up_to_1_however_small_the_numbers_are(count: float) -> None:
    weights = aggregated(rules.Mean(weighted=True), {i: {EXAMPLES: count} for i in range(3)}).weights
    assert weights is not None
    torch.testing.assert_close(weights, torch.full((3,), 1 / 3, dtype=torch.float64))


@pytest.mark.parametrize("wrong", [[{EXAMPLES: 5}] * 3, "250", 250, [], ()])
def test_messages_that_are_nobodys(wrong: Any) -> None:
    for rule in (rules.Mean(weighted=True), rules.Median()):
        for aggregate in (fw.Aggregator(rule), rule):
            with pytest.raises(TypeError, match=r"messages are what clients said, by id, .* got \w+: hand over dict"):
                aggregate(ROWS, messages=wrong)


def test_of_several_spellings_the_first_counts() -> None:
    said = {0: {"samples": 3, "num-examples": 5}, 1: {"samples": 3, "num_examples": -1}, 2: {"samples": 3}}
    assert examples(range(3), fw.Context(messages=said)).tolist() == [5, 0, 3]


def test_the_only_benign_client_that_says_nothing_ends_no_run() -> None:
    """Two alarm and are right; only one that does not says how many samples it has: nobody has weight."""
    target = fw.testing.QuadraticEvaluator(3).target
    rows = torch.stack([target, target, -target])
    said = {0: {"alarm": True}, 1: {"alarm": True}, 2: {"num-examples": 9}}
    result = fw.Aggregator(rules.SIREN(weighted=True))(rows, messages=said, evaluator=fw.testing.QuadraticEvaluator(3))
    assert not result.accepted.any()
    assert not result.output.any()
    assert result.reasons[:2] == (fw.Reason.NO_EXAMPLES,) * 2


def test_rows_that_are_nobody_s_have_said_nothing() -> None:
    """After Bucketing, row 0 is not what client 0 speaks of."""
    with pytest.raises(ValueError, match=r"uses the clients' ids, and after Bucketing\(s=2\)"):
        mixers.Bucketing(s=2) >> rules.Mean(weighted=True)
    assert not rules.Mean().traits().by_client


@pytest.mark.parametrize(
    "attack",
    [attacks.ALIE(), attacks.SignFlip(), attacks.Maximise(attacks.IPM, over="epsilon", candidates=2, zooms=0)],
    ids=repr,
)
@pytest.mark.parametrize("make", [lambda: rules.Mean(weighted=True), lambda: rules.SIREN(weighted=True)])
def test_simulated_clients_say_what_weighted_rules_hear(attack: attacks.Attack, make: Callable[[], fw.Rule]) -> None:
    """Byzantine clients that are spared their work say it too, and an attack that asks the defence gets an answer."""
    data = sim.federate(sim.load("fashion-mnist-subset"), clients=5, partition=sim.Dirichlet(alpha=1.0))
    simulation = fw.Simulation(
        model=sim.MODELS["linear"],
        data=data,
        rule=make(),
        attack=attack,
        byzantine=1,
        clients=clients.LocalSGD(batch_size=20, steps=1),
    )
    (record,) = simulation.run(rounds=1)
    assert record.skipped is None
    assert all(record.accepted)
    assert EXAMPLES == "num-examples"
