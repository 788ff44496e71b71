"""Batches of many clients are read and augmented at once, and are what each would have been alone, to the last bit."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fedward as fw
from fedward.clients import Augment, Client, Gradient, Shard, Task, WorkerMomentum
from fedward.clients import augment as augmenting
from fedward.clients.base import Poison, Samples, take_together
from fedward.sim.backends import Loop
from fedward.sim.parallel import Parallel
from tests.oracles import training as oracle

CLASSES = 3


class Counted:
    """Samples that count how often somebody reads them."""

    def __init__(self, inputs: Tensor) -> None:
        self.inputs = inputs
        self.device = inputs.device
        self.reads = 0

    def __getitem__(self, chosen: Any) -> Tensor:
        self.reads += 1
        return self.inputs[chosen]


def images(seed: int = 0) -> tuple[Counted, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(60, 2, 4, 5, generator=generator)
    return Counted(inputs), torch.randint(0, CLASSES, (60,), generator=generator)


def tasks(data: tuple[Counted, Tensor], poisons: dict[int, Poison] | None = None, sizes: int = 12) -> list[Task]:
    made = []
    for client in range(60 // sizes):
        shard = Shard(*data, torch.arange(client * sizes, (client + 1) * sizes))
        poison = (poisons or {}).get(client)
        made.append(
            Task(
                client=client,
                parameters=torch.zeros(0),
                shard=shard if poison is None else shard.poisoned(poison),
                context=fw.Context(round=2, seed=3),
            )
        )
    return made


def asked(client: Client, given: list[Task]) -> list[Samples]:
    return [samples for task in given for samples in client.asks(task) or ()]


def expected(task: Task, samples: Samples, crop: int, flip: bool) -> tuple[Tensor, Tensor]:
    """One client's batch, image by image, by its own stream."""
    shard, numbers = samples
    places = task.shard.places[numbers]
    stream = torch.Generator().manual_seed(
        task.context.draw_seed(f"images of client {task.client}") ^ zlib.crc32(places.numpy().tobytes())
    )
    moves = torch.randint(0, 2 * crop + 1, (2, len(places)), generator=stream)
    mirrored = torch.randint(0, 2, (len(places),), generator=stream).bool() & flip
    inputs = torch.stack(
        [
            torch.from_numpy(oracle.cropped_and_flipped(shard.inputs[place].numpy(), down, right, mirror, crop))
            for place, down, right, mirror in zip(places, *moves.tolist(), mirrored.tolist(), strict=True)
        ]
    )
    batch = (inputs, shard.labels[places])
    return batch if shard.poison is None else shard.poison(*batch)


def shifted(inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return inputs + 1, (labels + 1) % CLASSES


@pytest.mark.parametrize("poisons", [{}, {1: shifted, 4: shifted}, dict.fromkeys(range(5), shifted)])
@pytest.mark.parametrize(("crop", "flip"), [(1, True), (2, False), (0, True)])
def test_a_batch_among_many_is_what_it_is_alone(crop: int, flip: bool, poisons: dict[int, Poison]) -> None:
    data = images()
    given = tasks(data, poisons)
    batches = asked(Augment(inner=Gradient(batch_size=7), crop=crop, flip=flip), given)
    wanted = [expected(task, samples, crop, flip) for task, samples in zip(given, batches, strict=True)]
    data[0].reads = 0
    inputs, labels = take_together(batches)
    assert data[0].reads == 1
    assert torch.equal(inputs, torch.cat([its for its, _ in wanted]))
    assert torch.equal(labels, torch.cat([its for _, its in wanted]))


def test_what_is_not_alike_is_taken_apart() -> None:
    """Other crops, other data, none at all, and a batch of another size: each its own way, in the order given."""
    one, other = images(), images(1)
    algorithms = {crop: Augment(inner=Gradient(batch_size=9), crop=crop) for crop in (1, 2)}
    ways = [(one, 1), (one, 1), (one, 2), (other, 2), (other, None), (one, 1)]
    batches: list[Samples] = []
    wanted: list[tuple[Tensor, Tensor]] = []
    for k, (data, crop) in enumerate(ways):
        task = tasks(data)[k % 5]
        ((shard, numbers),) = asked(Gradient(batch_size=9) if crop is None else algorithms[crop], [task])
        batches.append((shard, numbers[: 3 + k]))
        wanted.append(shard.take(numbers[: 3 + k]) if crop is None else expected(task, batches[-1], crop, True))
    one[0].reads = other[0].reads = 0
    inputs, labels = take_together(batches)
    assert (one[0].reads, other[0].reads) == (3, 2)
    assert torch.equal(inputs, torch.cat([its for its, _ in wanted]))
    assert torch.equal(labels, torch.cat([its for _, its in wanted]))


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(18, CLASSES))


@pytest.mark.parametrize(
    "algorithm",
    [Augment(inner=WorkerMomentum(inner=Gradient(batch_size=6))), WorkerMomentum(inner=Gradient(batch_size=6))],
    ids=["augmented", "plain"],
)
def test_a_shared_pass_reads_once_and_augments_once(algorithm: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    move: Callable[..., Tensor] = augmenting.moved

    def watched(given: Tensor, *args: Any) -> Tensor:
        calls.append(len(given))
        return move(given, *args)

    data = images()
    monkeypatch.setattr(augmenting, "moved", watched)
    rows = []
    for backend in (Loop(network()), Parallel(network(), threads=1)):
        parameters = backend.initial()
        given = [replace(task, parameters=parameters) for task in tasks(data)]
        rows.append(torch.zeros(5, len(parameters)))
        backend.messages(algorithm, given, rows[-1])  # the first time, passes are tried first
        data[0].reads = 0
        calls.clear()
        backend.messages(algorithm, given, rows[-1])
    assert data[0].reads == 1
    assert calls == ([30] if isinstance(algorithm, Augment) else [])
    torch.testing.assert_close(rows[1], rows[0], rtol=1e-4, atol=1e-6)
