"""`ColumnShard`: a stack of which this process holds some columns; and what all processes make of theirs together."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import torch
from torch import Tensor

from .shares import ColumnShare
from .sources import RowsLostError, RowSource
from .stats import Statistic
from .updates import Parts, Updates, View


class ColumnShard(RowSource):
    """Rows of which this process holds some columns, as other rows whose columns are these.

    Args:
        rows: the columns that are held here, (n, width).
        share: which they are.
    """

    def __init__(self, rows: RowSource, share: ColumnShare) -> None:
        if rows.d != share.width:
            raise ValueError(f"a share of {share.width} columns takes rows that have as many, got {rows.d}")
        super().__init__(
            n=rows.n, d=share.d, dtype=rows.dtype, device=rows.device, ids=rows.ids, block=rows.block_columns
        )
        self.rows = rows
        self.share = share
        self.layout, self.agreed = rows.layout, rows.agreed

    def check_unwritten(self) -> None:
        try:
            self.rows.check_unwritten()
        except RowsLostError as error:
            raise _together(error) from error

    @property
    def lost(self) -> Mapping[Hashable, str]:
        return self.rows.lost

    @property
    def columns_read(self) -> float:
        return self.rows.columns_read

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        try:
            return self.rows.read(start, stop, rows)
        except RowsLostError as error:
            raise _together(error) from error

    def combine(self, weights: Tensor) -> Tensor:
        return self.rows.combine(weights)

    def sent_finite(self, row: int) -> bool:
        return _everywhere(self.share, self.rows.sent_finite(row))

    def placed(self, output: Tensor, first: int = 0) -> Tensor:
        return self.rows.placed(output, first)


def _together(error: RowsLostError) -> RuntimeError:
    """Rows that one process lost others may still have: leaving them out is for all of them to do."""
    return RuntimeError(str(error))


def _everywhere(share: ColumnShare, here: bool) -> bool:
    """Whether something holds on all processes."""
    (elsewhere_not,) = share.total(torch.tensor(float(not here), dtype=torch.float64))
    return not bool(elsewhere_not)


def held_like(updates: Updates, rows: RowSource) -> RowSource:
    """Rows made from a stack's columns (outputs, remembered rows), which has these columns and maybe not all."""
    return rows if updates.share.alone else ColumnShard(rows, updates.share)


class WholeRows(View):
    """A stack with all columns on every process: each block is brought together as it is read."""

    def __init__(self, base: Updates) -> None:
        super().__init__(base, base.n)
        self.ids = base.ids
        self.share = ColumnShare(base.d)

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        held = self.base.share
        first = min(max(start - held.first, 0), held.width)
        last = min(max(stop - held.first, first), held.width)
        return held.joined(self.base.read(first, last, rows))

    def _derive(self, statistic: Statistic) -> Tensor:
        return self.base.compute(statistic)[0]

    def combine(self, weights: Tensor) -> Tensor:
        return self.base.share.joined(self.base.combine(weights))

    def parts(self, full: bool = False) -> Parts:
        return self.own_parts()


def whole_rows(updates: Updates) -> Updates:
    """The stack with all columns, for those who look at rows as a whole."""
    return updates if updates.share.alone else WholeRows(updates)
