"""`Updates`: a stack of n client rows by d columns that is never assumed to be in memory, and its row algebra.

The views that row operations return read columns only when they must. Others are in `views`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import zip_longest
from typing import TypeVar

import torch
from torch import Tensor

from .blocks import Block, of_both, stacked
from .geometry import squared_distances
from .kernels import weighted_sum
from .layout import Layout
from .loops import BLOCKS, available, in_loops, side_by_side
from .pairs import added, by_rows, submatrix
from .reference import Agreed
from .rowmaps import by_number, heaviest, lengthened, through
from .sample import Sample
from .shares import ColumnShare
from .stats import Gram, SignConcordance, SignCounts, SqNorms, Statistic

R = TypeVar("R")
Kernel = Callable[[Tensor], Tensor]
"""A function of columns: (n, b) in, (b,) out, each column on its own. `made_of` decorates one that calls others."""
Parts = dict["Updates", Tensor]
"""Stacks with rows of their own, each with the weights of its rows in the rows of a view: stack -> (n, its n)."""


class Updates(ABC):
    """A lazy (n, d) stack of client updates.

    A subclass says how to `read` a range of columns; all else follows. Statistics are sums over column blocks,
    accumulated in float64, computed at most once each, and as many of them as are asked for together in one
    pass (`compute`). Row operations (`mix`, `scale`, `take`, `anchored`) return views that derive their own
    statistics from those of the stack beneath, without reading a column where that is possible.

    Statistics live on the CPU, whatever the device of the rows: they are small, and decisions are made there.
    What a stack knows of its rows must stay true: it has no tensor to assign into, and says so (RuntimeError) when the
    memory that it reads was written to by others meanwhile.
    """

    n: int
    d: int
    share: ColumnShare  # which of the d columns are held here, where several processes hold the stack
    dtype: torch.dtype
    device: torch.device
    ids: tuple[Hashable, ...]
    layout: Layout | None = None
    agreed: Agreed | None = None
    """What clients sent besides columns, and who sent something else; None where they were not looked at one by one."""
    block_columns: int

    def __init__(self) -> None:
        self._statistics: dict[Statistic, Tensor] = {}
        # Those that came along with others, see `Statistic.contains`: for whatever cannot be derived.
        self._contained: dict[Statistic, Tensor] = {}

    # --- the data -------------------------------------------------------------------------------------------

    @abstractmethod
    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        """Columns ``start`` to ``stop`` of those held, of all rows or the rows at the given indices: (n, stop - start).

        Half-precision rows come as float32, so that no sum is ever taken in half precision; rows that a view has
        calculated come as float64, so that no sign is lost to rounding.
        """

    @abstractmethod
    def check_unwritten(self) -> None:
        """Raise RuntimeError if rows were written to after the stack was made; `RowsLostError` of rows in files."""

    @property
    @abstractmethod
    def columns_read(self) -> float:
        """Columns read from the data beneath so far, some rows of one as that part of it."""

    @property
    def width(self) -> int:
        """How many columns are held here: d, unless other processes hold the rest."""
        return self.share.width

    def blocks(self, rows: Tensor | None = None, times: int = 1) -> Iterator[Block]:
        """All columns that are held here, a cache-sized block, or several, at a time."""
        self.check_unwritten()
        step = self.block_columns * times
        for start in range(0, self.width, step):
            yield Block(start, self.read(start, min(start + step, self.width), rows), self.share.first)

    def sweep(self, work: Callable[[Block], R], loops: bool, rows: Tensor | None = None) -> Iterator[tuple[Block, R]]:
        """All blocks in order, each with what the work makes of it; side by side if that is done by compiled loops."""
        if loops and available(self.n * min(self.block_columns, self.width), self.device):
            return side_by_side(lambda block: (block, work(block)), self.blocks(rows, times=BLOCKS))
        return ((block, work(block)) for block in self.blocks(rows))

    def sent_finite(self, row: int) -> bool:
        """Whether every entry of a row is finite as it was sent: its squared norm may exceed float64 all the same."""
        bad = sum((~block.rows.isfinite()).sum().cpu().double() for block in self.blocks(torch.tensor([row])))
        return not bool(self.share.total(torch.as_tensor(bad))[0])

    # --- statistics -----------------------------------------------------------------------------------------

    def compute(self, *statistics: Statistic) -> tuple[Tensor, ...]:
        """The values of the given statistics: those not known yet are computed together in one pass."""
        self.check_unwritten()
        for statistic in statistics:
            if statistic in self._statistics:
                continue
            derived = self._derive(statistic)
            known = self._contained.get(statistic) if derived is None else derived
            if known is not None:
                self._statistics[statistic] = known
        missing = [statistic for statistic in dict.fromkeys(statistics) if statistic not in self._statistics]
        if missing:
            contained = {part for statistic in missing for part in statistic.contains()}
            self._sum([statistic for statistic in missing if statistic not in contained])
            for statistic in contained.intersection(missing):
                self._statistics[statistic] = self._contained[statistic]
        return tuple(self._statistics[statistic] for statistic in statistics)

    def _sum(self, statistics: Sequence[Statistic]) -> None:
        """Compute statistics in one pass."""
        for statistic in statistics:
            statistic.check(self.share)
        partials = [statistic.partials(self.d, self.device) for statistic in statistics]
        loops = all(statistic.in_loops(self.n) for statistic in statistics)
        sums: list[Tensor] = []
        for _, terms in self.sweep(lambda block: [partial(block) for partial in partials], loops):
            sums = [added(so_far, term) for so_far, term in zip_longest(sums, terms)]
        for statistic, total in zip(statistics, self.share.total(*(part.cpu() for part in sums)), strict=True):
            evened = statistic.evened(total)
            self._statistics[statistic] = statistic.value(evened)
            for part, read in statistic.contains().items():
                self._contained.setdefault(part, read(evened))

    def _derive(self, statistic: Statistic) -> Tensor | None:
        """The statistic from those of the stack beneath a view; None where the columns must be read."""
        return None

    def norms(self) -> Tensor:
        """Euclidean norms of the rows: (n,) float64."""
        return self.compute(SqNorms())[0].clamp_min(0).sqrt()

    def gram(self) -> Tensor:
        """Inner products of the rows, G @ G.T: (n, n) float64."""
        return self.compute(Gram())[0]

    def sq_dists(self) -> Tensor:
        """Squared Euclidean distances between rows: (n, n) float64, at least 0, exactly 0 on the diagonal.

        Rows that float64 cannot tell apart (squared distance below 1e-13 of their squared norms) have distance 0
        and the very same distances to all others, so that colluders who send one row tie exactly.
        """
        return squared_distances(self.gram())

    def sign_counts(self, fraction: float = 1.0, seed: int = 0) -> Tensor:
        """How many entries of each row are positive, zero and negative: (n, 3) float64.

        Counted on max(1, floor(fraction * d)) columns drawn without replacement by ``seed``; on all if fraction is 1.
        """
        return self.compute(SignCounts(sample=None if fraction == 1.0 else Sample(seed=seed, fraction=fraction)))[0]

    def concordance(self) -> Tensor:
        """Sign concordance, (1/d) sum_j sgn(a_j) sgn(b_j) for each pair of rows: (n, n) float64 in [-1, 1], exact."""
        return self.compute(SignConcordance())[0] / self.d

    # --- row algebra ----------------------------------------------------------------------------------------

    def mix(self, M: Tensor) -> Updates:
        """The stack M @ G for an (m, n) matrix, lazily."""
        return Mixed(self, M)

    def scale(self, factors: Tensor) -> Updates:
        """The stack diag(factors) @ G for n factors that are at least 0, lazily; signs stay exact."""
        return Scaled(self, factors)

    def take(self, rows: Tensor) -> Updates:
        """Some of the rows, by index; the others are never multiplied, not even by 0."""
        return Taken(self, rows)

    def anchored(self, rows: Tensor) -> Updates:
        """This stack with the server's own rows, (d,) or (k, d), below it (a previous aggregate, a root gradient)."""
        return Anchored(self, rows)

    # --- outputs --------------------------------------------------------------------------------------------

    def combine(self, weights: Tensor) -> Tensor:
        """The weighted sum of rows, weights @ G: (d,), or the columns held; rows of weight 0 are not read."""
        rows = weights.nonzero().flatten()
        out = torch.zeros(self.width, dtype=self.dtype, device=self.device)
        if len(rows) == 0:
            return out
        some, used = None if len(rows) == self.n else rows, weights[rows].double()
        for block, values in self.sweep(lambda b: weighted_sum(b.rows, torch.arange(len(b.rows)), used), True, some):
            out[block.start : block.stop] = values
        return out

    def columns(self, kernel: Kernel) -> Tensor:
        """A kernel applied to every column that is held: (d,) where all are."""
        out = torch.empty(self.width, dtype=self.dtype, device=self.device)
        for block, values in self.sweep(lambda block: kernel(block.rows), in_loops(kernel, self.n)):
            out[block.start : block.stop] = values
        return out

    def placed(self, output: Tensor, first: int = 0) -> Tensor:
        """An aggregate, from column ``first`` on, as clients send it: the base plus it, where rows are differences."""
        return output

    # --- back to the clients, and to the stacks beneath -----------------------------------------------------

    def to_clients(self, weights: Tensor) -> Tensor:
        """Weights of this view's rows as weights of the clients beneath it."""
        return weights

    def owner(self) -> Tensor:
        """For each client beneath, the row of this view it contributes most to; -1 if to none."""
        return torch.arange(self.n)

    def parts(self, full: bool = False) -> Parts:
        """The stacks beneath views, and the weights that make this stack's rows of theirs.

        A row that a stack makes itself (a source's, a kernel's, the server's) is a row of that stack. With ``full`` as
        if every mix weighed every row, whatever its weights are.

        Raises:
            TypeError: this kind of stack does not say so.
        """
        raise TypeError(f"{type(self).__name__} has no parts(full); it is self.own_parts() where all rows are its own")

    def own_parts(self) -> Parts:
        """`parts` of a stack whose rows are all its own."""
        return {self: torch.eye(self.n, dtype=torch.float64)}


