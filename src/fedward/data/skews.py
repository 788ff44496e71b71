"""Partitions by what is skewed: whose samples they are, how many a client has, what they look like, which labels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from ..registry.bounds import AtLeast, AtMost, Count, Share
from ..registry.entries import register
from .dataset import Split
from .partition import Partition, all_filled, check_clients, near_equal

__all__ = ["FeatureSkew", "Natural", "QuantitySkew", "Shards"]

_CHUNK = 4096  # samples that are looked at at a time


@register("natural", paper="Caldas et al. 2018", complexity="")
@dataclass(frozen=True, kw_only=True)
class Natural(Partition):
    """Samples stay with those whose they are: writers, roles. Each client is one of them, or several.

    With fewer clients than owners, owners are shuffled and dealt in near-equal numbers; with as many, each client is
    one. Data sets with owners (`Split.owners`) are femnist and shakespeare, and one's own.

    Raises:
        ValueError: samples belong to nobody, or to fewer than there are clients.
    """

    def split(self, labels: Tensor, clients: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Labels alone do not say whose samples are.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            "natural needs to know whose samples are, as femnist and shakespeare do, or Split(owners=...) of your own"
        )

    def deal(self, data: Split, clients: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        if data.owners is None:
            return self.split(data.labels, clients, generator)
        check_clients(data.labels, clients)
        owners, whose = torch.unique(data.owners, return_inverse=True)
        if clients > len(owners):
            raise ValueError(
                f"natural: samples belong to {len(owners)}, who cannot be {clients} clients: use at most {len(owners)}"
            )
        groups = near_equal(torch.randperm(len(owners), generator=generator), clients)
        client_of = torch.empty(len(owners), dtype=torch.int64)
        for client, group in enumerate(groups):
            client_of[group] = client
        held = client_of[whose]
        return tuple((held == client).nonzero().flatten() for client in range(clients))


@register("quantity-skew", complexity="")
@dataclass(frozen=True, kw_only=True)
class QuantitySkew(Partition):
    """Clients hold different numbers of samples, drawn at random: shares are exp(sigma z), z standard normal.

    The log-normal distribution; sigma = 0 is `IID`. At sigma = 1 the largest of 50 clients has about 90 times as many
    samples as the smallest. Every client has at least one.

    Args:
        sigma: of the logarithm of a client's share.
    """

    # The exponential of 100 times what a normal distribution draws is a float64; that of 1000 times is often none.
    sigma: Annotated[float, AtLeast(0), AtMost(100, "one client has nearly all samples long before")] = 1.0

    def split(self, labels: Tensor, clients: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """See `Partition.split`."""
        total = check_clients(labels, clients)
        order = torch.randperm(total, generator=generator)
        shares = torch.exp(self.sigma * torch.randn(clients, generator=generator, dtype=torch.float64))
        sizes = _whole_parts(shares, total)
        return tuple(part.clone() for part in torch.split(order, sizes))


def _whole_parts(shares: Tensor, total: int) -> list[int]:
    """Whole numbers of at least 1 that are nearest to shares of a total."""
    free = total - len(shares)
    exact = shares / shares.sum() * free
    floors = exact.floor()
    # What is left goes to the largest remainders; the first of equal ones.
    left = free - int(floors.sum())
    order = (exact - floors).sort(descending=True, stable=True).indices
    floors[order[:left]] += 1
    return [1 + int(size) for size in floors]


@register("shards", paper="McMahan et al. 2017", complexity="")
@dataclass(frozen=True, kw_only=True)
class Shards(Partition):
    """Samples sorted by label, cut into near-equal shards, of which each client gets some at random.

    McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data", AISTATS 2017: 2 shards
    for each of 100 clients, so that most have two classes.

    Args:
        per_client: shards of a client.

    Raises:
        ValueError: `split` has fewer samples than shards.
    """

    per_client: Count = 2

    def split(self, labels: Tensor, clients: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """See `Partition.split`."""
        total = check_clients(labels, clients)
        count = clients * self.per_client
        if count > total:
            raise ValueError(
                f"shards: {total} samples make no {count} shards: use at most {total // self.per_client} clients"
            )
        pieces = near_equal(labels.cpu().sort(stable=True).indices, count)
        dealt = torch.randperm(count, generator=generator).reshape(clients, self.per_client).tolist()
        return tuple(torch.cat([pieces[i] for i in own]) for own in dealt)


@register("feature-skew", complexity="")
@dataclass(frozen=True, kw_only=True)
class FeatureSkew(Partition):
    """Clients hold the same classes and samples that look different: dark images here, bright ones there.

    Samples of each class are put in the order of a feature, the mean of their values (of texts, the number of tokens),
    and cut into as many near-equal pieces as there are clients; each client gets the same piece of every class. A share
    s is dealt at random instead.

    Args:
        s: the share that is dealt at random; 1 skews nothing.

    Raises:
        ValueError: `deal` leaves a client without data.
    """

    s: Share = 0.0

    def split(self, labels: Tensor, clients: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Labels alone do not say what samples look like.

        Raises:
            ValueError: always.
        """
        raise ValueError("feature-skew deals samples by what they look like, not labels alone: use federate or deal")

    def deal(self, data: Split, clients: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        check_clients(data.labels, clients)
        feature = _feature(data)
        labels = data.labels.cpu()
        level = torch.randperm(clients, generator=generator).tolist()
        parts: list[list[Tensor]] = [[] for _ in range(clients)]
        for number, c in enumerate(torch.unique(labels).tolist()):
            own = (labels == c).nonzero().flatten()
            own = own[torch.randperm(len(own), generator=generator)]
            even = math.floor(round(self.s * len(own), 6))
            rest = own[even:]
            ordered = rest[feature[rest].sort(stable=True).indices]
            pieces = zip(near_equal(own[:even], clients), near_equal(ordered, clients), strict=True)
            for client, (random, alike) in enumerate(pieces):
                # Which piece is one larger moves on with the class, so that no client has more of them all.
                parts[(client + number) % clients].append(random)
                parts[level[client]].append(alike)
        return all_filled(self, [torch.cat(part) for part in parts])


def _feature(data: Split) -> Tensor:
    """(N,) the mean of each sample's values, or how many tokens a text has."""
    means = []
    for start in range(0, len(data), _CHUNK):
        inputs = data.inputs[start : start + _CHUNK].flatten(1)
        means.append(inputs.double().mean(1) if inputs.is_floating_point() else (inputs != 0).sum(1).double())
    return torch.cat(means).cpu()
