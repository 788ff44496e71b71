"""What a view makes of its rows, made of other rows with the same factors."""

from __future__ import annotations

from collections.abc import Mapping
from functools import singledispatch

from .updates import Mixed, Scaled, Taken, Updates
from .views import Extended, Joined, Rooted


class _OwnRowsError(Exception):
    """Rows that are made of no others. It never leaves this module."""


def carried(stack: Updates, onto: Mapping[Updates, Updates]) -> Updates | None:
    """The stack as it would be if it were made of other stacks: same weights, same factors, same choices of rows.

    ``carried(G.mix(M), {G: H})`` is ``H.mix(M)``. H may have other columns than G, of which M may have been calculated:
    M is not calculated again. What a kernel makes of columns it makes of H's columns.

    Args:
        stack: views of the stacks that are replaced.
        onto: what stands for each of them, with as many rows.

    Returns:
        The other stack; None where some of its rows are made of none of these stacks (noise, constants).
    """
    try:
        return _carried(stack, onto)
    except _OwnRowsError:
        return None


def _carried(stack: Updates, onto: Mapping[Updates, Updates]) -> Updates:
    return onto[stack] if stack in onto else _remade(stack, onto)


@singledispatch
def _remade(stack: Updates, onto: Mapping[Updates, Updates]) -> Updates:
    """One kind of view, of what stands for its base."""
    raise _OwnRowsError


@_remade.register
def _(stack: Mixed, onto: Mapping[Updates, Updates]) -> Updates:
    return _carried(stack.base, onto).mix(stack.M)


@_remade.register
def _(stack: Scaled, onto: Mapping[Updates, Updates]) -> Updates:
    return _carried(stack.base, onto).scale(stack.factors)


@_remade.register
def _(stack: Taken, onto: Mapping[Updates, Updates]) -> Updates:
    return _carried(stack.base, onto).take(stack.rows)


@_remade.register
def _(stack: Joined, onto: Mapping[Updates, Updates]) -> Updates:
    return Joined(_carried(stack.base, onto), _carried(stack.below, onto))


@_remade.register
def _(stack: Extended, onto: Mapping[Updates, Updates]) -> Updates:
    return Extended(_carried(stack.base, onto), stack.kernel)


@_remade.register
def _(stack: Rooted, onto: Mapping[Updates, Updates]) -> Updates:
    return Rooted(_carried(stack.base, onto), stack.ids)
