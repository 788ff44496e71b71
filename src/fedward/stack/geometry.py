"""What follows from a Gram matrix: distances and angles between rows.

Rows that float64 cannot tell apart are one row here: colluders who send the same thing tie exactly, however the sums
behind their inner products were rounded.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from .pairs import collected, row_slices

SAME_ROW = 1e-13
"""Rows whose squared distance is a smaller share of their squared norms are one row."""


class Distances:
    """Squared distances between rows, as `Updates.sq_dists` says, of some rows at a time.

    For whoever wants something of each row: of n rows, n x n numbers are the Gram matrix's alone.
    """

    def __init__(self, gram: Tensor) -> None:
        self.gram = gram
        self._half = gram.diagonal() / 2  # halves, so that squared norms up to the largest float64 can be added
        n = len(gram)
        self.first = collected(n, (_first_same(self._apart(rows)) for rows in row_slices(n)))
        """For each row the first one that is the same: (n,)."""
        self.repeated = not torch.equal(self.first, torch.arange(n))

    def of(self, rows: Tensor) -> Tensor:
        """From the rows at the given indices, (k,), to all: (k, n)."""
        return self._apart(self.first[rows])[:, self.first] if self.repeated else self._apart(rows)

    def blocks(self) -> Iterator[Tensor]:
        """From all rows in order, some at a time, to all: (k, n) each."""
        places = torch.arange(len(self.gram))
        return (self.of(places[rows]) for rows in row_slices(len(places)))

    def _apart(self, rows: slice | Tensor) -> Tensor:
        """From these rows, with those that are the same measured each on its own: (k, n)."""
        scale = self._half[rows, None] + self._half
        dists = scale - self.gram[rows]
        # A NaN or Inf stays one: the row it comes from is not the same as any other.
        same = (dists <= SAME_ROW * scale) & scale.isfinite()
        dists.mul_(2).masked_fill_(same, 0)
        own = torch.arange(len(self.gram))[rows]
        dists[torch.arange(len(own)), own] = 0
        return dists


def squared_distances(gram: Tensor) -> Tensor:
    """Squared distances between rows, as `Updates.sq_dists` says: (n, n)."""
    return collected(len(gram), Distances(gram).blocks())


def evened(gram: Tensor) -> tuple[Tensor, Tensor]:
    """The Gram matrix of the rows shortened by a power of 2 so that none is longer than 2, and their unit squared.

    For (m, n, n) each of m matrices on its own. Whatever is to take powers of inner products, which are squares
    already, takes them of these: exact, and out of the reach of rows of 1e78, whose fourth powers overflow.
    """
    exponent = torch.frexp(gram.diagonal(dim1=-2, dim2=-1).amax(-1)).exponent
    half = torch.div(exponent - 1, 2, rounding_mode="floor").to(gram.dtype)
    unit = torch.exp2(2 * half)
    # In two steps: the inverse of the largest unit is no normal number.
    shrink = torch.exp2(-half)[..., None, None]
    return (gram * shrink).mul_(shrink), unit


def cosines(gram: Tensor) -> Tensor:
    """Cosines of the angles between rows: (n, n), in [-1, 1], 1 on the diagonal; 0 with a zero row, itself included."""
    return collected(len(gram), cosine_blocks(gram))


def cosine_blocks(gram: Tensor) -> Iterator[Tensor]:
    """`cosines` of all rows in order, some at a time, with all: (k, n) each."""
    norms = gram.diagonal().clamp_min(0).sqrt()
    itself = (norms > 0).double()
    alike = Distances(gram)
    for rows in row_slices(len(gram)):
        chosen = alike.first[rows]
        cos = cosines_to(gram[chosen], norms[chosen, None], norms).clamp_(-1, 1)
        cos[torch.arange(len(chosen)), chosen] = itself[chosen]
        yield cos[:, alike.first] if alike.repeated else cos


def cosines_to(dots: Tensor, lengths: Tensor, others: Tensor | float) -> Tensor:
    """Cosines from inner products and lengths of the one and the other, of shapes that go together; 0 with length 0."""
    products = lengths * others
    return torch.where(products > 0, dots / products, 0.0)


def power_above(magnitudes: Tensor) -> Tensor:
    """The power of two next above each magnitude, float64, to divide by: that rounds nothing, and leaves at most 1."""
    return torch.frexp(magnitudes).exponent.double().exp2()


def _first_same(sq_dists: Tensor) -> Tensor:
    """The first row from which each of some rows is not apart: (k,)."""
    return (sq_dists == 0).int().argmax(dim=1)
