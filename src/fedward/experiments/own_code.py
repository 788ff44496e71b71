"""The code of a run that is not fedward's: which files it is in, and whether it has changed since."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache, lru_cache, partial
from inspect import getfile, isroutine, unwrap
from pathlib import Path
from typing import Any

from ..disk import read_bounded
from ..models.named import ANY_SAMPLES
from ..registry.component import Component, components_within
from ..registry.functions import FunctionComponent
from ..registry.notation import Recipe, recipe
from ..registry.strangers import import_paths
from .imported import imported_by, module_files, shown_as
from .spec import RunSpec
from .versions import PACKAGE, statements


@lru_cache(maxsize=1)  # a key asks for them several times
def parts_of(spec: RunSpec) -> frozenset[Path]:
    """The files that the parts of a run stand in: rule, attack, clients, server, partition, data and model."""
    makers = (spec.make_rule, spec.make_attack, spec.make_algorithm, spec.make_server, spec.make_partition)
    files = {file for make in makers for part in components_within(make()) if (file := file_of(part)) is not None}
    return frozenset(files | {file for found in _recipes(spec) for file in _files_of(found)})


def own_code(spec: RunSpec) -> dict[str, str]:
    """Of the files among them that are not fedward's a digest of the statements, by name; comments do not count.

    Files of the same name have one digest together: where they lie is another place on every machine.
    """
    return _by_name(_own_parts(spec), _last_name)


def imported_code(spec: RunSpec) -> dict[str, str]:
    """The same of the user's own files that those import, directly or not, by their names within their packages."""
    return dict(_imported(_own_parts(spec)))


def edited_since(own: Mapping[str, str], imported: Mapping[str, str] | None, spec: RunSpec) -> list[str]:
    """Names of the files that a run hangs on and that are others now.

    Args:
        own, imported: what `own_code` and `imported_code` were; None of a run of whose imports nobody took note: what
            is not known is not held against it.
        spec: of the run.
    """
    now = own_code(spec)
    if imported is None:
        return sorted(_differing(own, {**own, **now}) & own.keys())
    return sorted(_differing(own, now) | _differing(imported, imported_code(spec)))


def others_here(own: Mapping[str, str], imported: Mapping[str, str] | None, config: object) -> list[str]:
    """Names of the files that a run hangs on, and that are found here and are others; nothing is imported for that.

    Args:
        own, imported: as `edited_since` has them.
        config: of the run, in which import paths are looked for.
    """
    here = [Path.cwd()]
    named = frozenset(file for path in import_paths(config) for file in module_files(path, here))
    files = named | imported_by(named)
    pairs = [(own, _here(files, _last_name)), (imported or {}, _here(files, shown_as))]
    return sorted(
        name
        for before, now in pairs
        for name in before
        if name in now and not now[name].issuperset(before[name].split())
    )


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


def _own_parts(spec: RunSpec) -> frozenset[Path]:
    return frozenset(file for file in parts_of(spec) if not file.is_relative_to(PACKAGE))


@cache
def _imported(parts: frozenset[Path]) -> Mapping[str, str]:
    """Found once a process, as digests are taken: of the code that runs."""
    return _by_name(imported_by(parts), shown_as)


def _by_name(files: Iterable[Path], name_of: Callable[[Path], str]) -> dict[str, str]:
    named: dict[str, list[str]] = {}
    for file in files:
        named.setdefault(name_of(file), []).append(_digest(file))
    return {name: " ".join(sorted(named[name])) for name in sorted(named)}


def _here(files: Iterable[Path], name_of: Callable[[Path], str]) -> dict[str, set[str]]:
    """The digests of files as they are at this moment, by name."""
    found: dict[str, set[str]] = {}
    for file in files:
        found.setdefault(name_of(file), set()).add(digest_now(file))
    return found


def _last_name(file: Path) -> str:
    return file.name


def _differing(before: Mapping[str, str], now: Mapping[str, str]) -> set[str]:
    """Files of which there are others now, or none, or that are new; of one name, in whatever order."""

    def digests(of: Mapping[str, str], name: str) -> list[str]:
        return sorted(of.get(name, "").split())

    return {name for name in {*before, *now} if digests(before, name) != digests(now, name)}


@cache
def _digest(file: Path) -> str:
    """Taken once a process, so that it is of the code that runs and not of what a file became meanwhile."""
    return digest_now(file)


def digest_now(file: Path) -> str:
    """Of a file as it is at this moment."""
    source = read_bounded(file)
    with suppress(SyntaxError, ValueError, RecursionError):  # of a function that is compiled
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
