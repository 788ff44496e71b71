"""Rows in memory, of a stack that need not be."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from .updates import Updates

# Entries of rows that are in memory at a time while they are looked at one by one.
_FEW = 1 << 22


def materialise(updates: Updates, out: Tensor | None = None) -> Tensor:
    """The stack as an (n, d) tensor, written to ``out`` if given."""
    if out is None:
        out = torch.empty(updates.n, updates.width, dtype=updates.dtype, device=updates.device)
    for block in updates.blocks():
        out[:, block.start : block.stop] = block.rows
    return out


def rows_of(updates: Updates) -> Iterator[Tensor]:
    """The rows of a stack one by one, (d,) each, a few at a time in memory; together one pass over the data."""
    few = max(_FEW // updates.width, 1)
    for indices in torch.split(torch.arange(updates.n), few):
        yield from materialise(updates.take(indices))


def row_copies(updates: Updates, limit: float) -> list[Tensor]:
    """A copy of each row, (d,), at least in float32 and with its entries clamped to +-limit; one pass over the data."""
    dtype = torch.promote_types(updates.dtype, torch.float32)
    copies = [torch.empty(updates.width, dtype=dtype, device=updates.device) for _ in range(updates.n)]
    for block in updates.blocks():
        for copy, values in zip(copies, block.rows.clamp(-limit, limit), strict=True):
            copy[block.start : block.stop] = values
    return copies
