"""Groups of rows with statistics of their own (`Apart`), and what comes of each group as a stack (`Aggregates`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .kernels import weighted_sum
from .rowmaps import through
from .sources import BLOCK_ENTRIES
from .stats import SqNorms, Statistic
from .updates import Kernel, Parts, Updates, View


class Apart(View):
    """Some rows of G as a stack that knows of no others.

    Its statistics are read from its own rows: of n rows in groups of s inner products are n s numbers then, and not
    n^2. Norms are those of G, where they are known already.
    """

    def __init__(self, base: Updates, rows: Tensor) -> None:
        super().__init__(base, len(rows))
        self.rows = rows
        self.ids = tuple(base.ids[i] for i in rows.tolist())
        self.block_columns = max(base.block_columns, BLOCK_ENTRIES // len(rows))

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        return self.base.read(start, stop, self.rows if rows is None else self.rows[rows])

    def _derive(self, statistic: Statistic) -> Tensor | None:
        return self.base.compute(statistic)[0][self.rows] if isinstance(statistic, SqNorms) else None

    def parts(self, full: bool = False) -> Parts:
        return self.own_parts()


@dataclass(frozen=True, eq=False, kw_only=True)
class Group:
    """Rows of a stack, and what becomes of them.

    Attributes:
        rows: which of the stack beneath.
        updates: the stack that weights or kernel are about: an `Apart` of these rows, or a view of it.
        weights: of its rows; None where the kernel makes the output.
        kernel: over its columns.
        shares: how much of each row there is in the output, or whether it has a say there: at most 0 for none.
    """

    rows: Tensor
    updates: Updates
    weights: Tensor | None
    kernel: Kernel | None
    shares: Tensor

    def output(self, start: int, stop: int) -> Tensor:
        """Columns of what comes of the group: (stop - start,) float64."""
        if self.weights is None:
            assert self.kernel is not None
            return self.kernel(self.updates.read(start, stop)).double()
        rows = self.weights.nonzero().flatten()
        if len(rows) == 0:
            return torch.zeros(stop - start, dtype=torch.float64, device=self.updates.device)
        block = self.updates.read(start, stop, rows).double()
        return weighted_sum(block, torch.arange(len(rows)), self.weights[rows])


class Aggregates(View):
    """One row for each group of rows of a stack: what comes of the group, made as columns are read."""

    def __init__(self, base: Updates, groups: Sequence[Group]) -> None:
        super().__init__(base, len(groups))
        self.groups = groups
        self.linear = all(group.weights is not None for group in groups)
        self.linear &= base.linear if isinstance(base, Aggregates) else True

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        wanted = self.groups if rows is None else [self.groups[row] for row in rows.tolist()]
        # Results kept one by one would lie between the freed blocks that they were made of, and those would be lost.
        made = torch.empty((len(wanted), stop - start), dtype=torch.float64, device=self.device)
        for row, group in zip(made, wanted, strict=True):
            row.copy_(group.output(start, stop))
        return made

    def _spread(self, weights: Tensor) -> Tensor:
        below = torch.zeros(self.base.n, dtype=torch.float64)
        for group, weight in zip(self.groups, weights.double().cpu(), strict=True):
            below[group.rows] = weight * group.shares
        return below

    def combine(self, weights: Tensor) -> Tensor:
        return self.base.combine(self._spread(weights)) if self.linear else super().combine(weights)

    def to_clients(self, weights: Tensor) -> Tensor:
        return self.base.to_clients(self._spread(weights))

    def owner(self) -> Tensor:
        places = torch.full((self.base.n,), -1)
        for k, group in enumerate(self.groups):
            places[group.rows[group.shares > 0]] = k
        return through(self.base.owner(), places)

    def parts(self, full: bool = False) -> Parts:
        return self.own_parts()