class View(Updates):
    """A stack made of another's rows: same columns, same device, same client identities beneath."""

    def __init__(self, base: Updates, n: int) -> None:
        super().__init__()
        self.base = base
        self.n = n
        self.d, self.share = base.d, base.share
        self.dtype, self.device = base.dtype, base.device
        self.layout = base.layout
        self.block_columns = base.block_columns
        self.ids = tuple(range(n))  # a mixed row is nobody's: its number is its name

    def check_unwritten(self) -> None:
        self.base.check_unwritten()

    @property
    def columns_read(self) -> float:
        return self.base.columns_read

    def placed(self, output: Tensor, first: int = 0) -> Tensor:
        return self.base.placed(output, first)


class Mixed(View):
    """M @ G. Gram(M G) = M Gram(G) M^T, and weights w of its rows are weights M^T w of the rows of G."""

    def __init__(self, base: Updates, M: Tensor) -> None:
        if M.ndim != 2 or M.shape[1] != base.n or len(M) == 0:
            raise ValueError(f"mixing {base.n} rows takes a matrix (m, {base.n}) with m >= 1, got {tuple(M.shape)}")
        super().__init__(base, len(M))
        self.M = M.detach().double().cpu()

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        block = self.base.read(start, stop)
        return (self.M if rows is None else self.M[rows]).to(block.device) @ block.double()

    def _derive(self, statistic: Statistic) -> Tensor | None:
        before = statistic.before(diagonal=False)
        return None if before is None else statistic.mixed(self.base.compute(before)[0], self.M)

    def combine(self, weights: Tensor) -> Tensor:
        return self.base.combine(weights @ self.M)

    def to_clients(self, weights: Tensor) -> Tensor:
        return self.base.to_clients(weights @ self.M)

    def owner(self) -> Tensor:
        return through(self.base.owner(), by_rows(self.M.T, heaviest))

    def parts(self, full: bool = False) -> Parts:
        M = torch.ones_like(self.M) if full else self.M
        return {root: M @ weights for root, weights in self.base.parts(full).items()}


