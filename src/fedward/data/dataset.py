"""Data sets, and the samples of them that each client holds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from .partition import IID, Partition


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Samples and their labels.

    Args:
        inputs: (N, C, H, W) float32, normalised, or (N, L) int64, tokens; any other shape does for models that take it.
        labels: (N,) int64.

    Raises:
        ValueError: the two do not fit together.
    """

    inputs: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.labels.ndim != 1 or self.labels.dtype != torch.int64:
            raise ValueError(f"labels must be 1-D int64, got {self.labels.ndim}-D {self.labels.dtype}")
        if self.inputs.shape[:1] != self.labels.shape:
            raise ValueError(f"{len(self.labels)} labels do not fit inputs {tuple(self.inputs.shape)}")

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """A training and a test split with labels 0 .. classes - 1.

    Args:
        name: in records and checkpoints.
        train, test: the splits.
        classes: how many.
        vocabulary: of texts, how many tokens there are.
    """

    name: str
    train: Split
    test: Split
    classes: int
    vocabulary: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample, which a model must take: (C, H, W) of an image, (L,) of a text of L tokens."""
        return tuple(self.train.inputs.shape[1:])


@dataclass(frozen=True, kw_only=True, eq=False)
class FederatedData:
    """A data set and the samples that each client holds.

    Args:
        dataset: shared by all clients, never copied.
        shards: per client, int64 index tensors into `dataset.train`.
    """

    dataset: Dataset
    shards: tuple[Tensor, ...]

    @property
    def n(self) -> int:
        """Number of clients."""
        return len(self.shards)


def federate(
    dataset: Dataset,
    clients: int,
    partition: Partition | None = None,
    seed: int = 0,
    holding_all: Iterable[int] = (),
) -> FederatedData:
    """Deal the training samples to clients.

    Args:
        dataset: what to deal.
        clients: how many clients, 1 to the number of training samples.
        partition: how to deal; `IID()` if not given.
        seed: of the partition's generator. PyTorch's global generator is neither used nor changed.
        holding_all: clients that each hold the whole training set, such as DeSGD's byzantine ones; the partition deals
            it to the others.

    Raises:
        ValueError: the partition cannot deal so few samples to so many clients; or what it returned (it may
            be anybody's) leaves a client without data, deals a sample twice or leaves one out.
    """
    everything = set(holding_all)
    if partition is None:
        partition = IID()
    if not everything < set(range(clients)):
        raise ValueError(f"holding_all names some of the clients 0 to {clients - 1}, not all, got {sorted(everything)}")
    count = clients - len(everything)
    shards = iter(_dealt(dataset, count, partition, torch.Generator().manual_seed(seed)))
    whole = torch.arange(len(dataset.train))
    return FederatedData(
        dataset=dataset, shards=tuple(whole if c in everything else next(shards) for c in range(clients))
    )


def _dealt(dataset: Dataset, clients: int, partition: Partition, generator: torch.Generator) -> tuple[Tensor, ...]:
    """What the partition deals to these clients, after checking it."""
    shards = partition.split(dataset.train.labels, clients, generator)
    if len(shards) != clients:
        raise ValueError(f"{partition} returned {len(shards)} parts for {clients} clients")
    for client, shard in enumerate(shards):
        if shard.ndim != 1 or shard.dtype != torch.int64 or len(shard) == 0:
            raise ValueError(
                f"{partition}: client {client} of {clients} must get one or more samples, as 1-D int64 "
                f"indices, got shape {tuple(shard.shape)} and {shard.dtype}; if empty, use fewer clients"
            )
    dealt = torch.cat(shards).sort().values
    total = len(dataset.train)
    if not torch.equal(dealt, torch.arange(total)):
        raise ValueError(
            f"{partition} must deal each of the samples 0 to {total - 1} exactly once; it dealt {len(dealt)} "
            f"indices, {len(set(dealt.tolist()))} of them distinct, from {int(dealt[0])} to {int(dealt[-1])}"
        )
    return tuple(shards)
