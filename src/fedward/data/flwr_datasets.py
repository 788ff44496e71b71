"""Partitioners of flwr-datasets, used as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from .adapters import OWNERS
from .dataset import Split
from .partition import Partition

__all__ = ["Partitioned", "as_partition"]

SAMPLE = "fedward_sample"
"""The column by whose numbers the parts are known."""


def as_partition(partition: Any) -> Any:
    """The partition itself; a partitioner of flwr-datasets as one.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(partition, str):
        raise ValueError(f"{partition!r} is no partition; fedward.parse({partition!r}, 'partition') makes one of text")
    if callable(getattr(partition, "load_partition", None)):
        return Partitioned(partitioner=partition)
    if not callable(getattr(partition, "split", None)):
        raise ValueError(f"{type(partition).__name__} is no partition, which has a method split")
    return partition


@dataclass(frozen=True, kw_only=True)
class Partitioned(Partition):
    """What a partitioner of flwr-datasets deals, such as its ``DirichletPartitioner``.

    It is handed a table with a column for what it partitions by, and its own seed counts. Columns that are called
    owner, writer_id, character_id, client_id or user_id are those to whom samples belong, all others labels.

    Raises:
        ValueError: it makes another number of parts than there are clients, or needs owners where nobody owns a sample.
        ImportError: Hugging Face's datasets, which comes along with flwr-datasets, is not there.
    """

    partitioner: Any
    covers: ClassVar[bool] = False  # some of them leave samples to nobody

    def split(self, labels: Tensor, clients: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        """See `Partition.split`."""
        return self._parts(labels, None, clients)

    def deal(self, data: Split, clients: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        return self._parts(data.labels, data.owners, clients)

    def _parts(self, labels: Tensor, owners: Tensor | None, clients: int) -> tuple[Tensor, ...]:
        from datasets import Dataset as Table

        by = getattr(self.partitioner, "_partition_by", None)
        names = [by] if isinstance(by, str) else list(by or ())
        columns = {SAMPLE: list(range(len(labels))), "label": labels.tolist()}
        for name in names:
            if name in OWNERS and owners is None:
                kind = type(self.partitioner).__name__
                raise ValueError(f"{kind} deals by {name}, and samples of these data belong to nobody")
            columns[name] = owners.tolist() if name in OWNERS and owners is not None else labels.tolist()
        self.partitioner.dataset = Table.from_dict(columns)
        count = self.partitioner.num_partitions
        if count != clients:
            raise ValueError(f"{type(self.partitioner).__name__} makes {count} parts, and there are {clients} clients")
        parts = (self.partitioner.load_partition(i)[SAMPLE] for i in range(clients))
        return tuple(torch.tensor(list(part), dtype=torch.int64) for part in parts)
