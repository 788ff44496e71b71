"""What a run is: every argument of a simulation tells it from others, or is known not to matter."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

import fedward as fw
from fedward import attacks, rules
from fedward.sim import Dataset, Split, federate
from fedward.sim.identity import UNCOUNTED, identified, identity_of


def split(samples: int, seed: int) -> Split:
    inputs = torch.randn(samples, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    return Split(inputs=inputs, labels=inputs.flatten(1)[:, :4].argmax(1))


DATA = federate(Dataset(name="tiny", train=split(80, 0), test=split(20, 1), classes=4), 8)
SETTINGS: dict[str, Any] = {
    "model": lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 4)),
    "data": DATA,
    "rule": rules.FLTrust(),
    "byzantine": 2,
    "seed": 3,
    "root": 10,
}
OTHERS: dict[str, Any] = {
    "model": lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 4, bias=False)),
    "data": replace(DATA, shards=tuple(reversed(DATA.shards))),
    "rule": rules.Zeno(f=2, rho=0.1),
    "attack": attacks.ALIE(),
    "byzantine": [1, 2],
    "clients": fw.clients.Gradient(batch_size=5),
    "server": fw.ServerSGD(lr=0.2),
    "participation": 0.9,
    "dropout": 0.1,
    "late": 0.1,
    "batch_norm": "frozen",
    "forge": "both",
    "root": 11,
    "root_apart": True,
    "seed": 4,
    "device": "meta",
    "threads": 2,
    "precision": "bfloat16",
}
BY_NAME: dict[str, set[str]] = {
    "model": {"model", "initial parameters"},
    "data": {"shards"},
    "seed": {"seed", "initial parameters", "root"},
    "batch_norm": {"batch norm"},
    "root_apart": {"shards"},
}


def identity(**changes: Any) -> dict[str, Any]:
    return fw.Simulation(**{**SETTINGS, **changes}).identity


def test_every_argument_is_looked_at() -> None:
    assert OTHERS.keys() == inspect.signature(fw.Simulation).parameters.keys()
    assert OTHERS.keys() > UNCOUNTED == {"threads"}


@pytest.mark.parametrize("name", sorted(OTHERS.keys() - {"device"}))
def test_another_argument_is_another_run_and_nothing_else_differs(name: str) -> None:
    first, other = identity(), identity(**{name: OTHERS[name]})
    assert first.keys() == other.keys()
    different = {key for key in first if first[key] != other[key]}
    assert different == (set() if name in UNCOUNTED else BY_NAME.get(name, {name}))


def test_another_kind_of_device_is_another_run() -> None:
    assert identity()["device"] == "cpu"
    assert identified(torch.device("cuda:1")) == "cuda"


def test_names_and_values_are_those_of_earlier_checkpoints() -> None:
    assert list(identity_of({"batch_norm": "mean", "byzantine": frozenset({2, 0}), "root": None})) == [
        "batch norm",
        "byzantine",
        "root",
    ]
    found = identity(rule=rules.Median())
    assert found["shards"].startswith("8 clients, ")
    assert found["data"].startswith("tiny, 80 + 20 samples, ")
    assert (found["byzantine"], found["root"], found["attack"]) == ([0, 1], None, "NoAttack()")


def test_what_nobody_can_tell_apart_is_refused() -> None:
    with pytest.raises(TypeError, match="no checkpoint can tell"):
        identity_of({"schedule": object()})
