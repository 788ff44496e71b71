"""What modules of the user's own import of the user's own: found in their source, without running any of it.

`sys.modules` does not say it: what is in there hangs on what else a process has imported. What a module imports by a
name that is worked out while it runs is not found, nor are files that it reads.
"""

from __future__ import annotations

import ast
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from ..disk import read_bounded
from .versions import PACKAGE

_PYTHONS = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "scripts"))
_INSTALLED = {"site-packages", "dist-packages", "lib-dynload"}


def imported_by(files: Iterable[Path]) -> frozenset[Path]:
    """The user's own files that these import, directly or not; without themselves."""
    first = frozenset(files)
    found: set[Path] = set()
    waiting = [file for file in first if is_a_users(file)]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += (other for import_ in _imports(file) for other in _files_of(import_, file))
    return frozenset(found - first)


def module_files(dotted: str, beside: Sequence[Path] = ()) -> frozenset[Path]:
    """The user's own files that an import path leads through, such as a package's face and a module in it.

    Args:
        dotted: the path; what follows the last module in it, such as a class, is passed over.
        beside: folders in which it is looked for besides Python's path.
    """
    return frozenset(_own(_way(dotted.split("."), None, beside)))


def is_a_users(file: Path) -> bool:
    """Whether a file is neither Python's own, nor fedward's, nor of a package that was installed."""
    if file.is_relative_to(PACKAGE) or _INSTALLED & set(file.parts):
        return False
    return not any(file.is_relative_to(place) for place in _PYTHONS)


def shown_as(file: Path) -> str:
    """A file's name within its outermost package, which is the same wherever that lies."""
    root = _root(file)
    return file.relative_to(root).as_posix()


@dataclass(frozen=True, kw_only=True)
class _Import:
    """An import as it is written.

    Attributes:
        module: in parts; none of ``from . import x``.
        level: how many dots stand before it.
        names: what is taken from it; None where the module itself is, and those that it lies in.
    """

    module: tuple[str, ...]
    level: int = 0
    names: tuple[str, ...] | None = None


def _imports(file: Path) -> Iterator[_Import]:
    """All imports of a file, those within functions too; none of what is no Python source."""
    with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        for node in ast.walk(ast.parse(read_bounded(file)) if file.suffix == ".py" else ast.Module([], [])):
            match node:
                case ast.Import():
                    yield from (_Import(module=tuple(alias.name.split("."))) for alias in node.names)
                case ast.ImportFrom():
                    names = tuple(alias.name for alias in node.names)
                    module = tuple(node.module.split(".")) if node.module else ()
                    yield _Import(module=module, level=node.level, names=names)
                case ast.Call() if _imports_modules(node.func):
                    name = next(iter([*node.args, *(k.value for k in node.keywords if k.arg == "name")]), None)
                    if isinstance(name, ast.Constant) and isinstance(name.value, str):
                        dotted = name.value.lstrip(".")
                        level = len(name.value) - len(dotted)
                        yield _Import(module=tuple(dotted.split(".")), level=level, names=())


def _imports_modules(function: ast.expr) -> bool:
    """Whether it is ``importlib.import_module`` or ``__import__``, by its name."""
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in ("import_module", "__import__")


def _files_of(import_: _Import, file: Path) -> Iterator[Path]:
    """The user's own files that an import in a file brings in."""
    if import_.level > len(file.parents):
        return
    places = [file.parents[import_.level - 1]] if import_.level else None
    way = list(_way(import_.module, places, [_root(file)]))
    if import_.names is None:
        yield from _own(way)
        return
    if not import_.module and places is not None:  # the package itself
        faces, within = [places[0] / "__init__.py"], [str(places[0])]
    elif way:
        faces, within = list(_own(way[-1:])), list(way[-1].submodule_search_locations or ())
    else:
        return
    modules = [_within(name, within) for name in import_.names] if within else []
    yield from _own(spec for spec in modules if spec is not None)
    # A package's face counts where something is taken from it that is no module beside it.
    if not modules or None in modules:
        yield from (face for face in faces if face.is_file())


def _way(module: Sequence[str], places: Sequence[Path] | None, beside: Sequence[Path]) -> Iterator[ModuleSpec]:
    """The modules that a name leads through, as far as they are there.

    Args:
        module: the name, in parts.
        places: folders in which alone its first part is looked for; Python's path if None.
        beside: folders that come after Python's path.
    """
    within = None if places is None else list(map(str, places))
    for number, part in enumerate(module):
        spec = _on_path(part, beside) if within is None else _within(part, within)
        if spec is None:
            return
        yield spec
        within = list(spec.submodule_search_locations or ())
        if not within and number + 1 < len(module):
            return


def _on_path(name: str, beside: Sequence[Path]) -> ModuleSpec | None:
    """Where Python would find a module of this name, if it were not loaded yet."""
    for finder in sys.meta_path:
        with suppress(Exception):  # anybody may have added a finder, and what it does with a name is its own affair
            if (spec := finder.find_spec(name, None)) is not None:
                return spec
    return _within(name, list(map(str, beside)))


def _within(name: str, places: Sequence[str]) -> ModuleSpec | None:
    """A module in one of these folders."""
    try:
        return PathFinder.find_spec(name, places)
    except (ImportError, ValueError):
        return None


def _own(specs: Iterable[ModuleSpec]) -> Iterator[Path]:
    for spec in specs:
        if spec.has_location and spec.origin:
            file = Path(os.path.abspath(spec.origin))
            if is_a_users(file) and os.access(file, os.R_OK):
                yield file


def _root(file: Path) -> Path:
    """The folder that the outermost package of a file lies in; its own where it is in none."""
    root = file.parent
    while (root / "__init__.py").is_file() and root != root.parent:
        root = root.parent
    return root
