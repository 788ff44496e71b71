"""What clients and attacks remember is theirs alone: rows, gradients and parameters are written to by others."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

import fedward as fw
from fedward import attacks
from fedward.attacks import View
from fedward.clients import Answer, Client, Gradient, LocalModel, LocalSGD, Shard, Siren, Task, WorkerMomentum
from fedward.clients.momentum import ClassMomentum
from fedward.core import State
from fedward.stack import Updates
from fedward.testing import check_attack
from fedward.testing.aliasing import check_owned

CLASSES = 3


def model(norm: bool) -> LocalModel:
    middle = nn.BatchNorm1d(6) if norm else nn.ReLU()
    return LocalModel(nn.Sequential(nn.Flatten(), nn.Linear(8, 6), middle, nn.Linear(6, CLASSES)))


CLIENTS = [
    *(entry.build() for entry in fw.catalogue("client", packaged=True)),
    WorkerMomentum(inner=Gradient(batch_size=4)),
    WorkerMomentum(inner=LocalSGD(batch_size=4)),
    WorkerMomentum(inner=WorkerMomentum(inner=Gradient(batch_size=4))),
    ClassMomentum(batch_size=4, classes=2),
    Siren(inner=LocalSGD(batch_size=4)),
    Siren(inner=WorkerMomentum(inner=LocalSGD(batch_size=4))),
]


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("algorithm", CLIENTS, ids=repr)
def test_a_client_remembers_copies(algorithm: Client, norm: bool) -> None:
    inputs = torch.randn(30, 1, 2, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(30) % CLASSES
    worker, state = model(norm), dict[str, torch.Tensor]()
    for t in range(3):
        parameters, buffers = worker.initial.clone(), worker.initial_buffers.clone() if norm else None
        task = Task(
            client="anna",
            parameters=parameters,
            shard=Shard(inputs, labels),
            context=fw.Context(t, 4, group=t % CLASSES),
            state=state,
            buffers=buffers,
        )
        worker.load(parameters, buffers)
        worker.train()
        asked = algorithm.asks(task)
        gradients: list[torch.Tensor] = []
        if asked is None:
            answer: Answer = algorithm.work(worker, task)
        else:
            gradients = [worker.gradient(*shard.take(numbers))[0] for shard, numbers in asked]
            answer = algorithm.answer(task, gradients, [0.0] * len(gradients))
        rows = [answer.row, *(algorithm.row_of(answer, c) for c in range(CLASSES) if algorithm.traits().by_class)]
        held = [*rows, *gradients, parameters, buffers, answer.buffers, *worker.parameters]
        with torch.no_grad():
            check_owned(answer.state, [tensor for tensor in held if tensor is not None], f"in round {t}")
        state = dict(answer.state)


@dataclass(frozen=True, kw_only=True)
class Careless(attacks.Attack):
    """Remembers a tensor that is not its own."""

    what: str
    declared = fw.Traits(history=True)

    def forge(self, view: View) -> Updates:
        return view.own

    def advance(self, view: View, forged: torch.Tensor) -> State:
        held = {"rows": forged, "step": view.previous}[self.what]
        return {} if held is None else {"held": held[:]}


@pytest.mark.parametrize("what", ["rows", "step"])
def test_an_attack_that_remembers_what_others_write_to_is_found(what: str) -> None:
    with pytest.raises(AssertionError, match="it remembers held by a tensor that others write to"):
        check_attack(Careless(what=what))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_server_s_velocity_is_its_own(momentum: float) -> None:
    server = fw.ServerSGD(lr=0.1, momentum=momentum, weight_decay=0.1)
    parameters, velocity = torch.ones(4), None
    for _ in range(3):
        gradient = torch.arange(4.0)
        new, after = server.step(parameters, gradient, velocity)
        kept = {"parameters": new, "velocity": after}
        check_owned(kept, [gradient, parameters, *([] if velocity is None else [velocity])], "after a step")
        parameters, velocity = new, after


def test_replacing_state_of_a_task_leaves_the_old_one() -> None:
    state = {"momentum": torch.ones(2)}
    task = Task(
        client="anna", parameters=torch.zeros(2), shard=Shard(torch.zeros(4, 2), torch.zeros(4).long()), state=state
    )
    answer = WorkerMomentum(inner=Gradient(batch_size=2)).answer(task, [torch.ones(2)], [0.0])
    assert answer.row is not None
    answer.row.zero_()
    assert torch.equal(state["momentum"], torch.ones(2))
    again = replace(task, state=answer.state)
    assert torch.equal(again.state["momentum"], torch.ones(2))
