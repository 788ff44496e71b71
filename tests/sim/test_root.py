"""The server's own data: taken out of the clients' shards on request."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import fedward as fw
from fedward import rules
from fedward.experiments.spec import make_spec
from fedward.sim import Dataset, Split, federate


def split(samples: int, seed: int) -> Split:
    inputs = torch.randn(samples, 1, 2, 2, generator=torch.Generator().manual_seed(seed))
    return Split(inputs=inputs, labels=inputs.flatten(1)[:, :3].argmax(1))


DATASET = Dataset(name="tiny", train=split(60, 0), test=split(12, 1), classes=3)


def simulation(**changes: Any) -> fw.Simulation:
    settings: dict[str, Any] = {
        "model": lambda: nn.Sequential(nn.Flatten(), nn.Linear(4, 3)),
        "data": federate(DATASET, 5),
        "rule": rules.FLTrust(),
        "byzantine": 1,
        "root": 9,
        "root_apart": True,
        "seed": 2,
    }
    return fw.Simulation(**{**settings, **changes})


@pytest.mark.parametrize("holding_all", [(), (0, 3)])
def test_no_client_holds_what_the_server_tests_on(holding_all: tuple[int, ...]) -> None:
    before = federate(DATASET, 5, holding_all=holding_all)
    sim = simulation(data=before)
    assert sim.root is not None
    inputs = DATASET.train.inputs.flatten(1)
    roots = {tuple(row) for row in sim.root.inputs.flatten(1).tolist()}
    assert len(roots) == 9
    for was, now in zip(before.shards, sim.data.shards, strict=True):
        kept = [i for i in was.tolist() if tuple(inputs[i].tolist()) not in roots]
        assert now.tolist() == kept, "the others stay, and in their order"
    assert sum(map(len, sim.data.shards)) == sum(map(len, before.shards)) - 9 * (1 + len(holding_all))
    assert len(before.shards[0]) == (60 if holding_all else 12), "what was handed over is as it was"


def test_clients_train_on_what_is_left_and_the_others_are_the_same_without_the_option() -> None:
    shared, apart = simulation(root_apart=False), simulation()
    assert shared.data is not apart.data
    assert shared.data.shards[1].tolist() != apart.data.shards[1].tolist()
    records = list(apart.run(1))
    assert records[0].train_loss != next(iter(shared.run(1))).train_loss


def test_rules_that_use_none_of_it_train_on_the_same_data() -> None:
    with_root, without = simulation(), simulation(rule=rules.Mean())
    assert without.root is None
    for one, other in zip(with_root.data.shards, without.data.shards, strict=True):
        assert torch.equal(one, other)


def test_a_client_that_would_be_left_with_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="leaves client 0 none of its 12: use a smaller root or fewer clients"):
        simulation(root=60)
    with pytest.raises(ValueError, match="root counts samples of the server's own, 1 to 60, got 61"):
        simulation(root=61, rule=rules.Mean())


def test_as_a_key_of_a_specification() -> None:
    assert make_spec({}).root_apart is False
    assert make_spec({"root_apart": True}).name() == "fashion-mnist__sign-guard__alie__seed0__root_apart=True"
