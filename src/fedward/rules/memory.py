"""Memory per client: what rules keep between rounds under a client's id, as clients come and go.

Whoever may choose ids could fill the server with it. So a rule remembers the ids seen last, up to a number of them,
and forgets the others: `updated` is the one place where that happens.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..core import State, most
from ..stack import Updates, row_copies

ROWS = 1000
"""How many ids a rule remembers by default where that takes a row each: as much as a stack of so many clients."""
NUMBERS = 10_000
"""The same where it takes a few numbers each."""

_BETWEEN = " of "
_SEEN = "last seen"


def key(name: str, client: Hashable) -> str:
    """Where a state keeps this about this client: 3 and "3" are different clients."""
    plain = client.item() if isinstance(client, np.generic) else client  # np.int64(3) is client 3
    return f"{name}{_BETWEEN}{plain!r}"


def check_remember(limit: int) -> None:
    """Raise ValueError unless a rule can remember so many ids."""
    if limit < 1:
        raise ValueError(f"remember counts ids that are kept in memory, at least 1, got {limit}")


def updated(state: State, entries: State, clients: Sequence[Hashable], limit: int) -> dict[str, Tensor]:
    """The state with new entries, of the ``limit`` clients seen last.

    Those of this round, ``clients``, are always kept. Of the others, who was seen longest ago is forgotten first, with
    everything that the state has under that id; of those seen last in the same round, in the order of their names.
    """
    times = {k: int(v) for k, v in state.items() if k.startswith(f"{_SEEN}{_BETWEEN}")}
    now = {key(_SEEN, client): torch.tensor(1 + max(times.values(), default=0)) for client in clients}
    merged = {**state, **entries, **now}
    absent = sorted(times.keys() - now.keys(), key=lambda name: (times[name], name))
    surplus = absent[: max(len(absent) + len(now) - limit, 0)]
    forgotten = {_owner(name) for name in surplus}
    return {k: v for k, v in merged.items() if _owner(k) not in forgotten} if forgotten else merged


def _owner(name: str) -> str:
    """Whose entry of a state this is; empty for what is of no client."""
    return name.partition(_BETWEEN)[2]


def recall(state: State, name: str, clients: Sequence[Hashable], default: float) -> Tensor:
    """A number for each client: (n,) float64."""
    return torch.tensor([float(state.get(key(name, c), default)) for c in clients], dtype=torch.float64)


def remember(name: str, clients: Sequence[Hashable], values: Tensor) -> dict[str, Tensor]:
    """A number for each client, as entries of a state."""
    return {key(name, c): v.clone() for c, v in zip(clients, values, strict=True)}


def remember_rows(name: str, updates: Updates) -> dict[str, Tensor]:
    """A copy of each client's row, at least in float32, as entries of a state; one pass over the data."""
    copies = row_copies(updates, most(torch.promote_types(updates.dtype, torch.float32)))
    return {key(name, client): row for client, row in zip(updates.ids, copies, strict=True)}


def unit(updates: Updates) -> float:
    """What to multiply rows by so that the squares of sums of two of them are finite: 1, but for rows beyond 1e120.

    A power of two, so that nothing is rounded.
    """
    return 1.0 if float(updates.norms().amax()) < _LARGE else 1 / _LARGE


_LARGE = 2.0**400
