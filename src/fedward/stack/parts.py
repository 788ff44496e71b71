"""Views upon views as one mix of rows, so that candidates of a search share what is known of these rows."""

from __future__ import annotations

from collections.abc import Hashable, MutableMapping

import torch
from torch import Tensor

from .updates import Longer, Parts, Updates
from .views import Joined


def parts(stack: Updates, full: bool = False) -> Parts:
    """See `Updates.parts`."""
    return stack.parts(full)


def one_mix(stack: Updates, known: MutableMapping[Hashable, Updates] | None = None) -> Updates:
    """The same rows as one mix of a stack that only depends on which rows are mixed, not on how.

    Views with the same stacks beneath share their statistics through ``known``: whatever follows from inner products
    costs one pass for all of them. Rows that no view takes are left out, NaN or not.
    """
    weights = stack.parts()
    # Rows that could be mixed, not those that happen to be: two candidates of one search have the same.
    rows = {root: _rows(reach) for root, reach in stack.parts(full=True).items()}
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
    """Leave out stacks of which a longer view has the rows as well: it reads them anyway.

    Their weights become weights of that view's rows.
    """
    for longer in [root for root in rows if isinstance(root, Longer)]:
        for root, places in longer.base.parts().items():
            if root not in rows:
                continue
            # Only rows that the view has unchanged: one row of the root, with weight 1.
            plain = ((places != 0).sum(1) == 1) & (places.sum(1) == 1)
            places = places * plain[:, None]
            if not bool((places[:, rows[root]].sum(0) == 1).all()):
                continue  # not every row that is needed is there, just once
            weights[longer][:, : longer.base.n] += weights.pop(root) @ places.T
            there = places[:, rows.pop(root)].any(1).nonzero().flatten()
            rows[longer] = torch.cat([there, rows[longer]]).sort().values


def _rows(weights: Tensor) -> Tensor:
    return weights.any(0).nonzero().flatten()
