"""Partitions: which client holds which training samples.

A partition turns the labels of a data set into one tensor of sample numbers per client. Parts are disjoint
and together cover the data. All randomness comes from the generator that is handed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["IID", "PARTITIONS", "Partition", "SFraction"]


class Partition(Protocol):
    """Anything that can deal samples to clients."""

    def split(self, labels: Tensor, clients: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Deal the samples with these labels to the clients.

        Args:
            labels: (N,) integers, the class of every sample.
            clients: number of parts, 1 to N.
            generator: a CPU generator, the only source of randomness.

        Returns:
            `clients` int64 index tensors into `labels`, on the CPU, disjoint and covering 0 .. N - 1.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class IID:
    """A random permutation cut into near-equal parts: the first N mod n parts are one sample larger."""

    def split(self, labels: Tensor, clients: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """See `Partition.split`."""
        total = _check(labels, clients)
        return _cut(torch.randperm(total, generator=generator), clients)


@dataclass(frozen=True, kw_only=True)
class SFraction:
    """SignGuard's non-IID partition: a share s of every client's data is IID, the rest comes in label shards.

    floor(s N) samples, drawn at random, are dealt evenly. The others are sorted by label (stable, so in their
    original order within a label) and cut into 2n near-equal shards, of which every client gets two distinct
    ones at random. s = 1 is `IID`, sample for sample with the same generator; s = 0 is the most skewed. A
    shard holds a single label only if the class sizes are multiples of the shard size.

    Xu et al., "Byzantine-robust Federated Learning through Collaborative Malicious Gradient Filtering", ICDCS
    2022, use s = 0.8, 0.5 and 0.3. The authors' code differs: the IID share is the first sN samples, there
    are 100 shards whatever n (the same for n = 50), and the seed is fixed.

    Args:
        s: the IID share, 0 to 1.

    Raises:
        ValueError: s is outside [0, 1], or `split` has so few samples that a client could be left with none
            (impossible from 3n samples on).
    """

    s: float

    def __post_init__(self) -> None:
        # `not ... <=` rather than `<` or `>`, so that NaN is refused as well.
        if not 0.0 <= self.s <= 1.0:
            raise ValueError(f"SFraction: s is the IID share and must lie in [0, 1], got {self.s}")

    def split(self, labels: Tensor, clients: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """See `Partition.split`."""
        total = _check(labels, clients)
        # Rounded first: 0.29 * 100 is 28.999999999999996 in floating point, and floor would lose a sample.
        even = math.floor(round(self.s * total, 6))
        if even < clients and total - even < 2 * clients:
            raise ValueError(
                f"SFraction(s={self.s}) would deal {even} of {total} samples evenly to {clients} clients and "
                f"cut the other {total - even} into {2 * clients} shards, so that some clients may get no "
                f"data: use at most {total // 3} clients or a larger s"
            )
        order = torch.randperm(total, generator=generator)
        dealt = _cut(order[:even], clients)
        rest = order[even:].sort().values
        by_label = rest[labels.cpu()[rest].sort(stable=True).indices]
        shards = _cut(by_label, 2 * clients)
        pairs = torch.randperm(2 * clients, generator=generator).reshape(clients, 2).tolist()
        return tuple(torch.cat((own, shards[a], shards[b])) for own, (a, b) in zip(dealt, pairs, strict=True))


PARTITIONS: Mapping[str, Callable[..., Partition]] = {"iid": IID, "s-fraction": SFraction}
"""The partitions by name."""


def _check(labels: Tensor, clients: int) -> int:
    """The number of samples, after checking that every client can have one."""
    if labels.ndim != 1 or labels.is_floating_point():
        raise ValueError(f"labels must be a 1-D tensor of integers, got shape {tuple(labels.shape)} and {labels.dtype}")
    total = len(labels)
    if clients < 1:
        raise ValueError(f"clients must be at least 1, got {clients}")
    if clients > total:
        raise ValueError(f"{clients} clients cannot share {total} samples: use at most {total} clients")
    return total


def _cut(order: Tensor, parts: int) -> tuple[Tensor, ...]:
    """Near-equal consecutive parts, the first ones one larger."""
    # Cloned: a view would drag the storage of all parts along when one is saved or sent to a process.
    return tuple(part.clone() for part in order.tensor_split(parts))
