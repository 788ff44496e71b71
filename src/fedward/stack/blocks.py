"""`Block`: columns of a stack that are in memory together."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

ReadRows = Callable[[Tensor], Tensor]
"""Reads rows by their numbers."""


class Block:
    """Columns ``start`` to ``stop`` of every row, and the same in float64 for statistics to share.

    ``place`` is the number of its first column in the whole stack, of which other processes may hold other columns.
    """

    def __init__(self, start: int, rows: Tensor, before: int = 0) -> None:
        self.start = start
        self.rows = rows
        self.place = before + start

    @property
    def stop(self) -> int:
        """One past the last column."""
        return self.start + self.rows.shape[1]

    @cached_property
    def wide(self) -> Tensor:
        """The block in float64, converted once however many statistics read it."""
        return self.rows.double()


def stacked(above: Tensor, below: Tensor) -> Tensor:
    """One block above another, in a type for both."""
    dtype = torch.promote_types(above.dtype, below.dtype)
    return torch.cat([above.to(dtype), below.to(above.device, dtype)])


def of_both(rows: Tensor, n: int, above: ReadRows, below: ReadRows) -> Tensor:
    """Rows by number of n rows above and others below them, in the order asked for; no other row is read."""
    lower = rows >= n
    if bool(lower.all()):
        return below(rows - n)
    if not bool(lower.any()):
        return above(rows)
    block = stacked(above(rows[~lower]), below(rows[lower] - n))
    in_order = bool((lower[1:] >= lower[:-1]).all())
    return block if in_order else block[lower.long().argsort(stable=True).argsort()]


def at_least_float32(rows: Tensor) -> Tensor:
    """Rows, converted where they are in half precision, in which no sum is taken."""
    return rows.float() if rows.dtype.itemsize < 4 else rows
