"""Images that are moved and mirrored: pixel by pixel, and the same whoever takes the batches together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

import fedward as fw
from fedward.clients import (
    Augment,
    ClassMomentum,
    Client,
    Gradient,
    LocalModel,
    LocalSGD,
    Shard,
    Siren,
    Task,
    carry_out,
)
from fedward.clients.base import Prepare
from fedward.sim.backends import Loop
from fedward.sim.parallel import Parallel
from fedward.training import crop_and_flip
from tests.oracles import training as oracle
from tests.sim.federations import convolution, images, linear, task


@pytest.mark.parametrize(("crop", "flip"), [(2, True), (0, True), (3, False), (0, False)])
def test_crop_and_flip_pixel_by_pixel(crop: int, flip: bool) -> None:
    batch = torch.randn(40, 2, 4, 5, generator=torch.Generator().manual_seed(2))
    out = crop_and_flip(batch, torch.Generator().manual_seed(7), crop, flip)
    generator = torch.Generator().manual_seed(7)
    moves = torch.randint(0, 2 * crop + 1, (2, 40), generator=generator)
    mirrored = torch.randint(0, 2, (40,), generator=generator).bool() & flip
    for k in range(40):
        expected = oracle.cropped_and_flipped(
            batch[k].numpy(), int(moves[0, k]), int(moves[1, k]), bool(mirrored[k]), crop
        )
        np.testing.assert_array_equal(out[k].numpy(), expected)
    if crop or flip:
        assert not torch.equal(out, batch)
    else:
        assert torch.equal(out, batch)


def test_every_move_and_mirror_is_drawn_equally_often() -> None:
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 2, 1] = 1  # off the centre, so that a mirror shows
    seen = crop_and_flip(image.expand(9000, -1, -1, -1), torch.Generator().manual_seed(0), 1).flatten(1).argmax(1)
    counts = seen.bincount(minlength=25).view(5, 5)
    # Rows 1 to 3; columns 0 to 2 unmirrored and 2 to 4 mirrored: 9000 / 18 each, twice that where both meet.
    assert counts[[0, 4]].sum() == 0
    assert bool(((counts[1:4, [0, 1, 3, 4]] - 500).abs() < 110).all())
    assert bool(((counts[1:4, 2] - 1000).abs() < 150).all())


def augmented(client: Client, round: int = 0, threads: int = 1) -> Tensor:
    data = images()
    run = Parallel(convolution(), threads=threads)
    train = data.dataset.train
    parameters = run.initial()
    tasks = [
        Task(
            client=k,
            parameters=parameters,
            shard=Shard(train.inputs, train.labels, data.shards[k]),
            context=fw.Context(round=round, seed=3, group=0),
        )
        for k in range(4)
    ]
    out = torch.zeros(4, len(parameters))
    run.messages(client, tasks, out)
    return out


@pytest.mark.parametrize(
    "inner", [Gradient(batch_size=5), LocalSGD(batch_size=5, steps=4), ClassMomentum(batch_size=3)]
)
def test_augmentation_follows_from_the_seed_alone(inner: Client) -> None:
    client = Augment(inner=inner, crop=1)
    first = augmented(client)
    assert torch.equal(first, augmented(client))
    for threads in (2, 3):
        assert torch.equal(first, augmented(client, threads=threads))
    assert not torch.equal(first, augmented(inner))
    still = augmented(Augment(inner=inner, crop=0, flip=False))
    torch.testing.assert_close(still, augmented(inner))
    assert not torch.equal(first, augmented(client, round=1))


def test_a_batch_is_augmented_anew_in_every_round_and_shared_passes_agree_with_single_ones() -> None:
    client = Augment(inner=Gradient(batch_size=12), crop=1)  # the whole shard, in another order each round
    data = images()
    train = data.dataset.train
    seen: list[Tensor] = []
    for round in (0, 1, 0):
        now = Task(
            client=1,
            parameters=LocalModel(convolution()).initial,
            shard=Shard(train.inputs, train.labels, data.shards[1]),
            context=fw.Context(round=round, seed=3),
        )
        ((shard, numbers),) = client.asks(now)
        inputs, labels = shard.take(numbers)
        assert torch.equal(labels, train.labels[data.shards[1][numbers]])
        seen.append(inputs)
    assert torch.equal(seen[0], seen[2])
    assert not torch.equal(seen[0].flatten(1).sort(0).values, seen[1].flatten(1).sort(0).values)
    rows = augmented(client)
    model = LocalModel(convolution())
    alone = carry_out(client, model, replace(now, client=2, shard=Shard(train.inputs, train.labels, data.shards[2])))
    torch.testing.assert_close(rows[2], alone.row, rtol=1e-4, atol=1e-6)


def test_images_follow_from_the_seed_and_the_client() -> None:
    data = images()
    train = data.dataset.train
    numbers = torch.arange(8)
    seen = []
    for client, seed, round in [(1, 3, 0), (1, 3, 0), (2, 3, 0), (1, 4, 0), (1, 3, 1)]:
        now = Task(
            client=client,
            parameters=LocalModel(convolution()).initial,
            shard=Shard(train.inputs, train.labels, data.shards[0]),
            context=fw.Context(round=round, seed=seed),
        )
        ((shard, _),) = Augment(inner=Gradient(batch_size=8), crop=2).asks(now)
        seen.append(shard.take(numbers)[0])
    assert torch.equal(seen[0], seen[1])
    assert all(not torch.equal(seen[0], other) for other in seen[2:])


def test_what_one_round_augments_stays_as_it_is_for_others() -> None:
    data = images()
    shard = Shard(data.dataset.train.inputs, data.dataset.train.labels, data.shards[0])
    plain = {
        c: part.take()[0].clone() for c, part in Shard(shard.inputs, shard.labels, shard.places).by_class().items()
    }
    black = shard.prepared(Prepare(draw=lambda places: places[:, None], apply=lambda inputs, drawn: inputs * 0))
    assert all(not part.take()[0].any() for part in black.by_class().values())
    assert all(torch.equal(part.take()[0], plain[c]) for c, part in shard.by_class().items())


def test_passes_that_are_shared_smooth_labels_too() -> None:
    algorithm = Gradient(batch_size=5, smoothing=0.3)
    data = images()
    train = data.dataset.train
    rows = []
    for backend in (Loop(convolution()), Parallel(convolution(), threads=1)):
        parameters = backend.initial()
        tasks = [
            Task(client=k, parameters=parameters, shard=Shard(train.inputs, train.labels, data.shards[k]))
            for k in range(4)
        ]
        rows.append(torch.zeros(4, len(parameters)))
        backend.messages(algorithm, tasks, rows[-1])
    torch.testing.assert_close(rows[1], rows[0], rtol=1e-4, atol=1e-6)
    # The next algorithm on the same backend has a loss of its own.
    backend.messages(Gradient(batch_size=5), tasks, rows[1])
    assert not torch.allclose(rows[1], rows[0], rtol=1e-2)


def test_poison_comes_after_augmentation() -> None:
    data = images()
    train = data.dataset.train
    shard = Shard(train.inputs, train.labels, data.shards[0]).poisoned(lambda x, y: (x * 0 + 5, y))
    now = replace(task(), shard=shard)
    ((given, numbers),) = Augment(inner=Gradient(batch_size=4)).asks(now)
    assert bool((given.take(numbers)[0] == 5).all())  # no black border


def test_what_cannot_be_augmented_is_said() -> None:
    with pytest.raises(ValueError, match="tests on samples of its own"):
        Augment(inner=Siren(inner=LocalSGD(batch_size=4)))
    with pytest.raises(ValueError, match=r"images are \(B, C, H, W\), got \(4, 2, 4\)"):
        carry_out(Augment(inner=Gradient(batch_size=4)), LocalModel(linear()), task())
