"""Maps between the rows of a view and the rows beneath it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from hashlib import blake2b
from typing import TypeVar

import torch
from torch import Tensor

Root = TypeVar("Root", bound=Hashable)


def by_number(rows: Tensor) -> Tensor:
    """Numbers of rows, on the CPU.

    Raises:
        TypeError: a mask, whose length says nothing of how many rows it has.
    """
    if rows.dtype == torch.bool:
        raise TypeError("rows are chosen by their numbers, got a mask: mask.nonzero().flatten() has them")
    return rows.cpu()


def through(below: Tensor, above: Tensor) -> Tensor:
    """Compose two owner maps: client -> row of the base -> row of the view."""
    return torch.where(below >= 0, above[below.clamp_min(0)], -1)


def lengthened(found: Mapping[Root, Tensor], start: int, n: int) -> dict[Root, Tensor]:
    """`Updates.parts` of a view, as parts of one of n rows, among which the view's are those from ``start`` on."""
    longer = {}
    for root, weights in found.items():
        longer[root] = torch.zeros(n, weights.shape[1], dtype=torch.float64)
        longer[root][start : start + len(weights)] = weights
    return longer


def distinct(M: Tensor) -> tuple[Tensor, Tensor]:
    """The places of the rows of a matrix that differ, each the first of its kind, and which of them each row is."""
    kinds: dict[bytes, int] = {}
    first: list[int] = []
    which: list[int] = []
    for place, row in enumerate(M.contiguous().numpy()):
        told = blake2b(row, digest_size=16).digest()  # the rows themselves would be as large as the matrix
        which.append(kinds.setdefault(told, len(kinds)))
        if len(kinds) > len(first):
            first.append(place)
    return torch.tensor(first), torch.tensor(which)


def heaviest(weights: Tensor) -> Tensor:
    """The place of the weight of largest magnitude in each row, the first of several; -1 where all are 0: (n,)."""
    share, place = weights.abs().max(dim=1)
    return torch.where(share > 0, place, -1)
