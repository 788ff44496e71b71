"""The last short batch of an epoch: left out, or trained on where that is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import fedward as fw
from fedward import rules
from fedward.clients import Gradient, LocalModel, LocalSGD, Shard, Siren, Task, WorkerMomentum, carry_out
from fedward.sim import Dataset, FederatedData, Split

CLASSES = 3


def net() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, CLASSES))


def samples(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    inputs = torch.randn(count, 2, 4, generator=torch.Generator().manual_seed(count))
    return inputs, inputs.flatten(1)[:, :CLASSES].argmax(1)


def task(count: int, round: int = 0, **changes) -> Task:
    now = Task(
        client="anna",
        parameters=LocalModel(net()).initial,
        shard=Shard(*samples(count)),
        context=fw.Context(round=round, seed=4),
    )
    return replace(now, **changes)


@pytest.mark.parametrize(
    ("count", "kept", "dropped"),
    [
        (23, [5, 5, 5, 5, 3], [5, 5, 5, 5]),
        (20, [5, 5, 5, 5], [5, 5, 5, 5]),
        (6, [5, 1], [5]),
        (5, [5], [5]),
        (3, [3], [3]),
    ],
)
def test_an_epoch(count: int, kept: list[int], dropped: list[int]) -> None:
    for drop_last, sizes in ((False, kept), (True, dropped)):
        for round in range(3):
            batches = list(task(count, round).batches(5, len(sizes), drop_last=drop_last))
            assert [len(batch) for batch in batches] == sizes
            assert len(set(torch.cat(batches).tolist())) == sum(sizes)
            algorithm = LocalSGD(batch_size=5, drop_last=drop_last)
            assert algorithm.epochs_per_round(task(count).shard) == 1
    # Steps go on from round to round where the last ended, whichever epoch that is.
    every = [batch for round in range(4) for batch in task(count, round).batches(5, 3, drop_last=False)]
    at_once = list(task(count, 0).batches(5, 12, drop_last=False))
    assert all(map(torch.equal, every, at_once))
    per_round = LocalSGD(batch_size=5, steps=3, drop_last=False).epochs_per_round(task(count).shard)
    assert per_round == pytest.approx(3 / len(kept))
    assert Gradient(batch_size=5, drop_last=False).epochs_per_round(task(count).shard) == 1 / len(kept)


def test_what_is_left_at_its_default_is_as_it_was() -> None:
    assert fw.describe(LocalSGD(batch_size=5)) == "local-sgd:batch_size=5"
    assert fw.describe(LocalSGD(batch_size=5, drop_last=False)) == "local-sgd:batch_size=5,drop_last=False"
    for algorithm in (Gradient(batch_size=5, drop_last=False), LocalSGD(batch_size=5, drop_last=False)):
        assert fw.parse(fw.describe(algorithm), "client") == algorithm
    shard = task(23).shard
    assert LocalSGD(batch_size=5, steps=3).epochs_per_round(shard) == 3 * 5 / 23
    assert Gradient(batch_size=5).epochs_per_round(shard) == 5 / 23


@pytest.mark.parametrize("length", [{}, {"epochs": 2}, {"steps": 7}])
def test_local_training_takes_the_short_batch_as_it_is(length: dict) -> None:
    now = task(23, round=3)
    plain, (inputs, labels) = net(), samples(23)
    count = length.get("steps", 5 * length.get("epochs", 1))
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.05)
    losses = []
    for places in now.batches(5, count, drop_last=False):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(plain(inputs[places]), labels[places])
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    expected = nn.utils.parameters_to_vector(plain.parameters()).detach() - now.parameters
    algorithm = LocalSGD(batch_size=5, lr=0.05, drop_last=False, **length)
    answer = carry_out(algorithm, LocalModel(net()), now)
    torch.testing.assert_close(answer.row, expected, rtol=1e-4, atol=1e-6)
    assert answer.loss == pytest.approx(sum(losses) / count, rel=1e-5)
    for around in (WorkerMomentum(inner=algorithm, beta=0.0), Siren(inner=algorithm, held_out=0.1)):
        other = carry_out(around, LocalModel(net()), now)
        # SIREN's client holds 3 of its samples out, so that nothing is short.
        assert torch.equal(other.row, answer.row) == isinstance(around, WorkerMomentum)


def federation(algorithm, threads: int = 1, sizes: tuple[int, ...] = (23, 20, 6, 3)) -> fw.Simulation:
    split = Split(inputs=samples(60)[0], labels=samples(60)[1])
    shards = torch.arange(sum(sizes)).split(list(sizes))
    data = FederatedData(dataset=Dataset(name="t", train=split, test=split, classes=CLASSES), shards=shards)
    return fw.Simulation(model=net(), data=data, rule=rules.Mean(), clients=algorithm, seed=4, threads=threads)


@pytest.mark.parametrize(
    "algorithm",
    [
        Gradient(batch_size=5, drop_last=False),
        WorkerMomentum(inner=Gradient(batch_size=5, drop_last=False)),
        LocalSGD(batch_size=5, drop_last=False, lr=0.1),
        LocalSGD(batch_size=5, drop_last=False, lr=0.1, steps=3),
    ],
    ids=fw.describe,
)
def test_a_federation_of_shards_of_all_sizes(algorithm, tmp_path: Path) -> None:
    sim = federation(algorithm)
    model = LocalModel(net())
    states = [{} for _ in sim.data.shards]
    for round in range(6):  # longer than an epoch of the largest shard
        context = fw.Context(round=round, seed=4)
        parameters = sim.progress.parameters
        next(sim.run(round + 1))
        for client, places in enumerate(sim.data.shards):
            shard = Shard(*samples(60), places)
            alone = carry_out(
                algorithm,
                model,
                Task(client=client, parameters=parameters, shard=shard, context=context, state=states[client]),
            )
            states[client] = alone.state
            torch.testing.assert_close(sim.rows[client], alone.row, rtol=1e-4, atol=1e-6)
    # Cut off in the middle of an epoch and resumed, on more threads, it is the same run.
    cut = federation(algorithm)
    for _ in cut.run(4, checkpoint=tmp_path / "run.pt"):
        pass
    again = federation(algorithm, threads=2)
    for _ in again.run(6, checkpoint=tmp_path / "run.pt"):
        pass
    assert torch.equal(again.progress.parameters, sim.progress.parameters)
