"""The code of a run that is not fedward's: which files it is in, and whether it has changed since."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from contextlib import suppress
from functools import cache, partial
from inspect import getfile, isroutine, unwrap
from pathlib import Path
from typing import Any

from ..disk import read_bounded
from ..models.named import ANY_SAMPLES
from ..registry.component import Component, components_within
from ..registry.functions import FunctionComponent
from ..registry.notation import Recipe, recipe
from .spec import RunSpec
from .versions import PACKAGE, statements


def parts_of(spec: RunSpec) -> frozenset[Path]:
    """The files that the parts of a run stand in: rule, attack, clients, server, partition, data and model."""
    makers = (spec.make_rule, spec.make_attack, spec.make_algorithm, spec.make_server, spec.make_partition)
    files = {file for make in makers for part in components_within(make()) if (file := file_of(part)) is not None}
    return frozenset(files | {file for found in _recipes(spec) for file in _files_of(found)})


def own_code(spec: RunSpec) -> dict[str, str]:
    """Of the files among them that are not fedward's a digest of the statements, by name; comments do not count.

    Files of the same name have one digest together: where they lie is another place on every machine.
    """
    digests: dict[str, str] = {}
    for file in sorted(file for file in parts_of(spec) if not file.is_relative_to(PACKAGE)):
        before = digests.get(file.name)
        digests[file.name] = _digest(file) if before is None else f"{before} {_digest(file)}"
    return digests


def file_of(part: Component) -> Path | None:
    """The file that a component's class stands in, or its function; None for what was typed at a prompt or is in C."""
    return _file_of_maker(part.function if isinstance(part, FunctionComponent) else type(part))


def _file_of_maker(made_of: Any) -> Path | None:
    """The file of a class, a function, or an object that can be called; of what is decorated that of the inner one."""
    while isinstance(made_of, partial):
        made_of = made_of.func
    if not isinstance(made_of, type):
        made_of = unwrap(made_of)
    if not isinstance(made_of, type) and not isroutine(made_of):  # an object that can be called
        made_of = type(made_of)
    try:
        file = Path(getfile(made_of))
    except (TypeError, OSError):
        return None
    return file if file.is_file() else None


@cache
def _digest(file: Path) -> str:
    """Taken once a process, so that it is of the code that runs and not of what a file became meanwhile."""
    source = read_bounded(file)
    with suppress(SyntaxError, ValueError):  # of a function that is compiled
        source = statements(source.decode()).encode()
    return hashlib.sha256(source).hexdigest()[:12]


def _recipes(spec: RunSpec) -> Iterator[Recipe]:
    """What is kept as text in a run's configuration, and so must be looked up to know where it stands."""
    yield from _with_inner(recipe(spec.data, "data set"))
    yield from _with_inner(recipe(spec.model, "model", **ANY_SAMPLES))
    yield from _with_inner(recipe(spec.partition, "partition", num_partitions=spec.clients, partition_by="label"))


def _with_inner(found: Recipe) -> Iterator[Recipe]:
    """A recipe and those of its arguments that name something themselves, as the base of a LoRA model does."""
    yield found
    for name, value in found.arguments.items():
        if isinstance(value, str) and (kind := found.entry.parameters[name].names):
            known = ANY_SAMPLES if kind == "model" else {}
            yield from _with_inner(recipe(value, kind, **known))


def _files_of(found: Recipe) -> Iterator[Path]:
    """The file that it stands in, and the module that it is named by, which may have it from there."""
    if (file := _file_of_maker(found.entry.cls)) is not None:
        yield file
    module = found.entry.name.rpartition(".")[0]  # nothing for names of the catalogue
    try:
        face = importlib.util.find_spec(module) if module else None
    except (ImportError, ValueError):  # a class, where it is an attribute of one
        return
    if face is not None and face.origin and Path(face.origin).is_file():
        yield Path(face.origin)
