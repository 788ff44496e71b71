"""What a run is: every argument of a simulation tells it from others, or is known not to matter."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

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
    "model": {"model", "initial parameters", "layout"},
    "data": {"shards"},
    "seed": {"seed", "initial parameters", "root"},
    "batch_norm": {"batch norm"},
    "root_apart": {"shards", "shard sizes"},
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


def test_where_the_shards_are_cut_is_told() -> None:
    """Partitions that deal one permutation differ in the places of their cuts alone."""
    flat = torch.cat(DATA.shards)
    cut = replace(DATA, shards=tuple(flat.split([3, 17, 10, 10, 10, 10, 10, 10])))
    first, other = identity(), identity(data=cut)
    assert {key for key in first if first[key] != other[key]} == {"shard sizes"}


class Buffered(nn.Module):
    """A model that depends on a buffer of any type."""

    def __init__(self, *buffers: Tensor) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.last = nn.Linear(16, 4)
        for number, buffer in enumerate(buffers):
            self.register_buffer(f"buffer{number}", buffer)

    def forward(self, inputs: Tensor) -> Tensor:
        found = self.last(inputs.flatten(1))
        for buffer in self.buffers():
            found = found * buffer.float().sum()
        return found


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (torch.tensor(1.0), torch.tensor(3.0)),
        (torch.tensor([True, True]), torch.tensor([True, False])),
        (torch.tensor([1, 2]), torch.tensor([1, 3])),
        (torch.ones(2, dtype=torch.bfloat16), torch.zeros(2, dtype=torch.bfloat16)),
    ],
)
def test_buffers_of_every_type_tell_models_apart(one: Tensor, two: Tensor) -> None:
    first, other = identity(model=Buffered(one)), identity(model=Buffered(two))
    assert {key for key in first if first[key] != other[key]} == {"buffers"}


def test_which_buffers_there_are_and_of_which_shape_is_told() -> None:
    numbers = torch.tensor([1.0, 2.0, 3.0, 4.0])
    kinds = [(numbers,), (numbers.reshape(2, 2),), (numbers[:1], numbers[1:]), (numbers.view(torch.int32),)]
    found = {identity(model=Buffered(*buffers))["layout"] for buffers in kinds}
    assert len(found) == len(kinds)


def test_identity_is_of_the_model_as_it_came_also_after_training() -> None:
    """Batches that a normalisation layer has counted are no other model."""

    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 4), nn.BatchNorm1d(4))
    settings = {**SETTINGS, "model": model, "rule": rules.Mean()}
    trained = fw.Simulation(**settings)
    list(trained.run(rounds=1))
    assert trained.identity == fw.Simulation(**settings).identity


def test_samples_of_another_shape_with_the_same_numbers_are_told() -> None:
    dataset = DATA.dataset
    reshaped = {
        part: Split(inputs=getattr(dataset, part).inputs.reshape(-1, 1, 2, 8), labels=getattr(dataset, part).labels)
        for part in ("train", "test")
    }
    first, other = identity(), identity(data=replace(DATA, dataset=replace(dataset, **reshaped)))
    assert {key for key in first if first[key] != other[key]} == {"samples"}


def test_what_nobody_can_tell_apart_is_refused() -> None:
    with pytest.raises(TypeError, match="no checkpoint can tell"):
        identity_of({"schedule": object()})
