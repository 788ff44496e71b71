"""Statistics: small sums over the columns of a stack, from which rules decide.

A statistic is a value (hashable, so it is computed once); a new one is a subclass of `Statistic`. It says what one
column block adds to it, and, where row operations commute with it, how to get it for a view without reading a column.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from .blocks import Block
from .loops import FlatRows, LoopCode, Pair, run
from .loops import rows as over_rows
from .pairs import Products, average_sides, by_rows, mirror, products, row_slices
from .sample import Sample
from .shares import ColumnShare

# Rows up to which inner products are sums over columns; a product of matrices is made for more.
_MOST_FOR_GRAM = 256
# The same for the other side of inner products with given rows.
_FEW = 8

Partial = Callable[[Block], Tensor | Products]
Reader = Callable[[Tensor], Tensor]
Compute = Callable[..., tuple[Tensor, ...]]


class Statistic(ABC):
    """A sum over column blocks, by row (``axes`` = 1) or by pair of rows (``axes`` = 2)."""

    name: ClassVar[str]
    axes: ClassVar[int] = 1

    @abstractmethod
    def partials(self, d: int, device: torch.device) -> Partial:
        """A function that says what a block of a stack of d columns adds: a fresh float64 tensor, rows first.

        Or `Products`, where `evened` mirrors what they add up to.
        """

    def check(self, share: ColumnShare) -> None:
        """Raise ValueError if there is none of rows with these columns."""
        return

    def in_loops(self, n: int) -> bool:
        """Whether that function calls compiled loops for n rows, which are for several threads to run side by side."""
        return False

    def evened(self, total: Tensor) -> Tensor:
        """The sum of what all blocks add, in its own memory; of pairs of rows, the same from either side.

        Rounding must not break ties between a row's view of another and the other's of it.
        """
        return average_sides(total) if self.axes == 2 else total

    def value(self, total: Tensor) -> Tensor:
        """This statistic, from the sum of what all blocks add."""
        return total

    def contains(self) -> Mapping[Statistic, Reader]:
        """Other statistics that the sum holds as well, each with how to read it there.

        They are not computed where this one is, and are known from then on.
        """
        return {}

    def before(self, *, diagonal: bool) -> Statistic | None:
        """The statistic of the stack beneath from which this one follows after a row mix; None if none does."""
        return None

    def scaled(self, value: Tensor, factors: Tensor) -> Tensor:
        """This statistic of diag(factors) @ G, from `before` of G; factors are at least 0."""
        return self.mixed(value, torch.diag(factors))

    def mixed(self, value: Tensor, M: Tensor) -> Tensor:
        """This statistic of M @ G, from `before` of G."""
        raise TypeError(f"{self.name} does not follow from statistics of the stack beneath")

    def anchored(self, compute: Compute, anchors: Tensor, share: ColumnShare) -> Tensor | None:
        """This statistic of G with the given (k, d) rows below, from statistics of G; None where it must be read.

        Of the rows, as of G, the columns of the share are here.
        """
        return None


@dataclass(frozen=True, kw_only=True)
class SqNorms(Statistic):
    """Squared norms of the rows: (n,). Finite exactly where the row is (and its norm below 1e154)."""

    name: ClassVar[str] = "norms"

    def partials(self, d: int, device: torch.device) -> Partial:
        return _sq_norms

    def in_loops(self, n: int) -> bool:
        return _sq_norms.in_loops(n)

    def before(self, *, diagonal: bool) -> Statistic:
        return self if diagonal else Gram()

    def scaled(self, value: Tensor, factors: Tensor) -> Tensor:
        return value * factors.square()

    def mixed(self, value: Tensor, M: Tensor) -> Tensor:
        return by_rows(M, lambda rows: ((rows @ value) * rows).sum(1))

    def anchored(self, compute: Compute, anchors: Tensor, share: ColumnShare) -> Tensor:
        return torch.cat([compute(self)[0], Gram.of(anchors, share).diagonal()])


@dataclass(frozen=True, kw_only=True)
class Gram(Statistic):
    """Inner products of the rows on all columns or on a sample: (n, n)."""

    sample: Sample | None = None
    name: ClassVar[str] = "gram"
    axes: ClassVar[int] = 2

    def partials(self, d: int, device: torch.device) -> Partial:
        if self.sample is None:
            return _gram
        columns = _columns(self.sample, d)

        def partial(block: Block) -> Tensor | Products:
            return products(block.rows[:, columns(block)].double())

        return partial

    def in_loops(self, n: int) -> bool:
        return self.sample is None and _gram.in_loops(n)

    def evened(self, total: Tensor) -> Tensor:
        return mirror(total)

    def contains(self) -> Mapping[Statistic, Reader]:
        return _IN_GRAM if self.sample is None else {}

    def before(self, *, diagonal: bool) -> Statistic:
        return self

    def scaled(self, value: Tensor, factors: Tensor) -> Tensor:
        return (factors[:, None] * factors).mul_(value)

    def mixed(self, value: Tensor, M: Tensor) -> Tensor:
        mixed = value.new_empty(len(M), len(M))
        for rows in row_slices(len(M)):
            mixed[rows, rows.start :] = M[rows] @ value @ M[rows.start :].T
        return mirror(mixed)

    def anchored(self, compute: Compute, anchors: Tensor, share: ColumnShare) -> Tensor | None:
        if self.sample is not None:
            return None
        gram, cross = compute(self, Dots(rows=anchors))
        n = len(gram)
        whole = gram.new_empty(n + cross.shape[1], n + cross.shape[1])
        whole[:n, :n], whole[:n, n:] = gram, cross
        whole[n:, :n], whole[n:, n:] = cross.T, Gram.of(anchors, share)
        return whole

    @staticmethod
    def of(rows: Tensor, share: ColumnShare) -> Tensor:
        """Inner products of rows that are in memory, (k, d) or (d,), or of which a share is: (k, k) float64."""
        rows = rows.reshape(-1, rows.shape[-1]).double()
        return share.total((rows @ rows.T).cpu())[0]


@dataclass(frozen=True, kw_only=True, eq=False)
class Dots(Statistic):
    """Inner products of the rows with k given (d,) rows: (n, k). Equal only for the very same tensor."""

    rows: Tensor
    name: ClassVar[str] = "dots"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dots) and other.rows is self.rows

    def __hash__(self) -> int:
        return hash((Dots, id(self.rows)))

    def check(self, share: ColumnShare) -> None:
        share.check(self.rows, "rows for inner products")

    def partials(self, d: int, device: torch.device) -> Partial:
        rows = self.rows.reshape(-1, self.rows.shape[-1]).to(device)
        few = len(rows) <= _FEW

        def partial(block: Block) -> Tensor:
            others = rows[:, block.start : block.stop].double()
            return _dots(block, others) if few else _dots.torch(block, others)

        return partial

    def in_loops(self, n: int) -> bool:
        return self.rows.ndim == 1 or len(self.rows) <= _FEW

    def before(self, *, diagonal: bool) -> Statistic:
        return self

    def mixed(self, value: Tensor, M: Tensor) -> Tensor:
        return M @ value

    def scaled(self, value: Tensor, factors: Tensor) -> Tensor:
        return factors[:, None] * value


@dataclass(frozen=True, kw_only=True)
class SignCounts(Statistic):
    """Positive, zero and negative entries of each row, on all columns or on a sample: (n, 3).

    The rows' squared norms, which are of all columns, come along: they are summed while a row is at hand.
    """

    sample: Sample | None = None
    name: ClassVar[str] = "signs"

    def partials(self, d: int, device: torch.device) -> Partial:
        if self.sample is None:
            return lambda block: _signs_and_squares(block, None)
        columns = _columns(self.sample, d)
        return lambda block: _signs_and_squares(block, columns(block))

    def in_loops(self, n: int) -> bool:
        return _signs_and_squares.in_loops(n)

    def value(self, total: Tensor) -> Tensor:
        return total[:, :3]

    def contains(self) -> Mapping[Statistic, Reader]:
        return _IN_SIGN_COUNTS

    def before(self, *, diagonal: bool) -> Statistic | None:
        return self if diagonal else None

    def scaled(self, value: Tensor, factors: Tensor) -> Tensor:
        all_zero = torch.zeros_like(value)
        all_zero[:, 1] = value.sum(1)
        return torch.where(factors[:, None] > 0, value, all_zero)


@dataclass(frozen=True, kw_only=True)
class SignConcordance(Statistic):
    """sum_j sgn(a_j) sgn(b_j) for each pair of rows: (n, n), whole numbers."""

    name: ClassVar[str] = "concordance"
    axes: ClassVar[int] = 2

    def partials(self, d: int, device: torch.device) -> Partial:
        return _concordance

    def in_loops(self, n: int) -> bool:
        return _concordance.in_loops(n)

    def evened(self, total: Tensor) -> Tensor:
        return mirror(total)

    def before(self, *, diagonal: bool) -> Statistic | None:
        return self if diagonal else None

    def scaled(self, value: Tensor, factors: Tensor) -> Tensor:
        live = (factors > 0).double()
        return (live[:, None] * live).mul_(value)


_IN_GRAM: Mapping[Statistic, Reader] = {SqNorms(): lambda gram: gram.diagonal().clone()}
_IN_SIGN_COUNTS: Mapping[Statistic, Reader] = {SqNorms(): lambda total: total[:, 3].clone()}


# --- what a block adds: pairs of a loop and the same in torch -----------------------------------------------


def _sq_norms_in_a_loop(block: Block) -> Tensor:
    return _looped(over_rows.sq_norms, block, (len(block.rows),))


def _sq_norms_in_torch(block: Block) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(block.rows, dim=1, dtype=torch.float64)
    return norms.square()


def _gram_in_a_loop(block: Block) -> Tensor | Products:
    n = len(block.rows)
    return _looped(over_rows.gram, block, (n, n))


def _gram_in_torch(block: Block) -> Tensor | Products:
    return products(block.wide)


def _dots_in_a_loop(block: Block, others: Tensor) -> Tensor:
    flat = FlatRows(others)
    return _looped(over_rows.dots, block, (len(block.rows), flat.n), flat.flat, flat.stride)


def _dots_in_torch(block: Block, others: Tensor) -> Tensor:
    return block.wide @ others.T


def _signs_and_squares_in_a_loop(block: Block, columns: Tensor | None) -> Tensor:
    width = block.rows.shape[1]
    mask = block.rows.new_ones(width)
    if columns is not None:  # going over all columns takes less time than picking a tenth of them
        mask = torch.zeros_like(mask).index_fill_(0, columns, 1)
    return _looped(over_rows.sign_counts, block, (len(block.rows), 4), mask.numpy())


def _signs_and_squares_in_torch(block: Block, columns: Tensor | None) -> Tensor:
    # Sums of -1, 0 and 1 are exact, and many times faster than sums of comparisons.
    signs = (block.rows if columns is None else block.rows[:, columns]).sign()
    balance = signs.sum(1).double()
    nonzero = signs.square_().sum(1).double()
    positive = (nonzero + balance) / 2
    negative = (nonzero - balance) / 2
    zero = signs.shape[1] - nonzero
    return torch.stack([positive, zero, negative, _sq_norms_in_torch(block)], 1)


def _concordance_in_a_loop(block: Block) -> Tensor | Products:
    n = len(block.rows)
    return _looped(over_rows.concordance, block, (n, n), bits=True)


def _concordance_in_torch(block: Block) -> Tensor | Products:
    # A block has far fewer than 2^24 columns, so float32 counts it exactly; the sum over blocks is float64.
    return products(block.rows.sign().float())


_sq_norms = Pair(loop=_sq_norms_in_a_loop, torch=_sq_norms_in_torch)
_gram = Pair(loop=_gram_in_a_loop, torch=_gram_in_torch, most_rows=_MOST_FOR_GRAM)
_dots = Pair(loop=_dots_in_a_loop, torch=_dots_in_torch)
_signs_and_squares = Pair(loop=_signs_and_squares_in_a_loop, torch=_signs_and_squares_in_torch)
_concordance = Pair(loop=_concordance_in_a_loop, torch=_concordance_in_torch)


def _columns(sample: Sample, d: int) -> Callable[[Block], Tensor]:
    """A function that says which columns of a block are in the sample."""
    chosen = sample.coordinates(d)

    def inside(block: Block) -> Tensor:
        edges = torch.tensor([block.place, block.place + block.rows.shape[1]])
        lo, hi = torch.searchsorted(chosen, edges).tolist()
        return (chosen[lo:hi] - block.place).to(block.rows.device)

    return inside


def _looped(loop: LoopCode, block: Block, shape: tuple[int, ...], *arguments: Any, bits: bool = False) -> Tensor:
    """What a compiled loop over the rows, or over their bits, says."""
    rows = FlatRows(block.rows)
    out = torch.empty(shape, dtype=torch.float64)
    if not bits:
        run(loop, rows.flat, *rows.shape, *arguments, out.numpy())
        return out
    largest = rows.unsigned(rows.largest)
    run(loop, rows.flat.view(rows.unsigned), *rows.shape, largest, *arguments, out.numpy())
    return out
