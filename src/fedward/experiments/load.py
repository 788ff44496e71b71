"""Specifications from TOML files, which may be anybody's."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from ..disk import read_bounded
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
        text = read_bounded(path, _LARGEST).decode()
        if any(part.count(".") > _DEEPEST for part in _PARTS.split(text)):  # tomllib takes its square in memory
            raise RecursionError
        return tomllib.loads(text)
    except OSError as error:
        raise SpecError(f"{path}: {error.strerror}; give the path of a TOML file") from None
    except (ValueError, RecursionError) as error:  # not TOML, no text, a path with a null byte, nested a thousandfold
        why = "nested too deeply" if isinstance(error, RecursionError) else error
        raise SpecError(f"{path}: not a TOML file: {why}") from None
