"""Networks with BatchNorm on real nodes: rules see through running statistics, and norm layers may stay at home."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch import nn

import fedward as fw
from fedward import rules
from fedward.flower import RobustFedAvg

from .federation import NODES, InProcess, arrays_of, liars

LIARS = {NODES[0], NODES[1]}
RULES = [rules.DnC(f=2), rules.FLAME()]


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))


def data(partition: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Of one task, but every node measures in its own unit and from its own zero."""
    generator = torch.Generator().manual_seed(partition)
    inputs = torch.randn(256, 8, generator=generator)
    return inputs * (20 + 5 * partition) + 4 * partition, inputs[:, :3].argmax(1)


class Nodes:
    """A client app that trains a network with BatchNorm; two of ten turn their weights around, beside the statistics
    that training left.

    With ``at_home`` the norm layer never leaves the node.
    """

    def __init__(self, at_home: bool) -> None:
        self.at_home = at_home
        self.app = ClientApp()
        self.app.train()(self.train)

    def model(self, message: Message, context: Context) -> nn.Module:
        model = net()
        came = message.content["arrays"].to_torch_state_dict()
        if self.at_home:
            own = context.state.get("norm")
            held = own.to_torch_state_dict() if isinstance(own, ArrayRecord) else {}
            came = {**{name: value for name, value in came.items() if not name.startswith("1.")}, **held}
            came = {**net().state_dict(), **came}
        model.load_state_dict(came)
        return model

    def train(self, message: Message, context: Context) -> Message:
        model = self.model(message, context)
        inputs, labels = data(int(context.node_config["partition-id"]))
        optimiser = torch.optim.SGD(model.parameters(), lr=0.05)
        for start in range(0, 256, 64):
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(model(inputs[start : start + 64]), labels[start : start + 64])
            loss.backward()
            optimiser.step()
        made = {name: value.numpy() for name, value in model.state_dict().items()}
        if self.at_home:
            norm = {name: Array(value) for name, value in made.items() if name.startswith("1.")}
            context.state["norm"] = ArrayRecord(norm)
            made = {name: value for name, value in made.items() if name not in norm}
        if liars(0, 1)(context):
            before = {name: array.numpy() for name, array in message.content["arrays"].items()}
            weights = [name for name in made if "running" not in name and "tracked" not in name]
            made.update({name: before[name] - 3 * (made[name] - before[name]) for name in weights})
        arrays = ArrayRecord({name: Array(value) for name, value in made.items()})
        metrics = MetricRecord({"num-examples": 256, "loss": float(loss.detach())})
        return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


def run(rule: fw.Rule, at_home: bool, rounds: int = 3, **arguments: Any) -> tuple[RobustFedAvg, InProcess, ArrayRecord]:
    strategy = RobustFedAvg(rule=rule, fraction_evaluate=0.0, **arguments)
    grid = InProcess(Nodes(at_home).app)
    result = strategy.start(grid, arrays_of(net().state_dict()), num_rounds=rounds)
    return strategy, grid, result.arrays


@pytest.mark.parametrize("at_home", [False, True])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_attackers_are_dropped_in_every_round(rule: fw.Rule, at_home: bool) -> None:
    strategy, _, _ = run(rule, at_home)
    for audit in strategy.audits:
        assert not LIARS & set(audit.kept)
        assert len(audit.kept) >= 5


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_rule_that_saw_running_statistics_would_not_drop_them(rule: fw.Rule) -> None:
    """Or the test above would show nothing."""
    strategy, _, _ = run(rule, at_home=False, buffers=None)
    assert any(LIARS & set(audit.kept) for audit in strategy.audits)


def test_norm_layers_stay_at_home_and_the_nodes_are_the_better_for_it() -> None:
    strategy, grid, arrays = run(rules.DnC(f=2), at_home=True, rounds=8)
    assert strategy.round == 8
    initial = net().state_dict()
    same = {name for name, array in arrays.items() if np.array_equal(array.numpy(), initial[name].numpy())}
    assert {name for name in initial if name.startswith("1.")} <= same
    assert not {"0.weight", "3.weight", "3.bias"} & same
    shared = {name: array for name, array in arrays.to_torch_state_dict().items() if not name.startswith("1.")}
    right = []
    for partition, node in enumerate(NODES):
        model = net()
        norm = grid.contexts[node].state["norm"]
        assert isinstance(norm, ArrayRecord)
        model.load_state_dict({**shared, **norm.to_torch_state_dict()})
        model.eval()
        inputs, labels = data(partition)
        right.append(float((model(inputs).argmax(1) == labels).float().mean()))
    assert min(right[2:]) > 0.6, right


def test_the_benchmark_with_batch_norm_tries_what_it_says() -> None:
    script = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "flower.py"))
    found = script["run"]("fedward DnC", "-10 x, statistics too", 1, script["NORM"])
    assert found["error"] is None
    assert found["model"] == "BatchNorm"
    ended = script["run"]("Flower FedAvg", "statistics of 1e30", 1, script["NORM"])
    assert ended["error"] is None
    assert ended["accuracies"][1] < found["accuracies"][1]
