"""What the server makes of its own data follows the clients' schedule, as what they make of theirs does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fedward as fw
from fedward import rules
from fedward.clients import Client, LocalSGD, Scaffold, Siren
from fedward.core import Context
from fedward.experiments.spec import RunSpec
from fedward.redteam.capture import as_examined, capture
from fedward.sim import Dataset, Split, federate
from fedward.sim.adaptive import FedAdam
from fedward.sim.server import ServerSGD
from fedward.training import LearningRates, MultiStep

AT_THREE = MultiStep(milestones=(3,), gamma=0.01)


def split(samples: int, seed: int) -> Split:
    inputs = torch.randn(samples, 4, generator=torch.Generator().manual_seed(seed))
    return Split(inputs=inputs, labels=inputs[:, :3].argmax(1))


DATASET = Dataset(name="tiny", train=split(60, 0), test=split(12, 1), classes=3)


def local(schedule: LearningRates | None, **more: Any) -> LocalSGD:
    return LocalSGD(batch_size=4, steps=2, lr=0.5, schedule=schedule, **more)


def scaffold(schedule: LearningRates | None) -> Scaffold:
    return Scaffold(batch_size=4, steps=2, lr=0.5, schedule=schedule)


def alarming(schedule: LearningRates | None) -> Siren:
    return Siren(inner=local(schedule), held_out=0.2)


def updates(clients: Client, rounds: int) -> list[Tensor]:
    """What the server makes of its data in each round, from one and the same model."""
    simulation = fw.Simulation(
        model=lambda: nn.Linear(4, 3), data=federate(DATASET, 3), rule=rules.FLTrust(), clients=clients, root=9
    )
    found = []
    for round in range(rounds):
        evaluator = simulation._phases._evaluator(fw.sim.engine.Progress(round=round, parameters=torch.zeros(15)))
        assert evaluator is not None
        found.append(evaluator.update())
    return found


@pytest.mark.parametrize("make", [local, scaffold, alarming])
def test_its_rate_falls_with_the_clients(make: Any) -> None:
    plain, scheduled = updates(make(None), 5), updates(make(AT_THREE), 5)
    for one, other in zip(plain[:3], scheduled[:3], strict=True):
        assert torch.equal(one, other), "the batches are the same, and the rate is not yet another one"
    for one, other in zip(plain[3:], scheduled[3:], strict=True):
        assert float(other.norm()) < 0.02 * float(one.norm())
    assert not torch.equal(plain[0], plain[1]), "each round goes through them in another order"


def test_its_batches_are_those_of_before_there_were_rounds_in_it() -> None:
    """By the seed of the round alone: what runs without a schedule have drawn stays."""
    [_, found] = updates(local(None), 2)
    root = fw.sim.root.root_split(DATASET.train, 9, Context(seed=0))
    model = fw.clients.LocalModel(nn.Linear(4, 3))
    task = fw.clients.Task(
        client="server",
        parameters=torch.zeros(15),
        shard=fw.clients.Shard(root.inputs, root.labels),
        context=Context(seed=Context(1, 0).draw_seed("model of the server")),
    )
    row = fw.clients.carry_out(local(None), model, task).row
    assert row is not None
    assert torch.equal(found, row)


@pytest.mark.parametrize("server", ["sgd:lr=0.5,schedule=(multi-step:milestones=[3],gamma=0.01)", "fed-adam:lr=0.5"])
def test_captured_rounds_have_the_rates_of_their_rounds(server: str) -> None:
    spec = RunSpec(
        data="fashion-mnist-subset", model="linear", clients=6, byzantine=1, rounds=2, rule="mean", batch_size=8,
        algorithm="local-sgd:steps=1,lr=0.5,schedule=(multi-step:milestones=[3],gamma=0.01)", server=server,
    )  # fmt: skip
    made = spec.make_server()
    assert isinstance(made, ServerSGD | FedAdam)
    found = capture(spec, warmup=2, rounds=2)
    rates = [now.evaluator.step for now in found]  # type: ignore[attr-defined]
    assert rates == [made.rate(2), made.rate(3)]
    before, after = (float(now.evaluator.update().norm()) for now in found)
    assert after < 0.05 * before


@pytest.mark.parametrize("server", ["sgd", "fed-adam"])
def test_clients_that_take_over_the_server_s_optimiser_take_over_its_schedule(server: str) -> None:
    spec = RunSpec(rule="siren", byzantine=2, server=f"{server}:schedule=(multi-step:milestones=[3],gamma=0.01)")
    algorithm = as_examined(spec).make_algorithm()
    assert isinstance(algorithm, Siren)
    assert isinstance(algorithm.inner, LocalSGD)
    assert algorithm.inner.schedule == AT_THREE
