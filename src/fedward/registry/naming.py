"""What to say when a name is not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST = 100
"""Characters of a name that anybody could have meant, or wants to read again."""


def article(kind: str) -> str:
    """A kind of the catalogue, with its article."""
    return f"{'an' if kind == 'attack' else 'a'} {spoken(kind)}"


def spoken(kind: str) -> str:
    """A kind of the catalogue, in a sentence."""
    return "client algorithm" if kind == "client" else kind


def unknown(what: str, wrong: str, valid: Iterable[str]) -> str:
    """An error message that hints at the nearest valid name and lists them all, the nearest first."""
    names = list(valid)
    near = _near(wrong, names)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    told = repr(wrong) if len(wrong) <= _LONGEST else f"{wrong[:_LONGEST]!r}..."
    return f"unknown {what} {told}{hint} Valid names: {nearest_first(wrong, names)}"


def nearest_first(wrong: str, valid: Iterable[str]) -> str:
    """Valid names, those nearest to a wrong one first."""
    names = list(valid)
    near = _near(wrong, names)
    return ", ".join([*near, *(name for name in names if name not in near)]) or "none"


def _near(wrong: str, names: list[str]) -> list[str]:
    if len(wrong) > _LONGEST:  # comparing takes the square of the length
        return []
    return get_close_matches(wrong.lower().replace("_", "-"), names, n=3, cutoff=0.5)
