"""Flower's own arguments, optimisers and privacy, with and without a rule of ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import (
    DifferentialPrivacyServerSideAdaptiveClipping,
    DifferentialPrivacyServerSideFixedClipping,
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedProx,
    FedYogi,
    MultiKrum,
)

from fedward.flower import Robust, RobustFedAvg, Screened, hostile
from tests.flower.strategies import made, quiet

from .federation import NODES, InProcess, Quadratic, floats, liars, model, running, vector, weights


def test_all_of_fedavgs_arguments_work() -> None:
    seen: list[int] = []

    def count(contents: list[RecordDict], key: str) -> MetricRecord:
        seen.append(len(contents))
        return MetricRecord({"total": sum(int(c["metrics"][key]) for c in contents)})

    grid = InProcess(Quadratic([hostile.reply_mod("huge", liars(0))]).app)
    strategy = RobustFedAvg(
        rule="sign-guard:cluster=false",
        fraction_train=0.5,
        fraction_evaluate=0.3,
        min_train_nodes=6,
        min_evaluate_nodes=4,
        min_available_nodes=10,
        weighted_by_key="num-examples",
        arrayrecord_key="arrays",
        configrecord_key="config",
        train_metrics_aggr_fn=count,
        evaluate_metrics_aggr_fn=count,
    )
    result = strategy.start(grid, model(), num_rounds=4, train_config=ConfigRecord({"lr": 0.1}))
    asked = [len(audit.verdicts) for audit in strategy.audits]
    assert asked == [6] * 4
    assert seen == [n for audit in strategy.audits for n in (len(audit.kept), 4)]
    assert result.train_metrics_clientapp[1]["total"] > 0
    assert result.evaluate_metrics_clientapp[4]["total"] > 0
    with pytest.raises(TypeError, match="fraction_trian"):
        RobustFedAvg(rule="mean", fraction_trian=0.5)


def test_a_metrics_function_that_stumbles_costs_the_metrics_alone(caplog: pytest.LogCaptureFixture) -> None:
    def brittle(contents: list[RecordDict], key: str) -> MetricRecord:
        return MetricRecord({"loss": sum(c["metrics"]["loss"] for c in contents)})

    def without(message: Message, context: Any, call_next: Any) -> Message:
        reply = call_next(message, context)
        reply.content["metrics"].pop("loss")
        return reply

    strategy = quiet("mean", train_metrics_aggr_fn=brittle)
    result = strategy.start(InProcess(Quadratic([without]).app), model(), num_rounds=2)
    assert strategy.round == 2
    assert "loss" not in result.train_metrics_clientapp[2]
    assert "KeyError" in caplog.text


def test_evaluation_is_the_median_of_sound_replies() -> None:
    def lie(message: Message, context: Any, call_next: Any) -> Message:
        reply = call_next(message, context)
        k = context.node_config["partition-id"]
        if message.metadata.message_type == "evaluate" and k < 3:
            reply.content["metrics"].update({"accuracy": 1e30, "num-examples": 10**12})
            if k == 1:
                reply.content["more"] = MetricRecord({"accuracy": 1.0})
            if k == 2:
                reply.content["metrics"]["accuracy"] = [0.5, 0.5]
        return reply

    strategy = RobustFedAvg(rule="mean")
    result = strategy.start(InProcess(Quadratic([lie]).app), model(), num_rounds=1)
    # Node 1 sent a record too many, which does not count; node 2 a list: the median of nodes 0, 1 (1e30) and 3 to 9.
    assert result.evaluate_metrics_clientapp[1] == {"accuracy": pytest.approx(0.7)}


OPTIMISERS = [FedAvg, FedAvgM, FedProx, FedAdam, FedYogi, FedAdagrad]


@pytest.mark.parametrize("cls", OPTIMISERS)
def test_with_the_mean_every_optimiser_is_what_it_was(cls: type[FedAvg]) -> None:
    def same(message: Message, context: Any, call_next: Any) -> Message:
        reply = call_next(message, context)
        if "metrics" in reply.content:
            reply.content["metrics"]["num-examples"] = 10
        return reply

    flowers = made(cls).start(InProcess(Quadratic([same]).app), floats(), num_rounds=1)
    ours = Robust(made(cls), rule="mean").start(InProcess(Quadratic([same]).app), floats(), num_rounds=1)
    np.testing.assert_allclose(weights(ours.arrays), weights(flowers.arrays), rtol=1e-5, atol=1e-6)
    # Flower's optimisers adapt running statistics too; they are means, whatever the optimiser.
    means = FedAvg(fraction_evaluate=0.0).start(InProcess(Quadratic([same]).app), floats(), num_rounds=1)
    np.testing.assert_allclose(running(ours.arrays), running(means.arrays), rtol=1e-6)


@pytest.mark.parametrize("cls", OPTIMISERS)
def test_optimisers_leave_dtypes_and_counters_alone(cls: type[FedAvg]) -> None:
    app = Quadratic([hostile.reply_mod("nan", liars(0, 1))]).app
    strategy = Robust(made(cls), rule="multi-krum:f=2")
    result = strategy.start(InProcess(app), model(), num_rounds=4)
    assert {k: (a.numpy().dtype, a.numpy().shape) for k, a in result.arrays.items()} == {
        k: (a.numpy().dtype, a.numpy().shape) for k, a in model().items()
    }
    assert result.arrays["a.num_batches_tracked"].numpy() == 7
    assert all(len(audit.kept) == 8 - 2 - 2 for audit in strategy.audits)
    distance = [np.abs(vector(a) - 1.4).mean() for a in (model(), result.arrays)]
    assert distance[1] < distance[0]


@pytest.mark.parametrize("how", ["wrong-shape", "nan", "extra-arrays", "extra-metric", "garbage", "crash"])
@pytest.mark.parametrize("adaptive", [False, True])
def test_differential_privacy_behind_the_screen(how: str, adaptive: bool) -> None:
    inner = quiet("multi-krum:f=1")
    private: Any
    if adaptive:
        private = DifferentialPrivacyServerSideAdaptiveClipping(inner, 1e-6, 10, initial_clipping_norm=100.0)
    else:
        private = DifferentialPrivacyServerSideFixedClipping(inner, 1e-9, 100.0, 10)
    strategy = Screened(private)
    grid = InProcess(Quadratic([hostile.reply_mod(how, liars(0, 1))]).app)
    result = strategy.start(grid, floats(), num_rounds=2)
    gone = InProcess(Quadratic().app, lost=lambda node, _: node in NODES[:2])
    expected = quiet("multi-krum:f=1").start(gone, floats(), num_rounds=2)
    assert inner.round == 2
    assert len(inner.audits[-1].kept) == 8 - 1 - 2
    np.testing.assert_allclose(vector(result.arrays), vector(expected.arrays), atol=1e-3)


def test_the_screen_lets_flowers_own_strategies_go_on() -> None:
    for how in ("wrong-shape", "nan", "extra-arrays", "extra-metric", "wrong-keys"):
        app = Quadratic([hostile.reply_mod(how, liars(0))]).app
        strategy = Screened(MultiKrum(num_malicious_nodes=2, num_nodes_to_select=5))
        result = strategy.start(InProcess(app), model(), num_rounds=2)
        assert np.isfinite(vector(result.arrays)).all()
        assert result.train_metrics_clientapp[2].pop("fedward-screened-skipped") == 0
        dropped = [k for k in result.train_metrics_clientapp[2] if k.startswith("fedward-screened-")]
        assert len(dropped) == 1
        assert result.train_metrics_clientapp[2][dropped[0]] == [NODES[0]]


def test_the_screen_leaves_out_evaluations_unlike_the_others() -> None:
    def lie(message: Message, context: Any, call_next: Any) -> Message:
        reply = call_next(message, context)
        k = context.node_config["partition-id"]
        if message.metadata.message_type == "evaluate" and k < 2:
            reply.content["more" if k else "metrics"] = MetricRecord({"num-examples": 1, "other": 1e30})
        return reply

    with pytest.raises(Exception, match="MetricRecord"):
        FedAvg().start(InProcess(Quadratic([lie]).app), floats(), num_rounds=1)
    result = Screened(FedAvg()).start(InProcess(Quadratic([lie]).app), floats(), num_rounds=1)
    rest = FedAvg().start(InProcess(Quadratic().app), floats(), num_rounds=1)
    found, expected = (r.evaluate_metrics_clientapp[1]["accuracy"] for r in (result, rest))
    examples = np.arange(10, 20)
    assert expected == pytest.approx(np.average(np.arange(10) / 10, weights=examples))
    assert found == pytest.approx(np.average(np.arange(2, 10) / 10, weights=examples[2:]))
