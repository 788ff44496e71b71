"""Whether an import path may be followed, which runs the module that it names.

A program or a command line says what its user wants to run. A file may come from anywhere, and the folder that a
command is given in may be a stranger's: while such names are read, `asking` holds somebody who is asked first.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from ..failures import missing_extra, place_in
from .naming import did_you_mean

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


def attribute_at(path: str) -> Any:
    """What lies at an import path: an attribute of a module, or of a class in one."""
    module, _, attribute = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        outer = module.rpartition(".")[0]
        # Only if it is this module that there is none of, and not one that it needs.
        if not outer or error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        try:
            owner = attribute_at(module)
        except (ModuleNotFoundError, AttributeError):
            raise error from None
        return getattr(owner, attribute)


def found_at(path: str) -> Any:
    """What lies at an import path that may be followed.

    Raises:
        ValueError: it must not be, there is no such thing, or the module itself is at fault: the message says where.
    """
    ask_about(path)
    try:
        return attribute_at(path)
    except Exception as error:  # whatever is wrong with the module
        needed = missing_extra(error) if isinstance(error, ModuleNotFoundError) else ""
        meant = _meant(error) if isinstance(error, AttributeError | ModuleNotFoundError) else ""
        place = place_in(error)
        where = f" ({place})" if place else "" if meant else "; write it like package.module.Class"
        remedy = needed or f"{error}{meant}{where}"
        raise ValueError(f"cannot import {path!r}: {remedy}") from error


def _meant(error: AttributeError | ModuleNotFoundError) -> str:
    """Which name of a module or a class, or which module of this folder, may be meant by one that is not there."""
    if isinstance(error, ModuleNotFoundError):
        name, here = error.name or "", {file.stem for file in Path.cwd().glob("*.py")}
        if name in here:
            return f"; {name}.py lies in this folder, in which nothing is looked for: name it on PYTHONPATH"
        return did_you_mean(name, sorted(here))
    public = (name for name in dir(error.obj) if not name.startswith("_"))
    # What a module imports for itself is nothing that anybody means.
    own = (name for name in public if not inspect.ismodule(inspect.getattr_static(error.obj, name, None)))
    return did_you_mean(error.name or "", own)
