"""What to say when a name is not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def unknown(what: str, wrong: str, valid: Iterable[str]) -> str:
    """An error message that hints at the nearest valid name and lists them all."""
    names = list(valid)
    close = get_close_matches(wrong.lower().replace("_", "-"), names, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    return f"unknown {what} {wrong!r}{hint} Valid names: {', '.join(names) or 'none'}"
