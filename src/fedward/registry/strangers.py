"""Names that stand in files: they are found in the registry, and import paths among them only on somebody's word."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from .entries import registered
from .imports import ask_about, asking

_DOTTED = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
_WITH_COLON = re.compile(r"(?<![\w.])([A-Za-z_][\w.]*):([A-Za-z_][\w.]*)(?![\w.]*\s*=)")
"""A module and what is in it; what an equals sign follows is an argument."""


def import_paths(value: object) -> set[str]:
    """All that could be an import path in text, or in texts within lists and tables."""
    if isinstance(value, str):
        with_colon = {f"{module}.{name}" for module, name in _WITH_COLON.findall(value) if registered(module) is None}
        return with_colon | set(_DOTTED.findall(value))
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return set().union(*map(import_paths, value))
    return set()


def ask_about_all(value: object) -> None:
    """Ask now about import paths that are followed later, when nobody knows any longer that a file had them.

    Raises:
        ValueError: one must not be followed.
    """
    for path in sorted(import_paths(value)):
        ask_about(path)


@contextmanager
def names_in_file(*, typed: Iterable[object] = (), remedy: str) -> Iterator[None]:
    """While names of a file are read, follow no import path but those that its reader has named as well.

    Args:
        typed: what its reader said: texts, lists and tables.
        remedy: for the error.
    """
    known = import_paths(list(typed))

    def check(path: str) -> None:
        if path not in known:
            raise ValueError(f"{path!r} stands in a file, and to import it runs code of whoever wrote that: {remedy}")

    with asking(check):
        yield
