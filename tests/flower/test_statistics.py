"""Running statistics that nodes make up: a mean follows them, medians and frozen ones do not."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, Message

from fedward import attacks, rules
from fedward.clients.model import BATCH_NORM
from fedward.flower import Robust, RobustFedAvg, hostile, legacy
from fedward.flower.answers import Reply
from fedward.flower.model import SentModel
from fedward.flower.running import Policy, Running
from fedward.sim import CheckpointError

from .federation import NODES, InProcess, Quadratic, liars, model, running, weights

STATISTICS = ("nan-statistics", "huge-statistics", "negative-variances")


def quiet(**arguments: Any) -> RobustFedAvg:
    return RobustFedAvg(**{"rule": "median", "fraction_evaluate": 0.0, **arguments})


def after(mods: list[Any], **arguments: Any) -> np.ndarray:
    result = quiet(**arguments).start(InProcess(Quadratic(mods, spread=0.01).app), model(), num_rounds=3)
    return running(result.arrays)


@pytest.mark.parametrize("how", STATISTICS)
@pytest.mark.parametrize("rule", ["median", "multi-krum:f=2", "mean"])
def test_medians_are_those_of_honest_nodes_whatever_a_minority_sends(how: str, rule: str) -> None:
    honest = after([], rule=rule, batch_norm="robust")
    found = after([hostile.reply_mod(how, liars(0, 4, 8))], rule=rule, batch_norm="robust")
    np.testing.assert_allclose(found, honest, atol=0.02)


def test_a_mean_follows_them() -> None:
    assert np.abs(after([hostile.reply_mod("huge-statistics", liars(4))], batch_norm="mean")).max() > 1e28


def test_no_default_lets_a_liar_move_them() -> None:
    for cls in (Robust, RobustFedAvg, legacy.RobustFedAvg):
        assert signature(cls).parameters["batch_norm"].default == "robust"
    honest = after([], batch_norm="robust")
    np.testing.assert_allclose(after([hostile.reply_mod("huge-statistics", liars(4))]), honest, atol=0.02)


def test_nothing_that_nodes_send_moves_frozen_ones() -> None:
    everybody = liars(*range(10))
    for mods in ([], [hostile.reply_mod("huge-statistics", everybody)]):
        np.testing.assert_array_equal(after(mods, batch_norm="frozen"), running(model()))


@pytest.mark.parametrize("how", STATISTICS)
def test_a_majority_moves_them_no_farther_than_the_bound(how: str) -> None:
    strategy = quiet(batch_norm="robust")
    app = Quadratic([hostile.reply_mod(how, liars(*range(10)))]).app
    arrays = strategy.start(InProcess(app), model(), num_rounds=1).arrays
    assert strategy.audits[0].skipped is None
    assert np.abs(arrays["a.running_mean"].numpy()).max() <= np.sqrt(1 + 1e-5) + 1e-6
    assert 0.25 <= arrays["a.running_var"].numpy().min() <= arrays["a.running_var"].numpy().max() <= 4.0001


def replies(values: list[float], sent_out: SentModel) -> list[Reply]:
    def made(value: float) -> list[torch.Tensor]:
        return [torch.full_like(sent_out.tensors[name], value) for name in sent_out.layout.buffers]

    return [Reply(node=k, content=None, metrics={}, buffers=made(v)) for k, v in enumerate(values)]  # type: ignore[arg-type]


@pytest.mark.parametrize("values", [[0.7], [0.6, 0.8], [0.5, 0.6, 0.9], [0.5, 0.6, 0.8, 0.9]], ids=len)
def test_one_node_and_even_numbers(values: list[float]) -> None:
    sent_out = SentModel(model())
    settle = Running(policy="robust", rule=rules.Median())
    found = settle.of(sent_out, replies(values, sent_out), [True] * len(values), lambda reply: 1.0)
    for name in sent_out.layout.buffers:
        np.testing.assert_allclose(found[name].numpy(), np.median(values), rtol=1e-6)
        assert found[name].dtype == torch.float32


@pytest.mark.parametrize(
    ("rule", "expected"), [(rules.Krum(f=1), 0.6), (rules.FLTrust(), 0.9)], ids=["all", "own data"]
)
def test_everybody_votes_unless_the_rule_has_data_of_its_own(rule: Any, expected: float) -> None:
    sent_out = SentModel(model())
    sound = replies([0.5, 0.6, 0.9], sent_out)
    found = Running(policy="robust", rule=rule).of(sent_out, sound, [False, False, True], lambda reply: 1.0)
    assert float(found["a.running_mean"][0]) == pytest.approx(expected)
    mean = Running(policy="mean", rule=rule).of(sent_out, sound, [False, False, True], lambda reply: 1.0)
    assert float(mean["a.running_mean"][0]) == pytest.approx(0.9)


# --- nodes that forge ---------------------------------------------------------------------------------------


def sent(mods: list[Any]) -> ArrayRecord:
    grid = InProcess(Quadratic(mods).app)
    messages: list[Message] = grid.send_and_receive(quiet().configure_train(1, model(), ConfigRecord(), grid))
    return next(m.content["arrays"] for m in messages if m.metadata.src_node_id == NODES[4])


@pytest.mark.parametrize(("forge", "rows", "statistics"), [("rows", -3, 1), ("both", -3, -3), ("statistics", 1, -3)])
def test_a_node_forges_what_it_is_told_to(forge: Any, rows: int, statistics: int) -> None:
    plain = sent([])
    found = sent([hostile.update_mod(attacks.SignFlip(scale=3), liars(4), forge)])
    start = model()
    np.testing.assert_allclose(weights(found), rows * (weights(plain) - weights(start)) + weights(start), rtol=1e-5)
    np.testing.assert_allclose(
        running(found), statistics * (running(plain) - running(start)) + running(start), rtol=1e-5
    )


def test_factors_are_those_of_the_rows() -> None:
    class ByRows(attacks.Attack):
        """Rows times the square of their length."""

        def forge(self, view: attacks.View) -> Any:
            return view.own.scale(view.own.norms().square())

    plain = sent([])
    found = sent([hostile.update_mod(ByRows(), liars(4), "statistics")])
    start = model()
    factor = np.sum((weights(plain) - weights(start)) ** 2)
    np.testing.assert_allclose(running(found) - running(start), factor * (running(plain) - running(start)), rtol=1e-4)


def test_what_cannot_be_forged_is_refused_and_what_is_not_there_is_not_forged() -> None:
    with pytest.raises(ValueError, match="forge"):
        hostile.update_mod(attacks.SignFlip(), liars(0), "everything")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="batch_norm"):
        quiet(batch_norm="median")
    bare = ArrayRecord({name: array for name, array in model().items() if "running" not in name})
    strategy = quiet(batch_norm="robust")
    strategy.start(
        InProcess(Quadratic([hostile.update_mod(attacks.SignFlip(), liars(4), "both")]).app), bare, num_rounds=1
    )
    assert strategy.audits[0].kept == NODES


# --- restarts -----------------------------------------------------------------------------------------------


def test_another_policy_is_another_run(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    quiet(checkpoint=path, batch_norm="robust").start(InProcess(Quadratic().app), model(), num_rounds=1)
    with pytest.raises(CheckpointError, match="batch norm was 'robust', now 'mean'"):
        quiet(checkpoint=path, batch_norm="mean")
    resumed = quiet(checkpoint=path, batch_norm="robust").start(InProcess(Quadratic().app), model(), num_rounds=3)
    whole = quiet(batch_norm="robust").start(InProcess(Quadratic().app), model(), num_rounds=3)
    np.testing.assert_array_equal(running(resumed.arrays), running(whole.arrays))


def test_a_checkpoint_from_before_there_was_a_choice_is_of_a_mean(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    quiet(checkpoint=path, batch_norm="mean").start(InProcess(Quadratic().app), model(), num_rounds=1)
    saved = torch.load(path, weights_only=True)
    del saved["identity"]["batch norm"]
    torch.save(saved, path)
    assert quiet(checkpoint=path, batch_norm="mean").round == 1
    with pytest.raises(CheckpointError, match="batch norm was 'mean', now 'frozen'"):
        quiet(checkpoint=path, batch_norm="frozen")


def test_policies_are_those_of_the_simulator() -> None:
    assert set(get_args(Policy)) == set(BATCH_NORM)
