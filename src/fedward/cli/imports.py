"""Modules of the user's own: found in the working folder where the user has named them, and nowhere else."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..registry.imports import asking
from ..registry.strangers import import_paths

_MARKS = ("pyproject.toml", "setup.py", "setup.cfg")
_AT_START = tuple(sys.path)


@contextmanager
def own_modules(typed: Iterable[object], *, trust: bool = False) -> Iterator[None]:
    """During a command, import paths that the user typed are looked for in the working folder as well.

    Args:
        typed: what the command was given: texts, lists of them, and whatever else, in which nothing is looked for.
        trust: whether those of a configuration are as good as typed.
    """
    known = import_paths(list(typed))

    def find_here(path: str) -> None:
        if (trust or path in known) and os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())

    before = list(sys.path)
    try:
        with asking(find_here):
            yield
    finally:
        sys.path[:] = before


def is_own(file: Path, path: Sequence[str] = _AT_START) -> bool:
    """Whether a file is part of the user's own project: one that Python imports from already.

    That is one that is installed (``pip install -e .``) or on PYTHONPATH, down from its ``pyproject.toml``.
    """
    pythons = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "scripts")}
    places = {Path(entry).resolve() for entry in path if entry} - pythons
    here = file.resolve()
    return any(here.is_relative_to(_project(place)) for place in places if _is_a_users(place))


def _is_a_users(place: Path) -> bool:
    """Whether a place on Python's path is neither a part of Python nor where packages are installed."""
    return place.is_dir() and not {"site-packages", "dist-packages", "lib-dynload"} & set(place.parts)


def _project(place: Path) -> Path:
    """The folder of the project that a place on Python's path is part of: itself, or the one that has it as src."""
    above = place.parent
    marked = any((above / mark).is_file() for mark in _MARKS)
    return above if marked and above.stat().st_uid == place.stat().st_uid else place
