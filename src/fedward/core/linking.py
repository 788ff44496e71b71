"""``a >> b``: what may stand before what is said where the thing after the arrow is."""

from __future__ import annotations

from functools import singledispatch
from inspect import isroutine
from typing import Any


@singledispatch
def linked(then: object, before: Any) -> Any:
    """``before >> then`` for a rule before; by what ``then`` is, each kind of which registers here.

    `Rule` knows of nothing that is made of rules, and its operator makes what is.
    """
    return no_link(then)


def no_link(then: object) -> Any:
    """NotImplemented, for Python to say that this stands behind no arrow; of a function it is said what to do.

    Raises:
        TypeError: it is a function.
    """
    if isroutine(then):
        raise TypeError(
            f"{then.__name__} is a function, and rules and mixers stand behind >>: fedward.rule makes one of it"
        )
    return NotImplemented
