"""Statistics: small sums over the columns of a stack, from which rules decide.

A statistic is a value (hashable, so it is computed once); a new one is a subclass of `Statistic`. It says what one
column block adds to it, and, where row operations commute with it, how to get it for a view without reading a column.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import floor
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from . import compiled, loops


class Block:
    """Columns ``start`` to ``stop`` of every row, and the same in float64 for statistics to share."""

    def __init__(self, start: int, rows: Tensor) -> None:
        self.start = start
        self.rows = rows

    @property
    def stop(self) -> int:
        """One past the last column."""
        return self.start + self.rows.shape[1]

    @cached_property
    def wide(self) -> Tensor:
        """The block in float64, converted once however many statistics read it."""
        return self.rows.double()


# Random numbers are drawn this many columns at a time, so that a billion columns need no billion-entry array.
_DRAW = 1 << 24


@dataclass(frozen=True)
class Sample:
    """A random set of columns, drawn without replacement: the same for every block size, layout and device.

    ``count`` columns, or max(1, floor(fraction * d)); all d if that is more than there are. With ``contiguous``,
    one run of neighbouring columns from a random start.
    """

    seed: int
    fraction: float | None = None
    count: int | None = None
    contiguous: bool = False

    def size(self, d: int) -> int:
        """How many of d columns are drawn."""
        wanted = self.count if self.count is not None else floor((self.fraction or 0.0) * d)
        return min(max(wanted, 1), d)

    def coordinates(self, d: int) -> Tensor:
        """The drawn columns in ascending order: (size,) int64."""
        k, rng = self.size(d), np.random.default_rng(self.seed)
        if k == d:
            return torch.arange(d)
        if self.contiguous:
            start = int(rng.integers(0, d - k + 1))
            return torch.arange(start, start + k)
        return torch.from_numpy(_without_replacement(d, k, rng))


def _without_replacement(d: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """A uniform k-subset of range(d): each column with probability k / d, then corrected to exactly k.

    Given its size, a Bernoulli draw is a uniform subset; adding or removing uniformly keeps it one. Unlike a
    permutation of d columns this takes one byte and one random number a column.
    """
    if k > d // 2:
        left_out = np.zeros(d, dtype=bool)
        left_out[_without_replacement(d, d - k, rng)] = True
        return np.flatnonzero(~left_out)
    if k * 50 < d:
        return np.sort(rng.choice(d, k, replace=False, shuffle=False))
    chosen = np.empty(d, dtype=bool)
    for start in range(0, d, _DRAW):
        part = chosen[start : start + _DRAW]
        np.less(rng.random(len(part), np.float32), k / d, out=part)
    surplus = int(np.count_nonzero(chosen)) - k
    if surplus > 0:
        chosen[rng.choice(np.flatnonzero(chosen), surplus, replace=False)] = False
    while surplus < 0:  # at least half of the columns are free, so this ends soon
        column = rng.integers(0, d, -surplus)
        fresh = np.unique(column[~chosen[column]])
        chosen[fresh] = True
        surplus += len(fresh)
    return np.flatnonzero(chosen)


# Rows up to which inner products are sums over columns; a product of matrices is made for more.
_MOST_FOR_GRAM = 256
_FEW = 8

Partial = Callable[[Block], Tensor]
Compute = Callable[..., tuple[Tensor, ...]]


class Statistic(ABC):
    """A sum over column blocks, by row (``axes`` = 1) or by pair of rows (``axes`` = 2)."""

    name: ClassVar[str]
    axes: ClassVar[int] = 1

    @abstractmethod
    def partials(self, d: int, device: torch.device) -> Partial:
        """A function that says what a block of this stack adds: a fresh float64 tensor, rows first."""

    def in_loops(self, n: int) -> bool:
        """Whether that function calls compiled loops for n rows, which are for several threads to run side by side."""
        return False

    def within(self, whole: Statistic) -> bool:
        """Whether this one is a part of another statistic of the same stack."""
        return False

    def part(self, whole: Statistic, value: Tensor) -> Tensor:
        """This statistic, from the value of one that it is `within`."""
        raise TypeError(f"{self.name} is no part of another statistic")

    def before(self, *, diagonal: bool) -> Statistic | None:
        """The statistic of the stack beneath from which this one follows after a row mix; None if none does."""
        return None

    def scaled(self, value: Tensor, factors: Tensor) -> Tensor:
        """This statistic of diag(factors) @ G, from `before` of G; factors are at least 0."""
        return self.mixed(value, torch.diag(factors))

    def mixed(self, value: Tensor, M: Tensor) -> Tensor:
        """This statistic of M @ G, from `before` of G."""
        raise TypeError(f"{self.name} does not follow from statistics of the stack beneath")

    def anchored(self, compute: Compute, anchors: Tensor) -> Tensor | None:
        """This statistic of G with the given (k, d) rows below, from statistics of G; None where it must be read."""
        return None


@dataclass(frozen=True)
class SqNorms(Statistic):
    """Squared norms of the rows: (n,). Finite exactly where the row is (and its norm below 1e154)."""

    name: ClassVar[str] = "norms"

    def partials(self, d: int, device: torch.device) -> Partial:
        def partial(block: Block) -> Tensor:
            if compiled.usable(block.rows):
                return _looped(loops.sq_norms, block, (len(block.rows),))
            return _sq_norms(block.rows)

        return partial

    def in_loops(self, n: int) -> bool:
        return True

    def within(self, whole: Statistic) -> bool:
        return whole == Gram() or isinstance(whole, SignCounts)

    def part(self, whole: Statistic, value: Tensor) -> Tensor:
        return (value.diagonal() if isinstance(whole, Gram) else value[:, 3]).clone()

    def before(self, *, diagonal: bool) -> Statistic:
        return self if diagonal else Gram()

    def scaled(self, value: Tensor, factors: Tensor) -> Tensor:
        return value * factors.square()

    def mixed(self, value: Tensor, M: Tensor) -> Tensor:
        return ((M @ value) * M).sum(1)

    def anchored(self, compute: Compute, anchors: Tensor) -> Tensor:
        return torch.cat([compute(self)[0], Gram.of(anchors).diagonal()])


@dataclass(frozen=True)
class Gram(Statistic):
    """Inner products of the rows on all columns or on a sample: (n, n)."""

    sample: Sample | None = None
    name: ClassVar[str] = "gram"
    axes: ClassVar[int] = 2

    def partials(self, d: int, device: torch.device) -> Partial:
        columns = _columns(self.sample, d)

        def partial(block: Block) -> Tensor:
            n = len(block.rows)
            if self.in_loops(n) and compiled.usable(block.rows):
                return _looped(loops.gram, block, (n, n))
            rows = block.wide if self.sample is None else block.rows[:, columns(block)].double()
            return rows @ rows.T

        return partial

    def in_loops(self, n: int) -> bool:
        return self.sample is None and n <= _MOST_FOR_GRAM

    def before(self, *, diagonal: bool) -> Statistic:
        return self

    def scaled(self, value: Tensor, factors: Tensor) -> Tensor:
        return factors[:, None] * factors * value

    def mixed(self, value: Tensor, M: Tensor) -> Tensor:
        mixed = M @ value @ M.T
        return mixed / 2 + mixed.T / 2

    def anchored(self, compute: Compute, anchors: Tensor) -> Tensor | None:
        if self.sample is not None:
            return None
        gram, cross = compute(self, Dots(anchors))
        return torch.cat([torch.cat([gram, cross], 1), torch.cat([cross.T, Gram.of(anchors)], 1)])

    @staticmethod
    def of(rows: Tensor) -> Tensor:
        """Inner products of rows that are in memory, (k, d) or (d,): (k, k) float64."""
        rows = rows.reshape(-1, rows.shape[-1]).double()
        return (rows @ rows.T).cpu()


@dataclass(frozen=True, eq=False)
class Dots(Statistic):
    """Inner products of the rows with k given (d,) rows: (n, k). Equal only for the very same tensor."""

    rows: Tensor
    name: ClassVar[str] = "dots"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dots) and other.rows is self.rows

    def __hash__(self) -> int:
        return hash((Dots, id(self.rows)))

    def partials(self, d: int, device: torch.device) -> Partial:
        rows = self.rows.reshape(-1, d).to(device)

        def partial(block: Block) -> Tensor:
            others = rows[:, block.start : block.stop].double()
            if self.in_loops(len(block.rows)) and compiled.usable(block.rows):
                flat = compiled.Rows(others)
                return _looped(loops.dots, block, (len(block.rows), len(rows)), flat.flat, flat.stride)
            return block.wide @ others.T

        return partial

    def in_loops(self, n: int) -> bool:
        return self.rows.ndim == 1 or len(self.rows) <= _FEW

    def before(self, *, diagonal: bool) -> Statistic:
        return self

    def mixed(self, value: Tensor, M: Tensor) -> Tensor:
        return M @ value

    def scaled(self, value: Tensor, factors: Tensor) -> Tensor:
        return factors[:, None] * value


@dataclass(frozen=True)
class SignCounts(Statistic):
    """Positive, zero and negative entries of each row, on all columns or on a sample, and its squared norm: (n, 4).

    The norm, which is of all columns, comes along while a row is at hand.
    """

    sample: Sample | None = None
    name: ClassVar[str] = "signs"

    def partials(self, d: int, device: torch.device) -> Partial:
        columns = _columns(self.sample, d)

        def partial(block: Block) -> Tensor:
            if compiled.usable(block.rows):
                chosen = block.rows.new_zeros(block.rows.shape[1]).index_fill_(0, columns(block), 1)
                return _looped(loops.sign_counts, block, (len(block.rows), 4), chosen.numpy())
            # Sums of -1, 0 and 1 are exact, and many times faster than sums of comparisons.
            signs = (block.rows if self.sample is None else block.rows[:, columns(block)]).sign()
            balance = signs.sum(1).double()
            nonzero = signs.square_().sum(1).double()
            counts = [(nonzero + balance) / 2, signs.shape[1] - nonzero, (nonzero - balance) / 2]
            return torch.stack([*counts, _sq_norms(block.rows)], 1)

        return partial

    def in_loops(self, n: int) -> bool:
        return True

    def before(self, *, diagonal: bool) -> Statistic | None:
        return self if diagonal else None

    def scaled(self, value: Tensor, factors: Tensor) -> Tensor:
        zero = torch.zeros_like(value)
        zero[:, 1] = value[:, :3].sum(1)
        counts = torch.where(factors[:, None] > 0, value, zero)
        counts[:, 3] = value[:, 3] * factors.square()
        return counts


@dataclass(frozen=True)
class SignConcordance(Statistic):
    """sum_j sgn(a_j) sgn(b_j) for each pair of rows: (n, n), whole numbers."""

    name: ClassVar[str] = "concordance"
    axes: ClassVar[int] = 2

    def partials(self, d: int, device: torch.device) -> Partial:
        # A block has far fewer than 2^24 columns, so float32 counts it exactly; the sum over blocks is float64.
        def partial(block: Block) -> Tensor:
            n = len(block.rows)
            if compiled.usable(block.rows):
                return _looped(loops.concordance, block, (n, n), bits=True)
            signs = block.rows.sign().float()
            return (signs @ signs.T).double()

        return partial

    def in_loops(self, n: int) -> bool:
        return True

    def before(self, *, diagonal: bool) -> Statistic | None:
        return self if diagonal else None

    def scaled(self, value: Tensor, factors: Tensor) -> Tensor:
        live = (factors > 0).double()
        return live[:, None] * value * live


def _sq_norms(rows: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)
    return norms.square()


def _columns(sample: Sample | None, d: int) -> Callable[[Block], Tensor]:
    """A function that says which columns of a block are in the sample; all of them without one."""
    if sample is None:
        return lambda block: torch.arange(block.rows.shape[1])
    chosen = sample.coordinates(d)

    def inside(block: Block) -> Tensor:
        lo, hi = torch.searchsorted(chosen, torch.tensor([block.start, block.stop])).tolist()
        return (chosen[lo:hi] - block.start).to(block.rows.device)

    return inside


def _looped(loop: compiled.Loop, block: Block, shape: tuple[int, ...], *arguments: Any, bits: bool = False) -> Tensor:
    """What a compiled loop over the rows, or over their bits, says."""
    rows, out = compiled.Rows(block.rows), torch.empty(shape, dtype=torch.float64)
    if bits:
        arguments = (rows.unsigned(rows.largest), *arguments)
    compiled.run(loop, rows.flat.view(rows.unsigned) if bits else rows.flat, *rows.shape, *arguments, out.numpy())
    return out
