"""Views besides those of row algebra: stacks joined, lengthened and moved, whose columns are read when they must be."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cached_property, partial

import torch
from torch import Tensor

from .blocks import at_least_float32, of_both, stacked
from .rowmaps import distinct, lengthened, through
from .stats import Statistic
from .updates import Kernel, Longer, Mixed, Parts, Updates, View


class Rooted(View):
    """A stack whose rows count as the clients, whatever they were made of."""

    def __init__(self, base: Updates, ids: tuple[Hashable, ...] | None = None) -> None:
        super().__init__(base, base.n)
        self.ids = base.ids if ids is None else ids

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        return self.base.read(start, stop, rows)

    def _derive(self, statistic: Statistic) -> Tensor:
        return self.base.compute(statistic)[0]

    def combine(self, weights: Tensor) -> Tensor:
        return self.base.combine(weights)

    def parts(self, full: bool = False) -> Parts:
        return self.own_parts()


class Widened(View):
    """The same rows, of which outputs are at least in float32: half precision would round what a memory adds up."""

    def __init__(self, base: Updates) -> None:
        super().__init__(base, base.n)
        self.ids = base.ids
        self.dtype = torch.promote_types(base.dtype, torch.float32)

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        return at_least_float32(self.base.read(start, stop, rows))

    def _derive(self, statistic: Statistic) -> Tensor | None:
        return self.base.compute(statistic)[0]

    def to_clients(self, weights: Tensor) -> Tensor:
        return self.base.to_clients(weights)

    def owner(self) -> Tensor:
        return self.base.owner()

    def parts(self, full: bool = False) -> Parts:
        return self.base.parts(full)


class MixedByClient(Mixed):
    """M @ G where row i is still client i's, though others' rows have a part in it, and a larger one perhaps."""

    def __init__(self, base: Updates, M: Tensor) -> None:
        super().__init__(base, M)
        if self.n != base.n:
            raise ValueError(f"a row for each of {base.n} takes a matrix of as many rows, got {self.n}")
        self.ids = base.ids

    @cached_property
    def _apart(self) -> tuple[Tensor, Tensor]:
        """The rows of M that differ, M itself where all do, and which of them each is."""
        first, which = distinct(self.M)
        return self.M if len(first) == self.n else self.M[first], which

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        # Neighbours are often mixed alike. Each such row is made once: rounding, which hangs on the width of a block,
        # must not tell them apart.
        M, which = self._apart
        block = self.base.read(start, stop).double()
        mixed = M.to(block.device) @ block
        if rows is None and len(mixed) == self.n:
            return mixed
        return mixed[(which if rows is None else which[rows]).to(block.device)]

    def owner(self) -> Tensor:
        return self.base.owner()


class Joined(Longer):
    """The rows of one stack above those of another with the same columns, which belong to no client here."""

    def __init__(self, base: Updates, below: Updates) -> None:
        if below.d != base.d:
            raise ValueError(f"stacks to join need the same columns, got d = {base.d} and d = {below.d}")
        super().__init__(base, base.n + below.n)
        self.below = below

    def check_unwritten(self) -> None:
        self.base.check_unwritten()
        self.below.check_unwritten()

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        if rows is None:
            return stacked(self.base.read(start, stop), self.below.read(start, stop))
        above, below = (partial(each.read, start, stop) for each in (self.base, self.below))
        return of_both(rows, self.base.n, above, below)

    def parts(self, full: bool = False) -> Parts:
        found = lengthened(self.base.parts(full), 0, self.n)
        for root, weights in lengthened(self.below.parts(full), self.base.n, self.n).items():
            found[root] = found[root] + weights if root in found else weights
        return found


class Extended(Longer):
    """G with one row below it that a kernel computes from G's columns as they are read (a mean, a spread)."""

    def __init__(self, base: Updates, kernel: Kernel) -> None:
        super().__init__(base, base.n + 1)
        self.kernel = kernel

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        block = self.base.read(start, stop)
        block = torch.cat([block, self.kernel(block)[None]])
        return block if rows is None else block[rows]


class Single(View):
    """One row in the place of all, which somebody made of them without weights: each has an equal part in it."""

    def __init__(self, base: Updates, row: Tensor) -> None:
        super().__init__(base, 1)
        self.row = row

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        block = at_least_float32(self.row[None, start:stop])
        return block if rows is None else block[rows]

    def to_clients(self, weights: Tensor) -> Tensor:
        return self.base.to_clients(weights.expand(self.base.n))

    def owner(self) -> Tensor:
        return through(self.base.owner(), torch.zeros(self.base.n, dtype=torch.int64))

    def parts(self, full: bool = False) -> Parts:
        return self.own_parts()


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
        # In the widest type that was read: of calculated rows that is float64, whatever clients sent.
        block = torch.cat([at_least_float32(view.read(start, stop)) for view in self.views])
        return block if rows is None else block[rows]

    def split(self, rows: Tensor) -> tuple[Tensor, ...]:
        """What belongs to each view, of something with an entry or a row for each row."""
        return torch.split(rows, [view.n for view in self.views])

    def combine(self, weights: Tensor) -> Tensor:
        if any(view.dtype.itemsize < 4 for view in self.views):
            return super().combine(weights)  # what views give is rounded to half precision already
        total, *others = (view.combine(w) for view, w in zip(self.views, self.split(weights), strict=True))
        for other in others:
            total = total + other
        return total

    def to_clients(self, weights: Tensor) -> Tensor:
        parts = [view.to_clients(w) for view, w in zip(self.views, self.split(weights), strict=True)]
        return torch.stack(parts).sum(0)

    def owner(self) -> Tensor:
        found = self.views[0].owner()
        first = self.views[0].n
        for view in self.views[1:]:
            row = view.owner()
            found = torch.where((found < 0) & (row >= 0), row + first, found)
            first += view.n
        return found

    def parts(self, full: bool = False) -> Parts:
        return self.own_parts()


class Offset(View):
    """The rows plus one remembered row each, times a factor, plus one row for all; a client without memory has 0s.

    All of it times ``unit``.
    """

    def __init__(
        self,
        base: Updates,
        remembered: Sequence[Tensor | None],
        *,
        factor: float = 1.0,
        shift: Tensor | None = None,
        unit: float = 1.0,
    ) -> None:
        super().__init__(base, base.n)
        for row in (*remembered, shift):
            if row is not None:
                self.share.check(row, "remembered rows")
        self.ids = base.ids
        self.remembered = remembered
        self.factor = factor
        self.shift = shift
        self.unit = unit

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        block = self.base.read(start, stop, rows).double().clone()  # two float32 rows may add up to Inf
        chosen = range(self.n) if rows is None else rows.tolist()
        for row, i in zip(block, chosen, strict=True):
            memory = self.remembered[i]
            if memory is not None:
                row.add_(memory[start:stop].to(row), alpha=self.factor)
        if self.shift is not None:
            block.add_(self.shift[start:stop].to(block))
        return block if self.unit == 1 else block.mul_(self.unit)

    def parts(self, full: bool = False) -> Parts:
        return self.own_parts()
