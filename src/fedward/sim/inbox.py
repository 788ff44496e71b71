"""`Inbox`: the memory of the rows that arrive at the server in a round, and the only one that writes to it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

from ..clients import Answer, Client, Task
from ..stack import Dense, Layers, Updates
from .backends import Backend


class Inbox:
    """Room for the rows of one round, which every round fills anew.

    50 rows of a ResNet-18 are 2.2 GB, so there is room for them once: clients' rows are computed where they lie, and
    forged ones are written over those of the clients that forge. Everybody else only reads, and no longer than the
    round lasts.

    Args:
        most: rows in a round at most.
        like: a row, (d,), for dtype and device.
    """

    def __init__(self, most: int, like: Tensor) -> None:
        self._memory = torch.zeros(most, len(like), device=like.device, dtype=like.dtype)
        self._count = 0

    @property
    def rows(self) -> Tensor:
        """The rows of this round as they are now, in order: (n, d)."""
        return self._memory[: self._count]

    def compute(self, backend: Backend, algorithm: Client, tasks: Sequence[Task]) -> list[Answer]:
        """What comes of each client's round. Rows that are to be sent lie in the first places, in order."""
        self._count = 0
        return backend.messages(algorithm, tasks, self._memory)

    def arrange(self, order: Sequence[Tensor | None]) -> None:
        """Bring the rows of the round into this order, where None is the next one of those that were just computed."""
        computed = [place for place, row in enumerate(order) if row is None]
        for k in reversed(range(len(computed))):  # each moves back, if at all: none is overwritten before it has moved
            if computed[k] != k:
                self._memory[computed[k]] = self._memory[k]
        for place, row in enumerate(order):
            if row is not None:
                self._memory[place] = row
        self._count = len(order)

    def replace(self, places: Sequence[int], rows: Updates) -> None:
        """Put these rows in the places of others; they may be made of any rows but those."""
        # The same memory without PyTorch's count of writes, by which stacks notice that their rows were written to: the
        # stack of honest rows that an attack was given watches this memory, and what is written is beside its rows.
        memory = self._memory.data
        for block in rows.blocks():
            memory[list(places), block.start : block.stop] = block.rows.to(memory.dtype)

    def stack(self, places: Sequence[int], ids: Sequence[Hashable]) -> Updates:
        """A stack of the rows in these places, read where they lie: of one piece if they are."""
        first, last = places[0], places[-1]
        if last - first + 1 == len(places):
            return Dense(self._memory[first : last + 1], ids=ids)
        return Layers([[self._memory[place]] for place in places], ids=ids)

    def copy(self, places: Sequence[int], ids: Sequence[Hashable]) -> Updates:
        """A stack of copies of the rows in these places, which may be replaced meanwhile."""
        return Dense(self._memory[list(places)], ids=ids)
