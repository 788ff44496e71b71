"""Whether rows are weights: two models that started from the same are nearly the same, whatever each of them did."""

from __future__ import annotations

import torch

from .based import FromBase
from .files import Files
from .reference import LAYERS, STATE_DICT
from .sources import Dense, RowsLostError, RowSource
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


def sampled_nearness(updates: RowSource) -> float | None:
    """`nearness` of a few rows in a few pieces of them, evenly spread over the stack: the same ones every time."""
    rows = torch.linspace(0, updates.n - 1, min(updates.n, _ROWS), dtype=torch.float64).long()
    pieces = 1 if updates.d <= _COLUMNS else _PIECES
    width = min(_COLUMNS, updates.d) // pieces
    # In the middle of as many equal strips: no reading ahead begins where a pass would.
    strip = updates.d / pieces
    starts = [int((k + 0.5) * strip - width / 2) for k in range(pieces)]
    while True:  # each time that a file has changed meanwhile there is one row fewer
        try:
            return nearness(Dense(torch.cat([updates.glance(start, start + width, rows) for start in starts], 1).cpu()))
        except RowsLostError:
            continue


def raw_models(given: object, updates: Updates) -> RowSource | None:
    """The stack, if clients sent what may be models, state dicts, lists of layers or files, and there is no base."""
    if isinstance(given, Updates):
        return given if isinstance(given, Files) and not given.has_base else None
    named = updates.agreed is not None and updates.agreed.form in (STATE_DICT, LAYERS)
    return updates if named and isinstance(updates, RowSource) and not isinstance(updates, FromBase) else None
