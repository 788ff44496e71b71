"""The code of a run that is not fedward's: which files it is in, and whether it has changed since."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from contextlib import suppress
from functools import cache, partial
from inspect import getfile, isroutine
from pathlib import Path
from typing import Any

from ..disk import read_bounded
from ..registry.component import Component, components_within
from ..registry.functions import FunctionComponent
from .spec import RunSpec
from .versions import PACKAGE, statements


def parts_of(spec: RunSpec) -> frozenset[Path]:
    """The files that the parts of a run stand in: rule, attack, clients and server, and one's own data and model."""
    makers = (spec.make_rule, spec.make_attack, spec.make_algorithm, spec.make_server)
    files = {file for make in makers for part in components_within(make()) if (file := file_of(part)) is not None}
    return frozenset(files | {file for text in (spec.data, spec.model) for file in _imported(text)})


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
    made_of: Any = part.function if isinstance(part, FunctionComponent) else type(part)
    while isinstance(made_of, partial):
        made_of = made_of.func
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


def _imported(text: str) -> Iterator[Path]:
    """The file of a data set or a model that is named by its import path."""
    module = text.partition(":")[0].rpartition(".")[0]
    try:
        found = importlib.util.find_spec(module) if module else None
    except (ImportError, ValueError):
        return
    if found is not None and found.origin and Path(found.origin).is_file():
        yield Path(found.origin)
