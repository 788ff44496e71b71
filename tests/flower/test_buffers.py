"""Running statistics do not vote, and no optimiser adapts them; integers that may be weights are refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAdagrad, FedAdam, FedAvg, FedAvgM, FedYogi
from torch import nn

import fedward as fw
from fedward import attacks, clients, rules
from fedward.flower import Robust, RobustFedAvg, Screened, hostile, momentum_mod, train_with
from fedward.flower.model import SentModel
from fedward.flower.server_model import fixed
from fedward.sim import CheckpointError

from .federation import NODES, InProcess, Quadratic, arrays_of, floats, liars, model, running, vector, weights


def quiet(rule: fw.Rule | str, **arguments: Any) -> RobustFedAvg:
    return RobustFedAvg(rule=rule, batch_norm="mean", fraction_evaluate=0.0, **arguments)


def setting(values: Mapping[str, float], *partitions: int) -> Any:
    """A mod that fills arrays, by the end of their names."""

    def mod(message: Message, context: Context, call_next: Any) -> Message:
        reply = call_next(message, context)
        if liars(*partitions)(context) and message.metadata.message_type == "train":
            record = reply.content["arrays"]
            for name, array in list(record.items()):
                for end, value in values.items():
                    if name.endswith(end):
                        record[name] = Array(np.full(array.shape, value, array.dtype))
        return reply

    return mod


# --- a network with BatchNorm -------------------------------------------------------------------------------


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))


def federation() -> InProcess:
    """Ten nodes with like data of large values; two turn around all that they would change, statistics included."""

    def prepare(context: Context) -> tuple[nn.Module, clients.Shard]:
        generator = torch.Generator().manual_seed(int(context.node_config["partition-id"]))
        inputs = 30 * torch.randn(64, 8, generator=generator) + 10
        return net(), clients.Shard(inputs, inputs[:, :3].argmax(1), torch.arange(64))

    def turned(message: Message, context: Context, call_next: Any) -> Message:
        before = {name: array.numpy() for name, array in message.content["arrays"].items()}
        reply = call_next(message, context)
        if liars(0, 1)(context):
            record = reply.content["arrays"]
            for name, array in list(record.items()):
                if before[name].dtype.kind == "f":
                    record[name] = Array(2 * before[name] - array.numpy())
        return reply

    app = ClientApp(mods=[turned])
    app.train()(train_with(clients.LocalSGD(steps=4, batch_size=64, lr=0.1), prepare))
    return InProcess(app)


@pytest.mark.parametrize("rule", [rules.DnC(f=2), rules.FLAME(), rules.MultiKrum(f=2, m=8)], ids=str)
def test_rules_see_through_running_statistics(rule: fw.Rule) -> None:
    strategy = quiet(rule)
    start = arrays_of(net().state_dict())
    grid = federation()
    replies = {
        message.metadata.src_node_id: message.content["arrays"]
        for message in grid.send_and_receive(strategy.configure_train(1, start, ConfigRecord(), grid))
    }
    # Running statistics are most of what nodes change, and alike enough that the weights do not show beside them.
    moves = {node: vector(sent) - vector(start) for node, sent in replies.items()}
    shares = [
        np.sum((running(sent) - running(start)) ** 2) / np.sum(moves[node] ** 2) for node, sent in replies.items()
    ]
    assert min(shares) > 0.9
    rows = torch.tensor(np.stack([weights(replies[node]) - weights(start) for node in NODES]))
    alone = fw.Aggregator(rule)(rows)
    result = strategy.start(federation(), start, num_rounds=1)
    (audit,) = strategy.audits
    assert [v.accepted for v in audit.verdicts] == alone.accepted.tolist()
    assert not set(NODES[:2]) & set(audit.kept)
    np.testing.assert_array_equal(weights(result.arrays), weights(start) + alone.output.numpy())
    mean = np.mean([running(replies[node]) for node in audit.kept], axis=0)
    np.testing.assert_allclose(running(result.arrays), mean, rtol=1e-6)


# --- what becomes of them -----------------------------------------------------------------------------------

OPTIMISERS = [FedAvg, FedAvgM, FedAdam, FedYogi, FedAdagrad]


@pytest.mark.parametrize("cls", OPTIMISERS)
def test_they_are_the_mean_of_accepted_nodes_whatever_the_optimiser(cls: type[FedAvg]) -> None:
    given = {"server_momentum": 0.9, "server_learning_rate": 0.5} if cls is FedAvgM else {}
    inner = cls(fraction_evaluate=0.0, **given)  # type: ignore[arg-type]
    strategy = Robust(inner, rule="multi-krum:f=2", batch_norm="mean")
    mods = [setting({"weight": 1e3, "running_mean": 7.0}, 0, 1)]
    result = strategy.start(InProcess(Quadratic(mods).app), model(), num_rounds=2)
    expected = np.zeros(4), np.ones(4)
    for audit in strategy.audits:
        targets = [1.0 + 0.1 * NODES.index(node) for node in audit.kept]
        assert not set(NODES[:2]) & set(audit.kept)
        expected = tuple(e + 0.5 * (np.mean(targets) - e) for e in expected)
    np.testing.assert_allclose(running(result.arrays), np.concatenate(expected), rtol=1e-6)


def test_those_that_are_not_finite_are_left_out_and_variances_stay_non_negative() -> None:
    mods = [setting({"running_mean": np.nan}, 0), setting({"running_var": -50.0}, 1), setting({"running_var": 1e39}, 2)]
    with np.errstate(over="ignore"):
        strategy = quiet("mean")
        result = strategy.start(InProcess(Quadratic(mods, step=1.0).app), model(), num_rounds=1)
    assert strategy.audits[0].kept == NODES  # nobody's weights are the worse for it
    targets = 1.0 + 0.1 * np.arange(10)
    np.testing.assert_allclose(result.arrays["a.running_mean"].numpy(), targets[1:].mean(), rtol=1e-6)
    of_variance = [0.0, targets[0], *targets[3:]]
    np.testing.assert_allclose(result.arrays["a.running_var"].numpy(), np.mean(of_variance), rtol=1e-6)
    mods = [setting({"running_mean": np.inf, "running_var": -1.0}, *range(10))]
    result = quiet("mean").start(InProcess(Quadratic(mods).app), model(), num_rounds=1)
    np.testing.assert_array_equal(result.arrays["a.running_mean"].numpy(), 0)  # as the server had them
    np.testing.assert_array_equal(result.arrays["a.running_var"].numpy(), 0)


def test_names_of_ones_own() -> None:
    extra = {"scale.level": np.zeros(3, np.float32)}
    attack = [setting({"level": 1e6}, 0, 1)]
    strategy = quiet("multi-krum:f=2")
    strategy.start(InProcess(Quadratic(attack).app), model(**extra), num_rounds=1)
    assert not set(NODES[:2]) & set(strategy.audits[0].kept)
    strategy = quiet("mean", buffers=["scale.level"])
    result = strategy.start(InProcess(Quadratic(attack, step=1.0).app), model(**extra), num_rounds=1)
    assert strategy.audits[0].kept == NODES
    level = np.mean([1e6, 1e6, *(1.0 + 0.1 * np.arange(2, 10))])
    np.testing.assert_allclose(result.arrays["scale.level"].numpy(), level, rtol=1e-6)
    assert SentModel(model(**extra), buffers=["scale.level"]).layout.d == 17
    assert SentModel(model(**extra), buffers=None).layout.d == 17 + 8 + 3
    assert fixed(nn.BatchNorm1d(4)) == ["num_batches_tracked", "running_mean", "running_var"]
    with pytest.raises(ValueError, match=r"'scale\.levle', which is none of the tensors"):
        quiet("mean", buffers=["scale.levle"]).start(InProcess(Quadratic().app), model(**extra), num_rounds=1)


def test_rules_with_memory_go_on_only_with_the_same_columns(tmp_path: Any) -> None:
    path = tmp_path / "run.pt"
    quiet("mean", checkpoint=path).start(InProcess(Quadratic().app), model(), num_rounds=1)
    with pytest.raises(CheckpointError, match="buffers was 'auto', now None"):
        quiet("mean", checkpoint=path, buffers=None)
    assert quiet("mean", checkpoint=path).round == 1


def test_nodes_send_them_as_training_left_them() -> None:
    def sent(mod: Any) -> ArrayRecord:
        grid = InProcess(Quadratic([mod]).app)
        for shift in (0.0, 3.0):
            start = ArrayRecord({name: Array(array.numpy() + np.float32(shift)) for name, array in floats().items()})
            replies = grid.send_and_receive(quiet("mean").configure_train(1, start, ConfigRecord(), grid))
        return next(reply.content["arrays"] for reply in replies if reply.metadata.src_node_id == NODES[4])

    plain = sent(lambda message, context, call_next: call_next(message, context))
    for mod in (momentum_mod(beta=0.5), hostile.update_mod(attacks.SignFlip(scale=3), liars(*range(10)))):
        np.testing.assert_array_equal(running(sent(mod)), running(plain))
        assert not np.allclose(weights(sent(mod)), weights(plain))
    everything = running(sent(momentum_mod(beta=0.5, buffers=None)))
    assert not np.allclose(everything, running(plain))


# --- integers, and what PyTorch has no type for --------------------------------------------------------------

REFUSED = {
    "uint8": (np.ones(3, np.uint8), r"head\.q is torch\.uint8 of shape \(3,\): integers are no updates; dequantise"),
    "int64": (np.ones((2, 2), np.int64), "head.q is torch.int64"),
    "bool": (np.ones(3, bool), "head.q is torch.bool"),
    "complex": (np.ones(3, np.complex64), "head.q is torch.complex64"),
    "big-endian": (np.ones(3, ">f4"), "head.q is an array of >f4: send one of float32"),
    "longdouble": (np.ones(3, np.longdouble), "head.q is an array of float128: send one of float32"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_update_is_refused_before_anybody_is_asked(kind: str) -> None:
    array, text = REFUSED[kind]
    asked: list[object] = []

    class Silent(InProcess):
        def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> list[Message]:
            asked.extend(messages)
            return []

        def get_node_ids(self) -> list[int]:  # a strategy waits here until there are enough nodes
            asked.append("who is there")
            return super().get_node_ids()

    with pytest.raises(TypeError, match=text):
        quiet("mean").start(Silent(Quadratic().app), model(**{"head.q": array}), num_rounds=1)
    assert not asked


def test_counters_stay_as_the_server_has_them() -> None:
    counters = {"steps": np.array(3, np.int32), "b.num_batches_tracked": np.ones(2, np.int64)}
    result = quiet("mean").start(InProcess(Quadratic().app), model(**counters), num_rounds=1)
    for name, array in counters.items():
        np.testing.assert_array_equal(result.arrays[name].numpy(), array)
    mask = {"mask": np.ones(3, bool), "ids": np.arange(4)}
    strategy = quiet("mean", integers="counters")
    result = strategy.start(InProcess(Quadratic([_untouched]).app), model(**mask), num_rounds=1)
    assert strategy.audits[0].kept == NODES
    for name, array in mask.items():
        np.testing.assert_array_equal(result.arrays[name].numpy(), array)


def _untouched(message: Message, context: Context, call_next: Any) -> Message:
    reply = call_next(message, context)
    for name in ("mask", "ids"):
        reply.content["arrays"][name] = message.content["arrays"][name]
    return reply


def test_a_model_of_nothing_to_weigh_is_refused() -> None:
    for arrays in ({"a.running_mean": np.zeros(2, np.float32)}, {"n": np.array(1)}, {}):
        record = ArrayRecord({name: Array(array) for name, array in arrays.items()})
        with pytest.raises(ValueError, match="nothing that a rule could weigh"):
            quiet("mean").start(InProcess(Quadratic().app), record, num_rounds=1)


def test_the_screen_leaves_them_to_the_strategy_inside() -> None:
    quantised = model(**{"head.q": np.ones(3, np.uint8)})
    result = Screened(FedAvg(fraction_evaluate=0.0)).start(InProcess(Quadratic().app), quantised, num_rounds=1)
    assert float(result.arrays["a.running_mean"].numpy()[0]) > 0.5
