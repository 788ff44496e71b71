"""What a cell is: a hash of its whole configuration, of its data, and of the code that decides its figures."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from ..experiments.own_code import imported_code, own_code, parts_of
from ..experiments.spec import RunSpec
from ..experiments.versions import BESIDE, PACKAGE, deciding, statements
from ..sim import load
from ..sim.identity import checksum_of

KEY = 16
"""Hexadecimal digits of a key."""
_CHOSEN = ("rules", "attacks")
"""Folders of the package of which a run uses some modules: the others decide nothing of it."""
NOT_PART = ("data_path",)
"""Keys that a cell does not hang on: where data lie does not matter, as long as they are the same."""


def key_of(spec: RunSpec) -> str:
    """The key of a run: the same for the same configuration, data and code, wherever it is carried out.

    Raises:
        DataError: the data are not there.
    """
    config = {name: value for name, value in spec.resolved().items() if name not in NOT_PART}
    whole = {"config": config, "data": data_checksum(spec.data, spec.data_path), "code": code_of(spec)}
    return hashlib.sha256(json.dumps(whole, sort_keys=True, default=repr).encode()).hexdigest()[:KEY]


def code_of(spec: RunSpec) -> str:
    """A digest of the code that decides the figures of a run.

    That is the code that all runs share, and of rules and attacks the modules of those that it uses, with what these
    import. Comments and docstrings do not count. Of parts that are the user's own it is the modules that they stand in,
    with what these import of the user's own.
    """
    parts = parts_of(spec)
    total = hashlib.sha256(_of_package(frozenset(file for file in parts if file.is_relative_to(PACKAGE))).encode())
    for name, digest in own_code(spec).items():
        total.update(f"{name} {digest}".encode())
    for name, digest in imported_code(spec).items():
        total.update(f"\nimported {name} {digest}".encode())
    return total.hexdigest()[:12]


@cache
def data_checksum(name: str, path: str | None) -> str:
    """What tells the data of a run from others, taken once a process.

    Raises:
        DataError: they are not there.
    """
    return checksum_of(load(name, path))


@cache
def _of_package(parts: frozenset[Path]) -> str:
    """A digest of what all runs share, and of these modules with what they import."""
    files = deciding(PACKAGE, BESIDE)
    shared = [file for file in files if file.relative_to(PACKAGE).parts[0] not in _CHOSEN]
    needed = {*shared, *_closure({*shared, *parts})}
    total = hashlib.sha256()
    for file in files:
        if file in needed and file.name != "__init__.py":
            total.update(f"{file.relative_to(PACKAGE).as_posix()}\n{_statements(file)}".encode())
    return total.hexdigest()


@cache
def _statements(file: Path) -> str:
    return statements(file.read_text(encoding="utf-8"))


def _closure(files: Iterable[Path]) -> set[Path]:
    """Modules, and all of the package that they import, directly or not."""
    found: set[Path] = set()
    waiting = list(files)
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting += _imports(file)
    return found


@cache
def _imports(file: Path) -> tuple[Path, ...]:
    """The modules of the package that a module imports; a name of a package's face is the module that it is from."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    relative = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level)
    return tuple(dict.fromkeys(place for node in relative for place in _places(file, node)))


def _places(file: Path, node: ast.ImportFrom) -> Iterator[Path]:
    target = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
    if target.with_suffix(".py").is_file():
        yield target.with_suffix(".py")
        return
    for alias in node.names:
        module = target / f"{alias.name}.py"
        if module.is_file():
            yield module
        elif (target / alias.name).is_dir():
            yield from _faces(target / alias.name).values()
        elif alias.name in (face := _faces(target)):
            yield face[alias.name]


@cache
def _faces(package: Path) -> dict[str, Path]:
    """Where the names that a package shows are from."""
    face = package / "__init__.py"
    if not face.is_file():
        return {}
    tree = ast.parse(face.read_text(encoding="utf-8"))
    relative = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.level]
    return {
        alias.asname or alias.name: place
        for node in relative
        for alias in node.names
        for place in _places(face, ast.ImportFrom(module=node.module, names=[alias], level=node.level))
    }
