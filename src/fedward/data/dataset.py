"""`Dataset`, its splits, and which client holds which samples of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .lazy import Lazy


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Samples and their labels.

    Args:
        inputs: (N, C, H, W) float32, normalised, or (N, L) int64, tokens; any other shape does for models that take it.
            `Lazy`, if they are not to lie in memory.
        labels: (N,) int64.
        owners: (N,) int64, whose each sample is, numbered from 0, where samples belong to somebody: a writer, a role.

    Raises:
        ValueError: the two do not fit together.
    """

    inputs: Tensor | Lazy
    labels: Tensor
    owners: Tensor | None = None

    def __post_init__(self) -> None:
        if self.labels.ndim != 1 or self.labels.dtype != torch.int64:
            raise ValueError(f"labels must be 1-D int64, got {self.labels.ndim}-D {self.labels.dtype}")
        if self.inputs.shape[:1] != self.labels.shape:
            raise ValueError(f"{len(self.labels)} labels do not fit inputs {tuple(self.inputs.shape)}")

        if self.owners is not None and self.owners.shape != self.labels.shape:
            raise ValueError(f"{len(self.owners)} owners do not fit {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        # Whoever looks at data in a terminal does not want all of its numbers.
        return f"Split({len(self):,} samples of {tuple(self.inputs.shape[1:])})"


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
        shards: per client, int64 index tensors into `dataset.train`, of one sample or more. A sample may be held by
            several clients, or by none.

    Raises:
        ValueError: a shard is nothing of the kind, empty, or names samples that there are not.
    """

    dataset: Dataset
    shards: tuple[Tensor, ...]

    def __post_init__(self) -> None:
        for client, shard in enumerate(self.shards):
            called = f"FederatedData: client {client} of {self.n}"
            if not isinstance(shard, Tensor) or shard.ndim != 1 or shard.dtype != torch.int64:
                found = f"{tuple(shard.shape)} of {shard.dtype}" if isinstance(shard, Tensor) else type(shard).__name__
                raise ValueError(f"{called} must hold samples by number, in a 1-D int64 tensor, got {found}")
            if len(shard) == 0:
                raise ValueError(f"{called} holds no samples: leave it out, or give it some")
        # All at once: there may be a million of them.
        held = torch.cat(self.shards) if self.shards else torch.zeros(0, dtype=torch.int64)
        total = len(self.dataset.train)
        if bool(((held < 0) | (held >= total)).any()):
            client, wrong = next(
                (client, int(number))
                for client, shard in enumerate(self.shards)
                for number in shard[(shard < 0) | (shard >= total)][:1]
            )
            raise ValueError(
                f"FederatedData: client {client} of {self.n} holds sample {wrong}, of {total} from 0 to {total - 1}"
            )

    @property
    def n(self) -> int:
        """Number of clients."""
        return len(self.shards)

    def __repr__(self) -> str:
        held = [len(shard) for shard in self.shards]
        each = f", {min(held):,} to {max(held):,} samples each" if held else ""
        return f"FederatedData({self.dataset.name}: {self.n:,} clients{each})"
