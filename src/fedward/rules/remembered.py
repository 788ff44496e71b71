"""Rows that a rule remembers, and what stands in their place before there are any."""

from __future__ import annotations

import torch
from torch import Tensor

from ..core import Plan
from ..core.state import key, most
from ..stack import Updates, Widened, row_copies

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


def unrounded(plan: Plan, output: Tensor | None = None) -> Tensor:
    """The output of a plan at least in float32, for a memory that outputs add up in: (d,).

    Of rows in half precision it is worked out once more, in one more pass: a memory that is rounded to that in every
    round stops moving where a round changes it by less than half of what the precision tells apart.

    Args:
        plan: what was decided.
        output: what came of it, if that is known.
    """
    if plan.updates.dtype.itemsize >= 4:
        return plan.execute() if output is None else output
    wide = Widened(plan.updates)
    if plan.weights is not None:
        return wide.combine(plan.weights)
    assert plan.kernel is not None
    return wide.columns(plan.kernel)


def zero_row(updates: Updates) -> Tensor:
    """What stands below the rows where nothing is remembered yet: (width,); float32, so that it widens none of them."""
    return torch.zeros(updates.width, dtype=torch.float32, device=updates.device)
