"""Whether an import path may be followed, which runs the module that it names.

A program or a command line says what its user wants to run. A file may come from anywhere, and the folder that a
command is given in may be a stranger's: while such names are read, `asking` holds somebody who is asked first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Check = Callable[[str], None]
"""Takes an import path, and raises ValueError if it must not be followed."""

_ASKED: ContextVar[tuple[Check, ...]] = ContextVar("who is asked about import paths", default=())


@contextmanager
def asking(check: Check) -> Iterator[None]:
    """Until the end of this, whoever follows an import path asks this check as well, the innermost first."""
    before = _ASKED.set((*_ASKED.get(), check))
    try:
        yield
    finally:
        _ASKED.reset(before)


def ask_about(path: str) -> None:
    """Ask whether an import path may be followed.

    Raises:
        ValueError: it must not be.
    """
    for check in reversed(_ASKED.get()):
        check(path)
