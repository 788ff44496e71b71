"""Whether rows are weights: two models that started from the same are nearly the same, whatever each of them did."""

from __future__ import annotations

import torch

from .files import Files
from .reference import LAYERS, STATE_DICT
from .sources import Dense, RowsLostError
from .stats import SqNorms
from .updates import Updates

ALIKE = 0.2
"""Rows that are nearer to most others than this share of their length are weights: updates that alike are not."""
_ROWS = 64
_COLUMNS = 1 << 16
_PIECES = 16
"""What `sampled_nearness` looks at: so many rows at most, and so many columns of each, in so many pieces."""


def nearness(stack: Updates) -> float | None:
    """How far rows are from most others in units of their length, where that is so little that they must be weights.

    Of each finite row the distance to the floor(n / 2)-th nearest other one over its norm; of these, where they are
    not 0, the median. Fewer than half of the clients can make it neither small nor large. None from `ALIKE` on, and of
    a single row.
    """
    finite = stack.compute(SqNorms())[0].isfinite().nonzero().flatten()
    if len(finite) < 2:
        return None
    rows = stack.take(finite)
    norms = rows.norms()
    dists = rows.sq_dists().sqrt()
    middle = dists.sort(1).values[:, len(finite) // 2]
    ratios = torch.where(norms > 0, middle / norms, torch.inf)
    # Rows that most others are copies of say nothing of what they are.
    told = ratios[ratios > 0]
    ratio = float(told.median()) if len(told) else torch.inf
    return ratio if ratio < ALIKE else None


def sampled_nearness(updates: Updates) -> float | None:
    """`nearness` of a few rows in a few pieces of them, evenly spread over the stack: the same ones every time."""
    rows = torch.linspace(0, updates.n - 1, min(updates.n, _ROWS), dtype=torch.float64).long()
    width = min(_COLUMNS, updates.d)
    pieces = _PIECES if width < updates.d else 1
    starts = torch.linspace(0, updates.d - width // pieces, pieces, dtype=torch.float64).long().tolist()
    while True:  # each time that a file has changed meanwhile there is one row fewer
        try:
            found = [updates.read(start, start + width // pieces, rows) for start in starts]
        except RowsLostError:
            continue
        return nearness(Dense(torch.cat(found, 1).cpu()))


def may_be_weights(given: object, updates: Updates) -> bool:
    """Whether clients sent what may be models: state dicts, lists of layers or files, and there is no base."""
    if isinstance(given, Updates):
        return isinstance(given, Files) and not given.has_base
    return updates.agreed is not None and updates.agreed.form in (STATE_DICT, LAYERS)
