"""What becomes of the number of examples that nodes claim: weighed where it is asked for, and never in silence not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, Message
from flwr.serverapp.strategy import FedAvg

import fedward as fw
from fedward import mixers, rules
from fedward.flower import RobustFedAvg
from fedward.flower.checks import uses_examples, weighs_rows

from .federation import NODES, InProcess, Quadratic, floats, liars, model, vector


def quiet(rule: fw.Rule | str, **arguments: Any) -> RobustFedAvg:
    return RobustFedAvg(rule=rule, batch_norm="mean", fraction_evaluate=0.0, **arguments)


def renamed(key: str | None, *partitions: int) -> Any:
    """A mod that says the number of examples by another name, or not at all."""

    def mod(message: Message, context: Context, call_next: Any) -> Message:
        reply = call_next(message, context)
        if liars(*(partitions or range(10)))(context):
            claimed = reply.content["metrics"].pop("num-examples")
            if key is not None:
                reply.content["metrics"][key] = claimed
        return reply

    return mod


def flowers(key: str = "num-examples", *mods: Any) -> np.ndarray:
    strategy = FedAvg(fraction_evaluate=0.0, weighted_by_key=key)
    return vector(strategy.start(InProcess(Quadratic([*mods]).app), floats(), num_rounds=2).arrays)


@pytest.mark.parametrize("key", ["num-examples", "num_examples", "samples", "images"])
@pytest.mark.parametrize("rule", ["mean:weighted=true", "clip-norm:radius=1e9 >> mean:weighted=true"])
def test_a_rule_that_goes_by_examples_gives_what_flowers_mean_gives(rule: str, key: str) -> None:
    strategy = quiet(rule, weighted_by_key=key, max_share=1.0)
    result = strategy.start(InProcess(Quadratic([renamed(key)]).app), floats(), num_rounds=2)
    np.testing.assert_allclose(vector(result.arrays), flowers(key, renamed(key)), rtol=1e-6)
    unweighted = quiet("mean").start(InProcess(Quadratic().app), floats(), num_rounds=2)
    assert np.abs(vector(result.arrays) - vector(unweighted.arrays)).max() > 0.01


@pytest.mark.parametrize(
    "trusting", [{"rule": "mean:weighted=true", "max_share": 1.0}, {"rule": "mean", "trust_examples": True}]
)
def test_a_misspelt_key_is_no_equal_weights(trusting: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    strategy = RobustFedAvg(fraction_evaluate=0.0, weighted_by_key="num-exmples", on_skip="warn", **trusting)
    result = strategy.start(InProcess(Quadratic().app), floats(), num_rounds=2)
    np.testing.assert_array_equal(vector(result.arrays), vector(floats()))
    assert [audit.skipped for audit in strategy.audits] == ["no node sent a sound reply"] * 2
    assert {v.reason for v in strategy.audits[0].verdicts} == {"wrong-examples"}
    assert strategy.audits[0].verdicts[0].detail == "num-exmples is None where a number from 2^-53 to 2^53 is due"
    assert "2 of 2 rounds left the model as it was" in caplog.text


def test_a_node_that_claims_nothing_sensible_is_dropped_where_claims_count() -> None:
    strategy = quiet("mean:weighted=true", max_share=1.0)
    result = strategy.start(InProcess(Quadratic([renamed(None, 3)]).app), floats(), num_rounds=1)
    (dropped,) = strategy.audits[0].dropped
    assert (dropped.node, dropped.reason) == (NODES[3], "wrong-examples")
    others = FedAvg(fraction_evaluate=0.0)
    rest = others.start(InProcess(Quadratic().app, lost=lambda node, _: node == NODES[3]), floats(), num_rounds=1)
    np.testing.assert_allclose(vector(result.arrays), vector(rest.arrays), rtol=1e-6)


def test_another_number_of_samples_does_not_count_beside_the_strategys() -> None:
    def boast(message: Message, context: Context, call_next: Any) -> Message:
        reply = call_next(message, context)
        if liars(0)(context):
            reply.content["metrics"].update({"samples": 10**12, "num_examples": 10**12})
        return reply

    strategy = quiet("mean:weighted=true", max_share=1.0)
    result = strategy.start(InProcess(Quadratic([boast]).app), floats(), num_rounds=2)
    np.testing.assert_allclose(vector(result.arrays), flowers(), rtol=1e-6)


# --- what does not go together, before a federation starts ----------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Wrapped(fw.Rule):
    """A rule around others."""

    inner: tuple[fw.Rule, ...]

    def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
        return self.inner[0].decide(updates, state, context)


@pytest.mark.parametrize(
    "rule",
    [
        rules.Mean(weighted=True),
        mixers.NNM(f=2) >> rules.Mean(weighted=True),
        Wrapped(inner=(rules.Median(), rules.Mean(weighted=True))),
        rules.SIREN(weighted=True),
    ],
    ids=str,
)
def test_examples_do_not_count_twice(rule: fw.Rule, caplog: pytest.LogCaptureFixture) -> None:
    assert uses_examples(rule)
    arguments: dict[str, Any] = {"evaluator": lambda tensors: None} if rule.traits().root_data else {}
    with pytest.raises(ValueError, match="trust_examples=False"):
        quiet(rule, trust_examples=True, **arguments)
    quiet(rule, max_share=1.0, **arguments).summary()
    assert "(rows by claimed 'num-examples')" in caplog.text
    assert not uses_examples(Wrapped(inner=(rules.Median(), rules.Mean())))


BY_COLUMNS = ["median", "trimmed-mean:f=2", "mea-med:f=1", "clip-norm:radius=median >> median", "ties", "bulyan:f=1"]


@pytest.mark.parametrize("rule", BY_COLUMNS)
def test_rules_by_columns_cannot_be_told_to_trust_examples(rule: str) -> None:
    with pytest.raises(ValueError, match="looks at columns and weighs no rows: trust_examples=False"):
        quiet(rule, trust_examples=True)


def test_the_trial_finds_those_that_weigh_rows() -> None:
    for rule in ("mean", "krum:f=2", "multi-krum:f=600", "sign-guard", "geometric-median"):
        made = fw.parse(rule, "rule")
        assert isinstance(made, fw.Rule)
        assert weighs_rows(made)


def test_a_rule_that_goes_by_columns_only_later_costs_rounds_and_not_the_run() -> None:
    strategy = quiet(rules.Delayed(base=rules.Median(), start=1), trust_examples=True)
    strategy.start(InProcess(Quadratic().app), model(), num_rounds=2)
    first, second = (audit.skipped for audit in strategy.audits)
    assert first is None
    assert second is not None
    assert second.endswith("looks at columns and weighs no rows: trust_examples=False")


def test_trust_is_yes_or_no() -> None:
    with pytest.raises(TypeError, match="trust_examples is True or False, got 'no'"):
        quiet("mean", trust_examples="no")
