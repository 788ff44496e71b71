"""Rows that a rule remembers, one for each client, and the stack of this round's rows beside them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..core.state import key, most
from ..stack import Updates, View

_LARGE = 2.0**400  # about 1e120


def remember_rows(name: str, updates: Updates) -> dict[str, Tensor]:
    """A copy of each client's row, at least in float32, as entries of a state; one pass over the data."""
    dtype = torch.promote_types(updates.dtype, torch.float32)
    limit = most(dtype)
    rows = [torch.empty(updates.d, dtype=dtype, device=updates.device) for _ in updates.ids]
    for block in updates.blocks():
        for row, values in zip(rows, block.rows.clamp(-limit, limit), strict=True):
            row[block.start : block.stop] = values
    return {key(name, client): row for client, row in zip(updates.ids, rows, strict=True)}


def unit(updates: Updates) -> float:
    """What to multiply rows by so that the squares of sums of two of them are finite: 1, but for rows beyond 1e120.

    A power of two, so that nothing is rounded.
    """
    return 1.0 if float(updates.norms().amax()) < _LARGE else 1 / _LARGE


class Offset(View):
    """The rows plus one remembered row each, times a factor, plus one row for all; a client without memory has 0s.

    All of it times ``unit``.
    """

    def __init__(
        self,
        base: Updates,
        remembered: Sequence[Tensor | None],
        factor: float = 1.0,
        shift: Tensor | None = None,
        unit: float = 1.0,
    ) -> None:
        super().__init__(base, base.n)
        self.ids = base.ids
        self.remembered, self.factor, self.shift, self.unit = remembered, factor, shift, unit

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        # A copy to write to, and wide: two float32 rows may add up to Inf.
        block = self.base.read(start, stop, rows).double().clone()
        chosen = range(self.n) if rows is None else rows.tolist()
        for row, i in zip(block, chosen, strict=True):
            memory = self.remembered[i]
            if memory is not None:
                row.add_(memory[start:stop].to(row), alpha=self.factor)
        if self.shift is not None:
            block.add_(self.shift[start:stop].to(block))
        if self.unit != 1:
            block.mul_(self.unit)
        return block
