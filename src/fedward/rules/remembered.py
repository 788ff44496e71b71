"""Rows that a rule remembers, one for each client, and the stack of this round's rows beside them."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core.state import key, most
from ..stack import Updates, row_copies

_LARGE = 2.0**400  # about 1e120


def remember_rows(name: str, updates: Updates) -> dict[str, Tensor]:
    """A copy of each client's row, at least in float32, as entries of a state; one pass over the data."""
    copies = row_copies(updates, most(torch.promote_types(updates.dtype, torch.float32)))
    return {key(name, client): row for client, row in zip(updates.ids, copies, strict=True)}


def unit(updates: Updates) -> float:
    """What to multiply rows by so that the squares of sums of two of them are finite: 1, but for rows beyond 1e120.

    A power of two, so that nothing is rounded.
    """
    return 1.0 if float(updates.norms().amax()) < _LARGE else 1 / _LARGE