class Scaled(View):
    """diag(factors) @ G with factors >= 0: clipping is a weight, never a scaled copy."""

    def __init__(self, base: Updates, factors: Tensor) -> None:
        if factors.shape != (base.n,) or not bool(((factors >= 0) & factors.isfinite()).all()):
            raise ValueError(f"scaling {base.n} rows takes {base.n} finite factors >= 0, got {factors}")
        super().__init__(base, base.n)
        self.ids = base.ids
        self.factors = factors.detach().double().cpu()

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        factors = self.factors if rows is None else self.factors[rows]
        block = self.base.read(start, stop, rows)
        return block.double() * factors.to(block.device)[:, None]

    def _derive(self, statistic: Statistic) -> Tensor | None:
        before = statistic.before(diagonal=True)
        return None if before is None else statistic.scaled(self.base.compute(before)[0], self.factors)

    def combine(self, weights: Tensor) -> Tensor:
        return self.base.combine(weights * self.factors)

    def to_clients(self, weights: Tensor) -> Tensor:
        return self.base.to_clients(weights * self.factors)

    def owner(self) -> Tensor:
        return self.base.owner()

    def parts(self, full: bool = False) -> Parts:
        M = torch.ones(self.n, self.n, dtype=torch.float64) if full else torch.diag(self.factors)
        return {root: M @ weights for root, weights in self.base.parts(full).items()}


