"""What follows from a Gram matrix: distances and angles between rows.

Rows that float64 cannot tell apart are one row here: colluders who send the same thing tie exactly, however the sums
behind their inner products were rounded.
"""

from __future__ import annotations

import torch
from torch import Tensor

SAME_ROW = 1e-13
"""Rows whose squared distance is a smaller share of their squared norms are one row."""


def squared_distances(gram: Tensor) -> Tensor:
    """Squared distances between rows, as `Updates.sq_dists` says: (n, n)."""
    half = gram.diagonal() / 2  # halves, so that squared norms up to the largest float64 can be added
    scale = half[:, None] + half[None, :]
    dists = scale - gram
    # A NaN or Inf stays one: the row it comes from is not the same as any other.
    same = (dists <= SAME_ROW * scale) & scale.isfinite()
    dists = torch.where(same, torch.zeros_like(dists), 2 * dists).fill_diagonal_(0)
    return _merged(dists, dists)


def evened(gram: Tensor) -> tuple[Tensor, Tensor]:
    """The Gram matrix of the rows shortened by a power of 2 so that none is longer than 2, and their unit squared.

    For (m, n, n) each of m matrices on its own. Whatever is to take powers of inner products, which are squares
    already, takes them of these: exact, and out of the reach of rows of 1e78, whose fourth powers overflow.
    """
    exponent = torch.frexp(gram.diagonal(dim1=-2, dim2=-1).amax(-1)).exponent
    half = torch.div(exponent - 1, 2, rounding_mode="floor").to(gram.dtype)
    unit = torch.exp2(2 * half)
    # In two steps: the inverse of the largest unit is no normal number.
    return gram * torch.exp2(-half)[..., None, None] * torch.exp2(-half)[..., None, None], unit


def cosines(gram: Tensor) -> Tensor:
    """Cosines of the angles between rows: (n, n), in [-1, 1], 1 on the diagonal; 0 with a zero row, itself included."""
    norms = gram.diagonal().clamp_min(0).sqrt()
    products = norms[:, None] * norms[None, :]
    cos = torch.where(products > 0, gram / products, torch.zeros_like(gram)).clamp(-1, 1)
    cos.diagonal().copy_((norms > 0).double())
    return _merged(cos, squared_distances(gram))


def cosines_to(dots: Tensor, lengths: Tensor, others: Tensor | float) -> Tensor:
    """Cosines from inner products and lengths of the one and the other, of shapes that go together; 0 with length 0."""
    products = lengths * others
    return torch.where(products > 0, dots / products, 0.0)


def power_above(magnitudes: Tensor) -> Tensor:
    """The power of two next above each magnitude, float64, to divide by: that rounds nothing, and leaves at most 1."""
    return torch.frexp(magnitudes).exponent.double().exp2()


def _merged(values: Tensor, sq_dists: Tensor) -> Tensor:
    """The values with every row that is the same as an earlier one given the earlier one's."""
    first = (sq_dists == 0).int().argmax(dim=1)
    if torch.equal(first, torch.arange(len(first))):
        return values
    return values[first][:, first]
