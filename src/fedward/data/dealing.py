"""Dealing a data set to clients."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from .dataset import Dataset, FederatedData
from .flwr_datasets import as_partition
from .own import own_dataset
from .partition import IID, Partition


def federate(
    dataset: Any,
    clients: int,
    partition: Partition | Any | None = None,
    seed: int = 0,
    holding_all: Iterable[int] = (),
) -> FederatedData:
    """Deal the training samples to clients.

    Args:
        dataset: a `Dataset`, or whatever `own_dataset` makes one of.
        clients: how many clients, 1 to the number of training samples.
        partition: how to deal; `IID()` if not given. A partitioner of flwr-datasets does, too; its own seed counts.
        seed: of the partition's generator. PyTorch's global generator is neither used nor changed.
        holding_all: clients that each hold the whole training set, such as DeSGD's byzantine ones; the partition deals
            it to the others.

    Raises:
        DataError: it is no data set.
        ValueError: the partition cannot deal so few samples to so many clients; or what it returned (it may
            be anybody's) leaves a client without data, deals a sample twice or leaves one out.

    Examples:
        >>> from fedward.data import Dirichlet, load
        >>> federate(load("fashion-mnist-subset"), clients=4, partition=Dirichlet(alpha=0.5))
        FederatedData(fashion-mnist-subset: 4 clients, 1,790 to 3,372 samples each)
    """
    dataset = own_dataset(dataset)
    everything = set(holding_all)
    if clients < 1:
        raise ValueError(f"clients must be at least 1, got {clients}")
    partition = as_partition(IID() if partition is None else partition)
    if clients - len(everything) > len(dataset.train):  # before anything is made for each of them
        raise ValueError(
            f"{clients} clients cannot share {len(dataset.train)} samples: use at most {len(dataset.train)} clients"
        )
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
    deal = getattr(partition, "deal", None)  # anybody's partition has split, and may have nothing else
    labels = dataset.train.labels
    shards = deal(dataset.train, clients, generator) if deal else partition.split(labels, clients, generator)
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
    if not getattr(partition, "covers", True):
        dealt = _with_the_others(dealt, total)
    if not torch.equal(dealt, torch.arange(total)):
        raise ValueError(
            f"{partition} must deal each of the samples 0 to {total - 1} exactly once; it dealt {len(dealt)} "
            f"indices, {len(set(dealt.tolist()))} of them distinct, from {int(dealt[0])} to {int(dealt[-1])}"
        )
    return tuple(shards)


def _with_the_others(dealt: Tensor, total: int) -> Tensor:
    """What was dealt and, in order among it, what nobody was dealt."""
    others = torch.arange(total)
    return torch.cat([dealt, others[~torch.isin(others, dealt)]]).sort().values
