"""The server of a specification: text and keys say the same, and never two different things."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

import fedward as fw
from fedward.experiments.spec import SpecError, make_spec
from fedward.sim import FedAdagrad, FedAdam, FedAvgM, FedYogi
from fedward.training import MultiStep

DELTAS = {"algorithm": "local-sgd:steps=2"}


def test_plain_sgd_is_what_it_was() -> None:
    assert make_spec({}).make_server() == fw.ServerSGD(lr=0.1, momentum=0.9, weight_decay=5e-4)
    assert make_spec(DELTAS).make_server() == fw.ServerSGD(lr=1.0)
    assert make_spec({"lr": 0.3}).make_server() == fw.ServerSGD(lr=0.3, momentum=0.9, weight_decay=5e-4)


@pytest.mark.parametrize(
    ("given", "server"),
    [
        ({"server": "fed-adam"}, FedAdam()),
        ({"server": "fed-adam:lr=0.01,beta2=0.9"}, FedAdam(lr=0.01, beta2=0.9)),
        ({"server": "fed-adam:beta2=0.9", "lr": 0.01}, FedAdam(lr=0.01, beta2=0.9)),
        ({"server": "fedavgm", "momentum": 0.5}, FedAvgM(momentum=0.5)),
        (
            {"server": "sgd:schedule=(multi-step:milestones=(3,5)),lr=0.2"},
            fw.ServerSGD(lr=0.2, momentum=0.9, weight_decay=5e-4, schedule=MultiStep(milestones=(3, 5))),
        ),
    ],
)
def test_text_and_keys(given: dict[str, object], server: object) -> None:
    spec = make_spec(given)
    assert spec.make_server() == server
    resolved = json.loads(json.dumps(spec.resolved()))
    again = make_spec(resolved)
    assert again.make_server() == server
    assert again.resolved() == spec.resolved()
    assert again.name() == spec.name() != make_spec({}).name()


def test_where_it_is_said_makes_no_other_run() -> None:
    assert make_spec({"server": "sgd:lr=0.1,momentum=0.9"}).name() == make_spec({}).name()
    assert make_spec({"server": "fed-adam:lr=0.1"}).name() == make_spec({"server": "fed-adam"}).name()
    one, other = make_spec({"server": "fed-adam:lr=0.2"}), make_spec({"server": "fed-adam", "lr": 0.2})
    assert one.name() == other.name()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"server": "fed-adam:lr=0.1", "lr": 0.2}, "lr is given twice, as 0.2 and in 'fed-adam:lr=0.1'"),
        ({"server": "fed-adam", "momentum": 0.2}, "unknown argument of fed-adam 'momentum'"),
        ({"server": "fed-adm"}, "did you mean 'fed-adam'"),
        ({"server": "krum"}, "a server is needed"),
        ({"server": "sgd:schedule=mean"}, "schedule"),
        ({"precision": "float8"}, "'float32' or 'bfloat16'"),
    ],
)
def test_what_contradicts_itself_is_refused(given: dict[str, object], why: str) -> None:
    with pytest.raises(SpecError, match=why):
        make_spec(given)


@pytest.mark.parametrize("server", [FedAdagrad(), FedAdam(), FedYogi()], ids=lambda server: type(server).__name__)
def test_a_square_that_overflows_freezes_no_coordinate(server: Any) -> None:
    """One gradient of 1e22 in float32, and ordinary ones after it, which move the coordinate as they do others."""
    parameters, state = torch.zeros(2), {}
    for round, first in enumerate([1e22, *[1.0] * 5]):
        moved = server.move(parameters, torch.tensor([first, 1.0]), None, state, round)
        parameters, state = moved.parameters, moved.state
        assert state["square"].isfinite().all()
        assert parameters.isfinite().all()
    assert bool((moved.velocity != 0).all())
