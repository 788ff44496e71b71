"""Client mods: what they send, what they remember, and what a restart does to that."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict

from fedward import attacks
from fedward.flower import RobustFedAvg, hostile, momentum_mod

from .federation import NODES, InProcess, Quadratic, floats, liars, model, vector, weights


def sent(grid: InProcess, arrays: Any, round: int = 1) -> dict[int, np.ndarray]:
    """What each node's reply adds to the model."""
    strategy = RobustFedAvg(rule="mean", fraction_evaluate=0.0)
    replies = grid.send_and_receive(strategy.configure_train(round, arrays, ConfigRecord(), grid))
    return {r.metadata.src_node_id: weights(r.content["arrays"]) - weights(arrays) for r in replies}


def test_momentum_is_a_moving_average_of_updates() -> None:
    app, plain = Quadratic([momentum_mod(beta=0.8)]).app, Quadratic().app
    grid, bare = InProcess(app), InProcess(plain)
    average: dict[int, np.ndarray] = {}
    for round, shift in enumerate((0.0, 1.0, -2.0, 0.5), 1):
        arrays = model()
        for name, array in list(arrays.items()):
            if array.numpy().dtype.kind == "f":
                arrays[name] = type(array)(array.numpy() + np.float32(shift))
        updates = sent(bare, arrays, round)
        for node, update in updates.items():
            average[node] = update if round == 1 else 0.8 * average[node] + 0.2 * update
        found = sent(grid, arrays, round)
        assert set(found) == set(NODES)
        for node in NODES:
            np.testing.assert_allclose(found[node], average[node], rtol=1e-4, atol=1e-6)


def test_a_restarted_node_starts_its_momentum_anew_and_the_others_go_on() -> None:
    grid = InProcess(Quadratic([momentum_mod(beta=0.5)]).app)
    sent(grid, model())
    higher = model()
    higher["b.bias"] = type(higher["b.bias"])(np.full(5, 2, np.float32))
    grid.restart(NODES[0])
    found, plain = sent(grid, higher, 2), sent(InProcess(Quadratic().app), higher, 2)
    np.testing.assert_allclose(found[NODES[0]], plain[NODES[0]], rtol=1e-6)
    assert np.abs(found[NODES[1]] - plain[NODES[1]]).max() > 0.1


def test_momentum_of_another_model_is_forgotten() -> None:
    grid = InProcess(Quadratic([momentum_mod(beta=0.5)]).app)
    sent(grid, model())
    wider = model(**{"b.bias": np.ones(9, np.float32)})
    found, plain = sent(grid, wider, 2), sent(InProcess(Quadratic().app), wider, 2)
    for node in NODES:
        np.testing.assert_allclose(found[node], plain[node], rtol=1e-6)


def test_beta_0_changes_nothing_and_evaluation_passes() -> None:
    strategies = [RobustFedAvg(rule="mean") for _ in range(2)]
    grids = [InProcess(Quadratic([momentum_mod(beta=0.0)]).app), InProcess(Quadratic().app)]
    with_mod, without = (s.start(g, floats(), num_rounds=3) for s, g in zip(strategies, grids, strict=True))
    np.testing.assert_allclose(vector(with_mod.arrays), vector(without.arrays), rtol=1e-5)
    assert with_mod.evaluate_metrics_clientapp == without.evaluate_metrics_clientapp


@pytest.mark.parametrize("beta", [-0.1, 1.0, float("nan")])
def test_beta_out_of_bounds(beta: float) -> None:
    with pytest.raises(ValueError, match="0 <= beta < 1"):
        momentum_mod(beta=beta)


def test_an_update_attack_is_the_simulators_on_the_nodes_own_row() -> None:
    app = Quadratic([hostile.update_mod(attacks.SignFlip(scale=10), liars(0, 7))]).app
    found, plain = sent(InProcess(app), model()), sent(InProcess(Quadratic().app), model())
    for k, node in enumerate(NODES):
        np.testing.assert_allclose(found[node], plain[node] * (-10 if k in (0, 7) else 1), rtol=1e-5)


def test_attacks_that_remember_and_unknown_ways_are_refused() -> None:
    with pytest.raises(ValueError, match="remembers earlier rounds"):
        hostile.update_mod(attacks.Mimic(), liars(0))
    with pytest.raises(ValueError, match="did you mean 'wrong-shape'"):
        hostile.reply_mod("wrong-shap", liars(0))


def test_mods_leave_an_app_that_answers_otherwise_an_error_not_a_wrong_update() -> None:
    def two(message: Message, context: Any, call_next: Any) -> Message:
        reply = call_next(message, context)
        reply.content["more"] = reply.content["arrays"]
        return reply

    strategy = RobustFedAvg(rule="mean", fraction_evaluate=0.0, on_skip="warn")
    strategy.start(InProcess(Quadratic([momentum_mod(), two]).app), model(), num_rounds=1)
    assert {v.reason for v in strategy.audits[0].verdicts} == {"error"}
    assert "take messages with one ArrayRecord, got 2" in strategy.audits[0].verdicts[0].detail


def test_query_messages_pass() -> None:
    app = Quadratic([momentum_mod(), hostile.reply_mod("crash", liars(*range(10)))]).app

    @app.query()
    def query(message: Message, context: Any) -> Message:
        return Message(RecordDict({"metrics": MetricRecord({"x": 1})}), reply_to=message)

    grid = InProcess(app)
    content = RecordDict({"config": ConfigRecord({"server-round": 1})})
    (reply,) = grid.send_and_receive([Message(content, NODES[0], "query")])
    assert reply.content["metrics"] == {"x": 1}
