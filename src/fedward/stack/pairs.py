"""Matrices over pairs of rows, (n, n): worked on some rows at a time, so that no second one is made on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

_ROOM = 1 << 18
"""Numbers in a piece. Up to 512 rows the whole matrix is one; of many rows a piece is small beside the matrix."""


def row_slices(n: int, width: int | None = None) -> Iterator[slice]:
    """The rows of an (n, width) matrix in order, some at a time; n columns if not given."""
    step = max(_ROOM // max(n if width is None else width, 1), 1)
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def row_blocks(matrix: Tensor) -> Iterator[Tensor]:
    """The rows of a matrix in order, some at a time: views of it."""
    return (matrix[rows] for rows in row_slices(*matrix.shape))


def collected(n: int, parts: Iterable[Tensor]) -> Tensor:
    """What is said of n rows, some at a time in order, as one: (k, ...) each to (n, ...).

    Each part is copied into its place at once. Kept until the last is there, they would lie between the freed pieces
    that they were made of, and keep that memory from being used again.
    """
    rest = iter(parts)
    part = next(rest)
    whole = part.new_empty(n, *part.shape[1:])
    end = len(part)
    whole[:end] = part
    for part in rest:
        start, end = end, end + len(part)
        whole[start:end] = part
    return whole


def by_rows(matrix: Tensor, reduce: Callable[[Tensor], Tensor]) -> Tensor:
    """A function of each row on its own, (k, m) to (k,), of all rows: (n, m) to (n,)."""
    return collected(len(matrix), map(reduce, row_blocks(matrix)))


def average_sides(matrix: Tensor) -> Tensor:
    """The matrix, in which the two numbers of each pair have become their mean.

    Halves, because the sum of two may be infinite.
    """
    n = len(matrix)
    for rows in row_slices(n):
        right = slice(rows.start, n)
        both = matrix[rows, right] / 2 + matrix[right, rows].T / 2
        matrix[rows, right] = both
        matrix[right, rows] = both.T
    return matrix


def mirror(matrix: Tensor) -> Tensor:
    """The matrix, with what stands right of the diagonal on its left as well.

    Where both numbers of a pair are in one of the `row_slices`, both count, and become their mean.
    """
    for rows in row_slices(len(matrix)):
        own = matrix[rows, rows]
        matrix[rows, rows] = own / 2 + own.T / 2
        matrix[rows.stop :, rows] = matrix[rows, rows.stop :].T
    return matrix


def submatrix(matrix: Tensor, chosen: Tensor) -> Tensor:
    """The pairs of some rows, in the order given: (n, n) and (k,) to (k, k)."""
    out = matrix.new_empty(len(chosen), len(chosen))
    for rows in row_slices(len(chosen), len(matrix)):
        out[rows] = matrix[chosen[rows]][:, chosen]
    return out


class Products:
    """Inner products of all pairs of rows of a block, not calculated yet; a statistic's total of them is mirrored.

    Of many rows they are added to the total some rows at a time, and only those that `mirror` puts on both sides. Rows
    in float32 are for whole numbers, whose sums it holds exactly.
    """

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    def added_to(self, so_far: Tensor | None) -> Tensor:
        """The total so far with these added, in the same memory; a new one if there is none yet."""
        n = len(self.rows)
        total = self.rows.new_zeros(n, n, dtype=torch.float64) if so_far is None else so_far
        for rows in row_slices(n):
            total[rows, rows.start :] += self.rows[rows] @ self.rows[rows.start :].T
        return total


def products(rows: Tensor) -> Tensor | Products:
    """Inner products of all pairs of rows, to be added to a total and mirrored."""
    return (rows @ rows.T).double() if len(rows) ** 2 <= _ROOM else Products(rows)


def added(so_far: Tensor | None, term: Tensor | Products) -> Tensor:
    """A total and one term more, in the memory of the total."""
    if isinstance(term, Products):
        return term.added_to(so_far)
    return term if so_far is None else so_far.add_(term)
