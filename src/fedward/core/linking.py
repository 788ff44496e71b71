"""``a >> b``: what may stand before what is said where the thing after the arrow is."""

from __future__ import annotations

from functools import singledispatch
from typing import Any


@singledispatch
def linked(then: object, before: Any) -> Any:
    """``before >> then`` for a rule before; by what ``then`` is, each kind of which registers here.

    `Rule` knows of nothing that is made of rules, and its operator makes what is.
    """
    return NotImplemented
