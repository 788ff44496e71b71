"""`Gathered`: rows of several views upon one stack, each with its own clients beneath."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .updates import Updates, View


class Gathered(View):
    """The rows of one view above those of the next; all are views of the same clients' rows.

    Weights of its rows are, for a client, the sum of those that each view gives it.
    """

    def __init__(self, views: Sequence[Updates]) -> None:
        super().__init__(views[0], sum(view.n for view in views))
        self.views = tuple(views)
        self.dtype = max((view.dtype for view in views), key=lambda dtype: dtype.itemsize)

    def check_unwritten(self) -> None:
        for view in self.views:
            view.check_unwritten()

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        block = torch.cat([view.read(start, stop).to(self.dtype) for view in self.views])
        return block if rows is None else block[rows]

    def split(self, rows: Tensor) -> tuple[Tensor, ...]:
        """What belongs to each view, of something with an entry or a row for each row."""
        return torch.split(rows, [view.n for view in self.views])

    def combine(self, weights: Tensor) -> Tensor:
        total, *others = (view.combine(w) for view, w in zip(self.views, self.split(weights), strict=True))
        for other in others:
            total = total + other
        return total

    def to_clients(self, weights: Tensor) -> Tensor:
        parts = [view.to_clients(w) for view, w in zip(self.views, self.split(weights), strict=True)]
        return torch.stack(parts).sum(0)

    def owner(self) -> Tensor:
        found, first = self.views[0].owner(), self.views[0].n
        for view in self.views[1:]:
            row = view.owner()
            found = torch.where((found < 0) & (row >= 0), row + first, found)
            first += view.n
        return found
