"""The catalogue: every rule, mixer, attack and client algorithm by name.

A registered class is found by the command line, the configuration files, the conformance suite and the documentation
tables without further ado. Names are compared without hyphens and case, so "signguard" is "sign-guard".
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, TypeVar

from .component import Component
from .naming import unknown
from .parameters import check_parameters

C = TypeVar("C", bound=type[Component])


@dataclass(frozen=True)
class Entry:
    """A line of the catalogue."""

    name: str
    kind: str
    cls: type[Component]
    paper: str
    complexity: str
    example: Mapping[str, Any]

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return (inspect.getdoc(self.cls) or "").partition("\n")[0]

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments with their defaults; `...` where there is none."""
        return {
            f.name: f.default_factory()
            if f.default_factory is not MISSING
            else ...
            if f.default is MISSING
            else f.default
            for f in fields(self.cls)  # type: ignore[arg-type]  # registered classes are dataclasses
        }

    def build(self, **arguments: Any) -> Component:
        """An instance; arguments without a default that are not given come from the example."""
        return self.cls(**{**self.example, **arguments})

    @property
    def needs_f(self) -> bool:
        """Whether the number of byzantine clients must be told."""
        return "f" in self.arguments

    @property
    def bound(self) -> str:
        """How many clients it takes, as a formula."""
        return str(self.cls.declared.bound) if self.kind == "rule" else ""

    @property
    def history(self) -> bool:
        """Whether it remembers earlier rounds."""
        return self.cls.declared.history

    @property
    def root_data(self) -> bool:
        """Whether it needs data of the server's own."""
        return self.cls.declared.root_data

    @property
    def passes(self) -> int | None:
        """Passes over the data at most, for rules; None where it grows with n."""
        return self.cls.declared.passes if self.kind == "rule" else None


_ENTRIES: dict[str, Entry] = {}
_PACKAGE = __name__.partition(".")[0]
_PACKAGED = ("rules", "mixers", "attacks", "clients")


def _entries() -> dict[str, Entry]:
    """All lines: what comes with fedward enters itself when it is loaded, which is now at the latest."""
    for module in _PACKAGED:
        importlib.import_module(f"{_PACKAGE}.{module}")
    return _ENTRIES


def register(
    name: str, *, paper: str, complexity: str = "O(n d)", example: Mapping[str, Any] | None = None
) -> Callable[[C], C]:
    """Class decorator that puts a rule, mixer or attack into the catalogue.

    Args:
        name: kebab-case, as the command line will call it.
        paper: who and when.
        complexity: time, in n and d.
        example: values for arguments without a default, to try it with; f = 1 is understood.

    Raises:
        ValueError: the name is taken by another class.
    """

    def decorate(cls: C) -> C:
        key = _key(name)
        known = _ENTRIES if _is_packaged(cls) else _entries()  # nobody takes the name of one that is not loaded yet
        taken = known.get(key)
        if taken and (taken.cls.__module__, taken.cls.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(f"the name {name!r} is taken by {taken.cls.__module__}.{taken.cls.__qualname__}")
        defaults = {"f": 1} if "f" in getattr(cls, "__dataclass_fields__", {}) else {}
        _ENTRIES[key] = Entry(name, cls.kind, cls, paper, complexity, {**defaults, **(example or {})})
        return cls

    return decorate


def catalogue(kind: str | None = None) -> tuple[Entry, ...]:
    """Every rule, mixer and attack, or those of one kind: name, paper, statistics, bound on f, complexity."""
    found = [e for e in _entries().values() if kind in (None, e.kind)]
    return tuple(sorted(found, key=lambda e: (("rule", "mixer", "attack", "client").index(e.kind), e.name)))


def build(name: str, **arguments: Any) -> Any:
    """A rule, mixer or attack by its registry name: ``build("multi-krum", f=4)``.

    Raises:
        ValueError: unknown name or argument (the message lists the valid ones), or an argument out of its bounds.
    """
    entry = find(name)
    valid = entry.arguments
    for argument in arguments:
        if argument not in valid:
            raise ValueError(unknown(f"argument of {entry.name}", argument, list(valid)))
    missing = [a for a, default in valid.items() if default is ... and a not in arguments]
    if missing:
        example = {**entry.example, "f": 2}.get(missing[0], 2)
        raise ValueError(f"{entry.name} needs {', '.join(missing)}, for example {entry.name}:{missing[0]}={example}")
    try:
        made = entry.cls(**arguments)
        check_parameters(made)  # once more for classes whose own __post_init__ leaves it out
        return made
    except TypeError as error:  # a comparison inside found text where a number belongs
        raise ValueError(f"{entry.name} cannot take {arguments}: {error}") from error


def name_of(component: Component) -> str | None:
    """The name that `find` knows a component's class by, in any process; None if there is none.

    That is the registry name for what comes with fedward; for other classes the import path, if they have one.
    """
    cls = type(component)
    registered = next((e.name for e in _entries().values() if e.cls is cls), None)
    if _is_packaged(cls) or cls.__module__ == "__main__" or "<locals>" in cls.__qualname__:
        return registered
    return f"{cls.__module__}.{cls.__qualname__}"


def find(name: str) -> Entry:
    """The line of the catalogue with this name; an import path, ``package.module.Class``, finds any other class.

    Raises:
        ValueError: there is none; the message lists the valid names, or says what is wrong with the path.
    """
    if "." in name:
        return _imported(name)
    entry = _entries().get(_key(name))
    if entry is None:
        raise ValueError(unknown("name", name, [e.name for e in catalogue()]))
    return entry


def _imported(path: str) -> Entry:
    module, _, attribute = path.rpartition(".")
    try:
        cls = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # whatever is wrong with the module
        raise ValueError(f"cannot import {path!r}: {error}; write it like package.module.Class") from error
    if not (isinstance(cls, type) and issubclass(cls, Component) and is_dataclass(cls)):
        raise ValueError(f"{path} is not a rule, mixer or attack: a dataclass derived from one of those is needed")
    example = {"f": 1} if "f" in cls.__dataclass_fields__ else {}
    return Entry(path, cls.kind, cls, "-", "", example)


def _is_packaged(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == _PACKAGE


def _key(name: str) -> str:
    return name.replace("-", "").replace("_", "").lower()
