"""Whole systems that are stopped, or killed, and go on bit for bit."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from itertools import islice

import pytest
import torch

import fedward as fw
from fedward import attacks, rules
from fedward.clients import ClassMomentum, Gradient, LocalSGD, Siren, WorkerMomentum
from fedward.sim import KClasses, federate
from tests.sim.rounds import DATASET, ROUNDS, SIREN, N, normed, simulation

SYSTEMS = {
    "local training, some lost, some late": {"dropout": 0.2, "late": 0.26, "participation": 0.8},
    "several classes a round": {
        "clients": ClassMomentum(batch_size=5, classes=2),
        "rule": rules.ClassWise(base=rules.TrimmedMean(f=1)),
        "byzantine": 1,
        "attack": attacks.ALIE(z=1.0),
    },
    "random classes": {
        "clients": ClassMomentum(batch_size=5, classes=2, draw="random"),
        "rule": rules.ClassWise(base=rules.Krum(f=1, bound="definition")),
        "data": federate(DATASET, N, KClasses(k=3), holding_all=[0]),
        "byzantine": 1,
        "attack": attacks.ALIE(z=1.0),
    },
    "worker momentum": {"clients": WorkerMomentum(inner=Gradient(batch_size=10)), "participation": 0.5},
    "siren": {
        **SIREN,
        "byzantine": 3,
        "attack": attacks.FalseAlarms(inner=attacks.SignFlip(scale=4.0)),
        "dropout": 0.2,
    },
    "siren as printed": {
        **SIREN,
        "rule": rules.SIREN(rollback="printed"),
        "byzantine": 5,
        "attack": attacks.LabelFlip(),
    },
    "by class": {
        "clients": ClassMomentum(batch_size=5),
        "rule": rules.ClassWise(base=rules.FLDetector(window=2)),
        "data": federate(DATASET, N, KClasses(k=2), holding_all=[0, 1]),
        "byzantine": 2,
        "attack": attacks.ALIE(z=1.0),
        "dropout": 0.2,
    },
    "running statistics": {"model": normed, "clients": Siren(inner=LocalSGD(batch_size=10, lr=0.1)), "late": 0.2},
    "frozen statistics": {"model": normed, "batch_norm": "frozen", "rule": rules.Median()},
    "adam": {"clients": LocalSGD(batch_size=10, steps=3, optimizer="adamw"), "rule": rules.FedSECA(momentum=0.5)},
}


def timeless(sim: fw.Simulation) -> str:
    return repr([{**asdict(r), "seconds": None} for r in sim.records])


@cache
def undisturbed(name: str) -> fw.Simulation:
    """All rounds of a system, one after the other."""
    whole = simulation(**SYSTEMS[name])
    list(whole.run(ROUNDS, evaluate_every=3))
    return whole


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("stop", [3, 5])
def test_resumed_runs_are_bitwise_the_same(name: str, stop: int, tmp_path) -> None:
    whole = undisturbed(name)
    run = simulation(**SYSTEMS[name]).run(ROUNDS, evaluate_every=3, checkpoint=tmp_path / "run.pt")
    list(islice(run, stop))
    run.close()
    resumed = simulation(**SYSTEMS[name])
    list(resumed.run(ROUNDS, evaluate_every=3, checkpoint=tmp_path / "run.pt"))
    assert torch.equal(resumed.progress.parameters, whole.progress.parameters)
    assert timeless(resumed) == timeless(whole)
    assert resumed.progress.client_states.keys() == whole.progress.client_states.keys()
    for client, state in whole.progress.client_states.items():
        assert all(torch.equal(v, resumed.progress.client_states[client][k]) for k, v in state.items())
    if whole.progress.buffers is not None:
        assert torch.equal(resumed.progress.buffers, whole.progress.buffers)


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_killed_run_goes_on_from_its_last_checkpoint(name: str, tmp_path) -> None:
    """No `finally` runs in a killed process: what is on the disk is what the last evaluation wrote."""
    whole, path = undisturbed(name), tmp_path / "run.pt"
    run = simulation(**SYSTEMS[name]).run(ROUNDS, evaluate_every=3, checkpoint=path)
    list(islice(run, 5))
    content = path.read_bytes()
    run.close()
    path.write_bytes(content)
    resumed = simulation(**SYSTEMS[name])
    list(resumed.run(ROUNDS, evaluate_every=3, checkpoint=path))
    assert timeless(resumed) == timeless(whole)
