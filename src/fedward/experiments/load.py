"""Specifications from TOML files, which may be anybody's."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from ..registry.strangers import names_in_file
from .spec import RunSpec, SpecError, make_spec

_LARGEST = 1 << 20  # bytes; a table of settings has a few hundred
_DEEPEST = 100  # parts of a key
_PARTS = re.compile(r"[=,{}\[\]\n]")
"""What stands between keys and values."""
_REMEDY = "give it on the command line, or say --trust-imports (trust_imports=True) if file and module are your own"


def load_spec(path: Path, *, trust_imports: bool = False, **overrides: Any) -> RunSpec:
    """A specification from a TOML file, some keys overridden.

    Args:
        path: the file.
        trust_imports: whether import paths that stand in it may be followed, which runs the modules that they name.
            Those that the overrides name as well are followed in any case.
        overrides: keys that count instead of the file's.

    Raises:
        SpecError: no such file, not TOML, an import path that is not trusted, or as `make_spec`.
    """
    values = toml_table(path)
    try:
        with names_in_config(typed=overrides.values(), trust_imports=trust_imports):
            return make_spec({**values, **overrides})
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None


@contextmanager
def names_in_config(*, typed: Iterable[object] = (), trust_imports: bool = False) -> Iterator[None]:
    """While specifications are made of a file: see `fedward.registry.strangers.names_in_file`."""
    with nullcontext() if trust_imports else names_in_file(typed=typed, remedy=_REMEDY):
        yield


def toml_table(path: Path) -> dict[str, Any]:
    """What a TOML file holds.

    Raises:
        SpecError: no such file, no regular one or too large, or not TOML.
    """
    try:
        text = _text(path)
        if any(part.count(".") > _DEEPEST for part in _PARTS.split(text)):  # tomllib takes its square in memory
            raise RecursionError
        return tomllib.loads(text)
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror}; give the path of a TOML file") from None
    except (ValueError, RecursionError) as error:  # not TOML, no text, a path with a null byte, nested a thousandfold
        why = "nested too deeply" if isinstance(error, RecursionError) else error
        raise SpecError(f"{path}: not a TOML file: {why}") from None


def _text(path: Path) -> str:
    """The text of a regular file; a pipe or a device, which may never end, is not even waited for."""
    file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with open(file, "rb") as opened:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is a folder, a pipe or a device")
        if status.st_size > _LARGEST:
            raise ValueError(f"it has {status.st_size:,} bytes, and {_LARGEST:,} are the most")
        return opened.read(_LARGEST).decode()
