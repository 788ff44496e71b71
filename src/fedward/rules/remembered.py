"""Rows that a rule remembers, and what stands in their place before there are any."""

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


def safe_unit(updates: Updates) -> float:
    """What to multiply rows by so that the squares of sums of two of them are finite: 1, but for rows beyond 1e120.

    A power of two, so that nothing is rounded.
    """
    return 1.0 if float(updates.norms().amax()) < _LARGE else 1 / _LARGE


def zero_row(updates: Updates) -> Tensor:
    """What stands below the rows where nothing is remembered yet: (width,); float32, so that it widens none of them."""
    return torch.zeros(updates.width, dtype=torch.float32, device=updates.device)
