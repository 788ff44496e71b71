"""Memory per client: what rules keep between rounds under a client's id, as clients come and go."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..rule import State
from ..stack import Updates, View


def key(name: str, client: Hashable) -> str:
    """Where a state keeps this about this client: 3 and "3" are different clients."""
    plain = client.item() if isinstance(client, np.generic) else client  # np.int64(3) is client 3
    return f"{name} of {plain!r}"


def recall(state: State, name: str, clients: Sequence[Hashable], default: float) -> Tensor:
    """A number for each client: (n,) float64."""
    return torch.tensor([float(state.get(key(name, c), default)) for c in clients], dtype=torch.float64)


def remember(name: str, clients: Sequence[Hashable], values: Tensor) -> dict[str, Tensor]:
    """A number for each client, as entries of a state."""
    return {key(name, c): v.clone() for c, v in zip(clients, values, strict=True)}


def remember_rows(name: str, updates: Updates) -> dict[str, Tensor]:
    """A copy of each client's row, at least in float32, as entries of a state; one pass over the data."""
    dtype = torch.promote_types(updates.dtype, torch.float32)
    greatest = torch.finfo(dtype).max  # sums of finite rows stay finite
    rows = [torch.empty(updates.d, dtype=dtype, device=updates.device) for _ in updates.ids]
    for block in updates.blocks():
        for row, values in zip(rows, block.rows.clamp(-greatest, greatest), strict=True):
            row[block.start : block.stop] = values
    return {key(name, client): row for client, row in zip(updates.ids, rows, strict=True)}


class Offset(View):
    """The rows plus one remembered row each, times a factor, plus one row for all; a client without memory has 0s."""

    def __init__(
        self,
        base: Updates,
        remembered: Sequence[Tensor | None],
        factor: float = 1.0,
        shift: Tensor | None = None,
    ) -> None:
        super().__init__(base, base.n)
        self.ids = base.ids
        self.remembered, self.factor, self.shift = remembered, factor, shift

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        block = self.base.read(start, stop, rows).double().clone()  # two float32 rows may add up to Inf
        chosen = range(self.n) if rows is None else rows.tolist()
        for row, i in zip(block, chosen, strict=True):
            memory = self.remembered[i]
            if memory is not None:
                row.add_(memory[start:stop].to(row), alpha=self.factor)
        return block if self.shift is None else block.add_(self.shift[start:stop].to(block))