class Taken(View):
    """Some rows of G. Every statistic is that of G, indexed: rows left out may be anything, NaN included."""

    def __init__(self, base: Updates, rows: Tensor) -> None:
        super().__init__(base, len(rows))
        self.rows = by_number(rows)
        self.ids = tuple(base.ids[i] for i in self.rows.tolist())

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        return self.base.read(start, stop, self.rows if rows is None else self.rows[rows])

    def _derive(self, statistic: Statistic) -> Tensor | None:
        value = self.base.compute(statistic)[0]
        return value[self.rows] if statistic.axes == 1 else submatrix(value, self.rows)

    def _spread(self, weights: Tensor) -> Tensor:
        return torch.zeros(self.base.n, dtype=weights.dtype).index_add_(0, self.rows, weights)

    def combine(self, weights: Tensor) -> Tensor:
        return self.base.combine(self._spread(weights))

    def to_clients(self, weights: Tensor) -> Tensor:
        return self.base.to_clients(self._spread(weights))

    def owner(self) -> Tensor:
        places = torch.full((self.base.n,), -1).index_copy_(0, self.rows, torch.arange(self.n))
        return through(self.base.owner(), places)

    def parts(self, full: bool = False) -> Parts:
        return {root: weights[self.rows] for root, weights in self.base.parts(full).items()}


class Longer(View):
    """A stack with rows of its own below it, which belong to no client."""

    def to_clients(self, weights: Tensor) -> Tensor:
        return self.base.to_clients(weights[: self.base.n])

    def owner(self) -> Tensor:
        return self.base.owner()

    def parts(self, full: bool = False) -> Parts:
        own = torch.eye(self.n, dtype=torch.float64)
        own[: self.base.n] = 0
        return {**lengthened(self.base.parts(full), 0, self.n), self: own}


class Anchored(Longer):
    """G with rows of the server's own below it; weights on those are weights on no client."""

    def __init__(self, base: Updates, anchors: Tensor) -> None:
        base.share.check(anchors, "anchor rows")
        rows = anchors.reshape(-1, base.width)
        super().__init__(base, base.n + len(rows))
        self.anchors = anchors  # as given: a statistic of this very tensor may be known already
        self.below = rows.to(base.device, torch.promote_types(rows.dtype, torch.float32))

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        below = self.below[:, start:stop]
        if rows is None:
            return stacked(self.base.read(start, stop), below)
        return of_both(rows, self.base.n, lambda some: self.base.read(start, stop, some), lambda some: below[some])

    def _derive(self, statistic: Statistic) -> Tensor | None:
        return statistic.anchored(self.base.compute, self.anchors, self.share)

    def combine(self, weights: Tensor) -> Tensor:
        own = weights[self.base.n :]
        rows = own.nonzero().flatten()
        if len(rows) and self.dtype.itemsize < 4:
            return super().combine(weights)  # the clients' part alone would be rounded to half precision
        output = self.base.combine(weights[: self.base.n])
        return output.add_(own[rows].to(self.below) @ self.below[rows]) if len(rows) else output
