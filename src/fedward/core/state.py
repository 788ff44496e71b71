"""`State`: what a rule, an attack or a client remembers between rounds, and the words to speak of parts of it.

A state is a flat mapping of names to tensors, so that `torch.save` takes it and ``weights_only`` loads it. Two kinds of
entries have a grammar, and this is the one place that knows it:

- A part of a composition (the base rule of a wrapper, an attack of a schedule) has its entries under ``part/``:
  `within` takes them out, `placed` puts them in.
- What is remembered of a client is under ``name of 'id'``: `key`, `entries`, `recall`, `remember`. Whoever may choose
  ids could fill the server with such entries. So a rule remembers the ids seen last, up to a number of them, and
  forgets the others: `updated` is the one place where that happens.

What is remembered is finite and nobody else's: `finite_copy`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

State = Mapping[str, Tensor]
"""What a rule remembers between rounds."""

ROWS = 1000
"""How many ids a rule remembers by default where that takes a row each: as much as a stack of so many clients."""
NUMBERS = 10_000
"""The same where it takes a few numbers each."""

_OF = " of "
_SEEN = "last seen"


# --- parts --------------------------------------------------------------------------------------------------


def within(state: State, part: str) -> dict[str, Tensor]:
    """A part's memory, out of the whole's."""
    prefix = f"{part}/"
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def placed(state: State, part: str, memory: State) -> dict[str, Tensor]:
    """The whole's memory, in which that of a part is now this."""
    prefix = f"{part}/"
    others = {name: value for name, value in state.items() if not name.startswith(prefix)}
    return {**others, **{f"{prefix}{name}": value for name, value in memory.items()}}


# --- clients ------------------------------------------------------------------------------------------------


def key(name: str, client: Hashable) -> str:
    """Where a state keeps this about this client: 3 and "3" are different clients."""
    plain = client.item() if isinstance(client, np.generic) else client  # np.int64(3) is client 3
    return f"{name}{_OF}{plain!r}"


def entries(state: State, name: str) -> dict[str, Tensor]:
    """What a state keeps under this name, of whichever client, by `key`."""
    return {k: value for k, value in state.items() if k.startswith(f"{name}{_OF}")}


def recall(state: State, name: str, clients: Sequence[Hashable], default: float) -> Tensor:
    """A number for each client: (n,) float64."""
    return torch.tensor([float(state.get(key(name, c), default)) for c in clients], dtype=torch.float64)


def remember(name: str, clients: Sequence[Hashable], values: Tensor) -> dict[str, Tensor]:
    """A number for each client, as entries of a state."""
    return {key(name, c): v.clone() for c, v in zip(clients, values, strict=True)}


def updated(state: State, new: State, clients: Sequence[Hashable], limit: int) -> dict[str, Tensor]:
    """The state with new entries, of the ``limit`` clients seen last.

    Those of this round, ``clients``, are always kept. Of the others, who was seen longest ago is forgotten first, with
    everything that the state has under that id; of those seen last in the same round, in the order of their names.
    """
    times = {k: int(value) for k, value in entries(state, _SEEN).items()}
    this_round = torch.tensor(1 + max(times.values(), default=0))
    seen = {key(_SEEN, client): this_round.clone() for client in clients}
    merged = {**state, **new, **seen}

    absent = sorted(times.keys() - seen.keys(), key=lambda k: (times[k], k))
    surplus = max(len(absent) + len(seen) - limit, 0)
    forgotten = {_owner(k) for k in absent[:surplus]}
    return {k: value for k, value in merged.items() if _owner(k) not in forgotten} if forgotten else merged


def _owner(name: str) -> str:
    """Whose entry of a state this is; empty for what is of no client."""
    return name.partition(_OF)[2]


# --- numbers ------------------------------------------------------------------------------------------------

# A million of these still add up to a float32, and the squares of a million rows of the wide ones to a float64.
_MOST = 2.0**108
_MOST_WIDE = 2.0**460


def most(dtype: torch.dtype) -> float:
    """The largest number that a memory of this dtype holds: sums of many such, and their squares, stay finite."""
    return min(_MOST_WIDE if dtype == torch.float64 else _MOST, torch.finfo(dtype).max)


def finite_copy(values: Tensor) -> Tensor:
    """A copy for a memory to hold: NaN is 0 there, and nothing lies beyond `most`.

    What went wrong in one round would go wrong in every later one otherwise. The copy shares nothing with the tensor,
    which the caller may write to.
    """
    limit = most(values.dtype)
    return values.nan_to_num(nan=0.0, posinf=limit, neginf=-limit).clamp_(-limit, limit)
