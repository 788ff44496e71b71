"""Partitions: which client holds which training samples.

A partition turns the labels of a data set into one tensor of sample numbers per client. Parts are disjoint
and together cover the data. All randomness comes from the generator that is handed in.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor

from ..registry.bounds import Above, Below, Count, Share
from ..registry.component import Component
from ..registry.entries import ByName, register
from .dataset import Split

__all__ = ["IID", "PARTITIONS", "Degree", "Dirichlet", "KClasses", "Partition", "SFraction"]


class Partition(Component):
    """Deals samples to clients."""

    kind: ClassVar[str] = "partition"
    covers: ClassVar[bool] = True
    """Whether it deals every sample to somebody."""

    @abstractmethod
    def split(self, labels: Tensor, clients: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Deal the samples with these labels to the clients.

        Args:
            labels: (N,) integers, the class of every sample.
            clients: number of parts, 1 to N.
            generator: a CPU generator, the only source of randomness.

        Returns:
            `clients` int64 index tensors into `labels`, on the CPU, disjoint and covering 0 .. N - 1.
        """

    def deal(self, data: Split, clients: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """As `split`, for a partition that looks at more than labels: it overrides this, and is given all samples."""
        return self.split(data.labels, clients, generator)


@register("iid", paper="-", complexity="")
@dataclass(frozen=True, kw_only=True)
class IID(Partition):
    """A random permutation cut into near-equal parts: the first N mod n parts are one sample larger."""

    def split(self, labels: Tensor, clients: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """See `Partition.split`."""
        total = check_clients(labels, clients)
        return near_equal(torch.randperm(total, generator=generator), clients)


@register("s-fraction", paper="Xu et al. 2022", complexity="", example={"s": 0.5})
@dataclass(frozen=True, kw_only=True)
class SFraction(Partition):
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

    s: Share

    def split(self, labels: Tensor, clients: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """See `Partition.split`."""
        total = check_clients(labels, clients)
        # Rounded first: 0.29 * 100 is 28.999999999999996 in floating point, and floor would lose a sample.
        even = math.floor(round(self.s * total, 6))
        if even < clients and total - even < 2 * clients:
            raise ValueError(
                f"SFraction(s={self.s}) would deal {even} of {total} samples evenly to {clients} clients and "
                f"cut the other {total - even} into {2 * clients} shards, so that some clients may get no "
                f"data: use at most {total // 3} clients or a larger s"
            )
        order = torch.randperm(total, generator=generator)
        dealt = near_equal(order[:even], clients)
        rest = order[even:].sort().values
        by_label = rest[labels.cpu()[rest].sort(stable=True).indices]
        shards = near_equal(by_label, 2 * clients)
        pairs = torch.randperm(2 * clients, generator=generator).reshape(clients, 2).tolist()
        return tuple(torch.cat((own, shards[a], shards[b])) for own, (a, b) in zip(dealt, pairs, strict=True))


@register("degree", paper="Guo et al. 2021", complexity="", example={"p": 0.5})
@dataclass(frozen=True, kw_only=True)
class Degree(Partition):
    """SIREN's non-IID partition: a sample of label l goes to the l-th group of clients with probability p.

    There are as many groups as classes, near-equal ones of successive clients. With probability 1 - p the sample goes
    to one of the other groups, all alike; within a group samples are dealt evenly. p = 1 / classes is random, p = 1
    gives every group one class. Guo, Wang et al., SoCC 2021, have p = 0.5; their code caps the size of a group.

    Args:
        p: 0 to 1.

    Raises:
        ValueError: p is outside [0, 1], or `split` has fewer clients than classes, or leaves a client without data.
    """

    p: Share

    def split(self, labels: Tensor, clients: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """See `Partition.split`."""
        total = check_clients(labels, clients)
        classes = int(labels.max()) + 1
        if clients < classes:
            raise ValueError(f"Degree needs a client for each of the {classes} classes, got {clients}")
        others = torch.randint(1, max(classes, 2), (total,), generator=generator)
        moved = torch.rand(total, generator=generator) >= self.p
        group = (labels.cpu() + moved * others) % classes
        order = torch.randperm(total, generator=generator)
        members = torch.arange(clients).tensor_split(classes)
        parts = [near_equal(order[group[order] == g], len(own)) for g, own in enumerate(members)]
        return all_filled(self, [part for group_parts in parts for part in group_parts])


@register("dirichlet", paper="Hsu et al. 2019", complexity="")
@dataclass(frozen=True, kw_only=True)
class Dirichlet(Partition):
    """Shares of each class drawn from a Dirichlet distribution: the smaller alpha, the more skewed.

    For each class, shares of the n clients ~ Dir(alpha, ..., alpha); its samples, in random order, are cut at
    floor(cumulative share x number of them). Drawn anew where a client is left without data, at most 100 times.

    Args:
        alpha: above 0.

    Raises:
        ValueError: alpha is not positive, or `split` cannot give every client data.
    """

    alpha: Annotated[float, Above(0), Below(math.inf)] = 1.0

    def split(self, labels: Tensor, clients: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """See `Partition.split`."""
        check_clients(labels, clients)
        rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
        for _ in range(100):
            parts: list[list[Tensor]] = [[] for _ in range(clients)]
            for c in range(int(labels.max()) + 1):
                samples = (labels.cpu() == c).nonzero().flatten()
                samples = samples[torch.randperm(len(samples), generator=generator)]
                shares = rng.dirichlet([self.alpha] * clients).cumsum()[:-1]
                cuts = [math.floor(share * len(samples)) for share in shares]
                for part, piece in zip(parts, samples.tensor_split(cuts), strict=True):
                    part.append(piece)
            dealt = [torch.cat(part) for part in parts]
            if all(len(part) for part in dealt):
                return tuple(dealt)
        raise ValueError(
            f"Dirichlet(alpha={self.alpha}) left one of {clients} clients without data in 100 draws: use fewer clients "
            "or a larger alpha"
        )


@register("k-classes", paper="DeSGD", complexity="", example={"k": 2})
@dataclass(frozen=True, kw_only=True)
class KClasses(Partition):
    """DeSGD's partition: every client holds k classes, and every class is dealt evenly to those that hold it.

    Client i holds classes perm[(i k + j) mod C], j < k, for a random order perm of the C classes: with n k a multiple
    of C every class is held by n k / C clients.

    Args:
        k: classes of a client.

    Raises:
        ValueError: k is below 1, or `split` has k above the number of classes or too few clients to hold all.
    """

    k: Count

    def split(self, labels: Tensor, clients: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """See `Partition.split`."""
        check_clients(labels, clients)
        k = self.k
        classes = int(labels.max()) + 1
        if k > classes or clients * k < classes:
            raise ValueError(
                f"KClasses: {clients} clients with k = {k} classes each cannot share {classes} classes; k must lie "
                f"between {-(-classes // clients)} and {classes}"
            )
        order = torch.randperm(classes, generator=generator).tolist()
        held = [{order[(i * k + j) % classes] for j in range(k)} for i in range(clients)]
        parts: list[list[Tensor]] = [[] for _ in range(clients)]
        for c in range(classes):
            samples = (labels.cpu() == c).nonzero().flatten()
            samples = samples[torch.randperm(len(samples), generator=generator)]
            holders = [i for i, classes_held in enumerate(held) if c in classes_held]
            for i, piece in zip(holders, near_equal(samples, len(holders)), strict=True):
                parts[i].append(piece)
        return all_filled(self, [torch.cat(part) for part in parts])


PARTITIONS = ByName("partition")
"""The partitions by name."""


def all_filled(partition: Partition, parts: list[Tensor]) -> tuple[Tensor, ...]:
    """The parts, each of which must have a sample."""
    empty = [i for i, part in enumerate(parts) if len(part) == 0]
    if empty:
        raise ValueError(f"{partition} leaves client {empty[0]} of {len(parts)} without data: use fewer clients")
    return tuple(parts)


def check_clients(labels: Tensor, clients: int) -> int:
    """The number of samples, after checking that every client can have one."""
    if labels.ndim != 1 or labels.is_floating_point():
        raise ValueError(f"labels must be a 1-D tensor of integers, got shape {tuple(labels.shape)} and {labels.dtype}")
    total = len(labels)
    if clients < 1:
        raise ValueError(f"clients must be at least 1, got {clients}")
    if clients > total:
        raise ValueError(f"{clients} clients cannot share {total} samples: use at most {total} clients")
    return total


def near_equal(order: Tensor, parts: int) -> tuple[Tensor, ...]:
    """Near-equal consecutive parts, the first ones one larger."""
    # Cloned: a view would drag the storage of all parts along when one is saved or sent to a process.
    return tuple(part.clone() for part in order.tensor_split(parts))
