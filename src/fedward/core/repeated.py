"""Whether a function of the user's own returns the same for the same rows: it is tried once in a process.

One that remembers earlier calls, or draws from a generator that nobody seeds, ends elsewhere in a sweep than alone, and
nothing in its figures says so.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor

from ..registry.functions import FunctionComponent

_NEAR = 1e-4
"""Share of the largest entry by which outputs may differ: a GPU adds up in another order each time."""
_MOST = 1e30  # an entry whose double is far from overflowing
_TRIED: WeakSet[Any] = WeakSet()


class FunctionWarning(UserWarning):
    """A plain function returned something else for the same rows, so that results hang on what was run before."""


def warn_unlike(
    component: FunctionComponent, given: Mapping[str, Tensor], made: Tensor, ask: Callable[[], Tensor]
) -> None:
    """Warn if a function that is used for the first time in this process returns something else for the same rows.

    It is asked for other rows in between, since the mean of all that it remembers of the same ones is no other.

    Args:
        component: whose function it is.
        given: copies of the rows, of which nothing else is made any more.
        made: what it returned for them.
        ask: calls it with these copies.

    Warns:
        FunctionWarning: it returned something else, or raised an error.
    """
    if not _first(component.function):
        return
    rows = given.values()
    factor = -2.0 if all(_small(each) for each in rows) else -1.0  # either is undone to the bit
    with suppress(Exception):
        _scale(rows, factor)
        ask()
    _scale(rows, 1 / factor)
    try:
        again = ask()
    except Exception:
        again = None
    if again is None or not _alike(made, again):
        _warn(component)


def _first(function: object) -> bool:
    """Whether it was never tried; no of one of which nobody can take note."""
    try:
        first = function not in _TRIED
        _TRIED.add(function)
    except TypeError:
        return False
    return first


def _small(rows: Tensor) -> bool:
    return rows.numel() == 0 or max(abs(float(end)) for end in rows.aminmax()) < _MOST


@torch.no_grad()
def _scale(rows: Collection[Tensor], factor: float) -> None:
    """In place, since there may be room for no other copy."""
    for each in rows:
        each.mul_(factor)


def _alike(made: Tensor, again: Tensor) -> bool:
    if made.shape != again.shape or made.numel() == 0:
        return made.shape == again.shape
    first, second = made.double(), again.double()
    return bool((first - second).abs().max() <= _NEAR * first.abs().max())


def _warn(component: FunctionComponent) -> None:
    """With the line on which the function begins, where that is known: the line that called it is the package's."""
    function = component.function
    while isinstance(function, partial):
        function = function.func
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        warnings.warn(_told(component), FunctionWarning, stacklevel=3)
    else:
        warnings.warn_explicit(_told(component), FunctionWarning, code.co_filename, code.co_firstlineno)


def _told(component: FunctionComponent) -> str:
    kind = component.kind
    memory = "fedward.Rule, with State" if kind == "rule" else "fedward.attacks.Attack, with its state"
    return (
        f"the function {component.spoken} gave something else for the same rows and the same seed, asked once more. "
        "It remembers earlier calls, or draws from a generator of its own, so that what comes of it hangs on what this "
        f"process ran before, and no run of it can be repeated or resumed. Write what remembers as a class, {memory}, "
        "and draw from the global generators of PyTorch, NumPy or random, which are seeded for it; "
        f"fedward.testing.check_{kind} tells whether all is well"
    )
