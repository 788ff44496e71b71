"""Which rows of a view are made of rows that are marked in the stacks beneath it."""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch

import torch
from torch import Tensor

from .updates import Longer, Scaled, Taken, Updates, View
from .views import Extended, Gathered, Joined, Offset, Rooted

Marks = Callable[[Updates], Tensor | None]
"""Which rows of a stack are marked, (n,) bool; None where that follows from the stacks that it is made of."""


def rows_made_of(stack: Updates, marks: Marks) -> Tensor:
    """Which rows are marked, or made of rows that are: (n,) bool.

    A mix is made of all rows of its base, whatever its weights are, for 0 times NaN is NaN; and so is a view of a kind
    that is not known here.
    """
    own = marks(stack)
    return _made_of(stack, marks) if own is None else own


@singledispatch
def _made_of(stack: Updates, marks: Marks) -> Tensor:
    """One kind of stack, from the stacks that it is made of: none, and so no row is marked."""
    return torch.zeros(stack.n, dtype=torch.bool)


@_made_of.register
def _(stack: View, marks: Marks) -> Tensor:
    return rows_made_of(stack.base, marks).any().repeat(stack.n)


@_made_of.register(Scaled)
@_made_of.register(Rooted)
@_made_of.register(Offset)
def _one_by_one(stack: View, marks: Marks) -> Tensor:
    return rows_made_of(stack.base, marks)


@_made_of.register
def _(stack: Taken, marks: Marks) -> Tensor:
    return rows_made_of(stack.base, marks)[stack.rows]


@_made_of.register
def _(stack: Longer, marks: Marks) -> Tensor:
    below = torch.zeros(stack.n - stack.base.n, dtype=torch.bool)
    return torch.cat([rows_made_of(stack.base, marks), below])


@_made_of.register
def _(stack: Joined, marks: Marks) -> Tensor:
    return torch.cat([rows_made_of(stack.base, marks), rows_made_of(stack.below, marks)])


@_made_of.register
def _(stack: Extended, marks: Marks) -> Tensor:
    rows = rows_made_of(stack.base, marks)
    return torch.cat([rows, rows.any()[None]])


@_made_of.register
def _(stack: Gathered, marks: Marks) -> Tensor:
    return torch.cat([rows_made_of(view, marks) for view in stack.views])
