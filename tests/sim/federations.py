"""Small models and federations that the tests of training share."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

import fedward as fw
from fedward.clients import (
    LocalModel,
    Shard,
    Task,
)
from fedward.sim import Dataset, FederatedData, Split

CLASSES = 3
SIZE = 8 * CLASSES


def linear() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(8, CLASSES, bias=False)).double()


def convolution() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(48, 3))


def federation(clients: int = 4, shape: tuple[int, ...] = (2, 4), dtype: torch.dtype = torch.float64) -> FederatedData:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(clients * 12, *shape, generator=generator, dtype=dtype)
    split = Split(inputs=inputs, labels=inputs.flatten(1)[:, :CLASSES].argmax(1))
    dataset = Dataset(name="t", train=split, test=split, classes=CLASSES)
    return FederatedData(dataset=dataset, shards=torch.arange(clients * 12).split(12))


def images(clients: int = 4) -> FederatedData:
    return federation(clients, (2, 4, 4), torch.float32)


def task(client: int = 0, round: int = 0, **given: Any) -> Task:
    data = federation()
    train = data.dataset.train
    return Task(
        client=client,
        parameters=LocalModel(linear()).initial,
        shard=Shard(train.inputs, train.labels, data.shards[client]),
        context=fw.Context(round=round, seed=3),
        **given,
    )
