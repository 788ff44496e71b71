"""Views upon views, taken apart: which rows of which stacks they are mixes of."""

from __future__ import annotations

from collections.abc import Hashable, MutableMapping

import torch
from torch import Tensor

from .updates import Anchored, Extended, Joined, Mixed, Scaled, Taken, Updates

Parts = dict[Updates, Tensor]
"""Stacks with rows of their own, each with the weights of its rows in the rows of a view: stack -> (n, its n)."""


def parts(stack: Updates, full: bool = False) -> Parts:
    """The stacks beneath views, and the weights that make the view's rows of theirs.

    A row that a view makes itself (a kernel's, the server's) stays a row of that view. With ``full`` as if every mix
    weighed every row, whatever its weights are.
    """
    if isinstance(stack, Mixed | Scaled):
        M = stack.M if isinstance(stack, Mixed) else stack.factors.diag()
        M = torch.ones_like(M) if full else M
        return {root: M @ weights for root, weights in parts(stack.base, full).items()}
    if isinstance(stack, Taken):
        return {root: weights[stack.rows] for root, weights in parts(stack.base, full).items()}
    if isinstance(stack, Joined):
        found = _placed(parts(stack.base, full), 0, stack.n)
        for root, weights in _placed(parts(stack.below, full), stack.base.n, stack.n).items():
            found[root] = found[root] + weights if root in found else weights
        return found
    if isinstance(stack, Extended | Anchored):
        found = _placed(parts(stack.base, full), 0, stack.n)
        own = torch.eye(stack.n, dtype=torch.float64)
        own[: stack.base.n] = 0
        return {**found, stack: own}
    return {stack: torch.eye(stack.n, dtype=torch.float64)}


def one_mix(stack: Updates, known: MutableMapping[Hashable, Updates] | None = None) -> Updates:
    """The same rows as one mix of a stack that only depends on which rows are mixed, not on how.

    Views with the same stacks beneath share their statistics through ``known``: whatever follows from inner products
    costs one pass for all of them. Rows that no view takes are left out, NaN or not.
    """
    weights = parts(stack)
    rows = {root: _rows(reach) for root, reach in parts(stack, full=True).items()}
    _fold(weights, rows)
    key = tuple((id(root), tuple(chosen.tolist())) for root, chosen in rows.items())
    known = {} if known is None else known
    if key not in known:
        known[key] = _beneath(rows)
    return known[key].mix(torch.cat([weights[root][:, chosen] for root, chosen in rows.items()], 1))


def _beneath(rows: dict[Updates, Tensor]) -> Updates:
    """The chosen rows of all stacks, one below the other."""
    stacks = [root if len(chosen) == root.n else root.take(chosen) for root, chosen in rows.items()]
    first = stacks[0]
    for other in stacks[1:]:
        first = Joined(first, other)
    return first


def _fold(weights: Parts, rows: dict[Updates, Tensor]) -> None:
    """Rows that a longer view of them has as well are taken from there: it reads them anyway."""
    for longer in [root for root in rows if isinstance(root, Extended | Anchored)]:
        for root, places in parts(longer.base).items():
            if root not in rows:
                continue
            plain = ((places != 0).sum(1) == 1) & (places.sum(1) == 1)  # one row of the root, as it is
            places = places * plain[:, None]
            if bool((places[:, rows[root]].sum(0) == 1).all()):
                weights[longer][:, : longer.base.n] += weights.pop(root) @ places.T
                there = places[:, rows.pop(root)].any(1).nonzero().flatten()
                rows[longer] = torch.cat([there, rows[longer]]).sort().values


def _rows(weights: Tensor) -> Tensor:
    return weights.any(0).nonzero().flatten()


def _placed(found: Parts, start: int, n: int) -> Parts:
    """The same for a longer view, whose rows from ``start`` on these are."""
    placed = {}
    for root, weights in found.items():
        longer = torch.zeros(n, weights.shape[1], dtype=torch.float64)
        longer[start : start + len(weights)] = weights
        placed[root] = longer
    return placed
