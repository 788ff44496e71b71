"""The catalogue: whatever has a name, by name.

That are rules, mixers, attacks, client algorithms, data sets, partitions, models, the server's optimisers and schedules
of learning rates. What is registered is found by the command line, the configuration files, the conformance suite and
the tables of the documentation. Names are compared without hyphens and case, so "signguard" is "sign-guard".
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, is_dataclass, replace
from functools import cache
from typing import Any, TypeVar

from ..failures import MakerError, MendableError, own_fault, place_in
from .component import Component, undecorated
from .docstrings import Docstring, docstring_of
from .functions import Ready, ready
from .imports import found_at
from .naming import article, listing, spoken, unknown
from .parameters import Parameter, check_parameters, check_value, parameters_of
from .traits import Traits

M = TypeVar("M", bound=Callable[..., Any])

KINDS = ("rule", "mixer", "attack", "client", "data set", "partition", "model", "server", "schedule")
"""What can have a name."""
_DERIVED = ("rule", "mixer", "attack", "client", "server", "schedule")
"""Kinds that are classes derived from fedward's own; the others may be any class or function."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A line of the catalogue.

    Attributes:
        name: in kebab-case.
        kind: one of `KINDS`.
        cls: the class, or the function, that makes it.
        paper: who and when.
        complexity: time, in n and d.
        example: values for parameters without a default.
        aliases: other names for it with some parameters chosen, by name.
        preset: the parameters that are chosen, in the line that an alias finds.
    """

    name: str
    kind: str
    cls: Any
    paper: str
    complexity: str
    example: Mapping[str, Any]
    aliases: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    preset: Mapping[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return self.doc.summary

    @property
    def doc(self) -> Docstring:
        """The docstring, taken apart."""
        return docstring_of(self.cls)

    @property
    def packaged(self) -> bool:
        """Whether it comes with fedward."""
        return _is_packaged(self.cls)

    @property
    def is_component(self) -> bool:
        """Whether it is a class that checks its parameters itself."""
        return isinstance(self.cls, type) and issubclass(self.cls, Component)

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """What it takes, by name."""
        return parameters_of(self.cls)

    @property
    def arguments(self) -> dict[str, Any]:
        """Parameters with their defaults; `...` where there is none."""
        return {name: parameter.default for name, parameter in self.parameters.items()}

    def build(self, **arguments: Any) -> Any:
        """An instance; arguments without a default that are not given come from the example."""
        return self.cls(**{**self.example, **self.preset, **arguments})

    def checked(self, arguments: Mapping[str, Any], shown: Callable[[Any], str] = repr) -> dict[str, Any]:
        """Arguments as they are kept, those of an alias among them, if nothing is wrong with any of them by itself.

        Args:
            arguments: by name.
            shown: how a message writes values for those that are missing.

        Raises:
            ValueError: an unknown argument (the message lists the valid ones), one that must be given and is not, or
                one that is not what its annotation says.
        """
        valid = self.parameters
        arguments = {**self.preset, **arguments}
        for argument in arguments:
            if argument not in valid:
                raise ValueError(unknown(f"argument of {self.name}", argument, valid, listing(self.kind)))
        missing = [name for name, p in valid.items() if p.default is ... and name not in arguments]
        if missing:
            example = {**dict.fromkeys(missing, 2), **self.example, "f": 2}
            names = [*missing, *(name for name in self.example if name not in {*missing, *arguments})]
            given = ",".join(f"{name}={shown(example[name])}" for name in names)
            raise ValueError(f"{self.name} needs {', '.join(missing)}, for example {self.name}:{given}")
        if self.is_component:
            return arguments  # it checks them itself, after what its constructor makes of them
        return {name: check_value(self.name, name, v, valid[name].takes) for name, v in arguments.items()}

    def make(self, arguments: Mapping[str, Any], shown: Callable[[Any], str] = repr) -> Any:
        """What it makes of arguments, which messages write like this.

        Raises:
            ValueError: as `checked`, and what the class or function itself refuses.
        """
        given = self.checked(arguments, shown)
        try:
            made = self.cls(**given)
        except (TypeError, ValueError, OSError) as error:
            told = own_fault(error)
            if isinstance(error, TypeError) and given:  # a comparison inside found text where a number belongs
                raise ValueError(f"{self.name} cannot take {given}: {told or error}") from error
            if not told and not (self.is_component or isinstance(error, MendableError)) and (place := place_in(error)):
                told = f"{error} ({place})"  # fedward refused what it was called with in there
            if not told:
                raise
            raise MakerError(f"{self.name}: {told}") from error
        if isinstance(made, Component):
            check_parameters(made)  # once more for classes whose own __post_init__ leaves it out
        return made

    @property
    def needs_f(self) -> bool:
        """Whether the number of byzantine clients must be told."""
        return "f" in self.arguments

    @property
    def bound(self) -> str:
        """How many clients it takes, as a formula."""
        return str(self._declared.bound) if self.kind == "rule" else ""

    @property
    def definition(self) -> str:
        """How many its formula itself takes, with ``bound="definition"``, where its theorem needs more."""
        return str(self._declared.definition or "")

    @property
    def history(self) -> bool:
        """Whether it remembers earlier rounds."""
        return self._declared.history

    @property
    def root_data(self) -> bool:
        """Whether it needs data of the server's own."""
        return self._declared.root_data

    @property
    def passes(self) -> int | None:
        """Passes over the data at most, for rules; None where it grows with n."""
        return self._declared.passes if self.kind == "rule" else None

    @property
    def _declared(self) -> Traits:
        return self.cls.declared if self.is_component or isinstance(self.cls, Ready) else Traits()


_ENTRIES: dict[str, Entry] = {}
_ALIASES: dict[str, Entry] = {}
"""What aliases find; in no list, since each is in the line of what it is short for."""
_PACKAGE = __name__.partition(".")[0]
_PACKAGED = ("rules", "mixers", "attacks", "training", "clients", "data", "models", "sim")


def _entries() -> dict[str, Entry]:
    """All lines: what comes with fedward enters itself when it is loaded, which is now at the latest."""
    _load_packaged()
    return _ENTRIES


@cache
def _load_packaged() -> None:
    for name in _PACKAGED:
        package = importlib.import_module(f"{_PACKAGE}.{name}")
        for module in pkgutil.iter_modules(getattr(package, "__path__", ())):
            importlib.import_module(f"{package.__name__}.{module.name}")


def register(
    name: str,
    *,
    kind: str | None = None,
    paper: str = "-",
    complexity: str = "O(n d)",
    example: Mapping[str, Any] | None = None,
    aliases: Mapping[str, Mapping[str, Any]] | None = None,
) -> Callable[[M], M]:
    """Decorator that gives a class or function a name.

    Rules, mixers, attacks, client algorithms and servers are dataclasses derived from fedward's, and so tell their
    kind. Anything that returns a `fedward.data.Dataset` may be a data set, a class or function that makes a
    `torch.nn.Module` a model, a class with a method ``split`` a partition.

    Args:
        name: kebab-case, as the command line will call it.
        kind: one of `KINDS`, for what does not tell it.
        paper: who and when.
        complexity: time, in n and d.
        example: values for arguments without a default, to try it with; f = 1 is understood.
        aliases: more names, each with the arguments that it stands for: ``{"fang": {"direction": "sign"}}``. Arguments
            that are given count before those of the alias, and `describe` has the name itself.

    Raises:
        ValueError: a name is taken, or the kind is none or another.
    """

    def decorate(cls: M) -> M:
        maker = ready(cls, None) or cls
        own_kind = _kind_of(maker, kind, name)
        for taken in (name, *(aliases or {})):
            _check_free(taken, maker)
        entry = Entry(
            name=name,
            kind=own_kind,
            cls=maker,
            paper=paper,
            complexity=complexity,
            example=_example(maker, example),
            aliases=aliases or {},
        )
        _ENTRIES[_key(name)] = entry
        _ALIASES.update({_key(alias): replace(entry, preset=preset) for alias, preset in entry.aliases.items()})
        return cls

    return decorate


def _check_free(name: str, cls: Any) -> None:
    """Raise ValueError if something else has the name, or the alias."""
    known = _ENTRIES if _is_packaged(cls) else _entries()  # nobody takes the name of one that is not loaded yet
    taken = known.get(_key(name)) or _ALIASES.get(_key(name))
    if taken and _origin(taken.cls) != _origin(cls):
        raise ValueError(f"the name {name!r} is taken by {_origin(taken.cls)}")


def catalogue(kind: str | None = None, *, packaged: bool = False) -> tuple[Entry, ...]:
    """Everything that has a name, or all of one kind: name, paper, bound on f, complexity.

    Args:
        kind: one of `KINDS`.
        packaged: leave out what others have registered.

    Raises:
        ValueError: there is no such kind.

    Examples:
        >>> [entry.name for entry in catalogue("mixer", packaged=True)][:3]
        ['arc', 'bucketing', 'clip-norm']
    """
    if kind is not None and kind not in KINDS:
        raise ValueError(unknown("kind", kind, KINDS, f"{__name__}.KINDS"))
    found = [e for e in _entries().values() if kind in (None, e.kind) and (e.packaged or not packaged)]
    return tuple(sorted(found, key=lambda e: (KINDS.index(e.kind), e.name)))


def build(name: str, **arguments: Any) -> Any:
    """A rule, mixer, attack or whatever else has this name: ``build("multi-krum", f=4)``.

    Raises:
        ValueError: unknown name or argument (the message lists the valid ones), or an argument out of its bounds.

    Examples:
        >>> build("krum", f=2)
        Krum(f=2, bound='theorem')
    """
    return find(name).make(arguments)


def name_of(component: Component) -> str | None:
    """The name that `find` knows a component's class by, in any process; None if there is none.

    That is the registry name for what comes with fedward; for other classes the import path, if they have one.
    """
    cls = type(component)
    registered = next((e.name for e in _entries().values() if e.cls is cls), None)
    if _is_packaged(cls) or cls.__module__ == "__main__" or "<locals>" in cls.__qualname__:
        return registered
    return _origin(cls)


def registered(name: str) -> Entry | None:
    """The line of the catalogue with this name or alias, if somebody has registered it."""
    return _entries().get(_key(name)) or _ALIASES.get(_key(name))


def find(name: str, kind: str | None = None) -> Entry:
    """The line of the catalogue with this name; an import path, ``package.module.Class``, finds anything else.

    Args:
        name: of the catalogue, or the path.
        kind: what is looked for. Classes that tell their kind, and registered names, may be of another.

    Raises:
        ValueError: there is none; the message lists the valid names of the kind, or says what is wrong with the path.
    """
    entry = registered(name)
    if entry is not None:
        return entry
    if "." in name:
        return _imported(name, kind)
    names = [n for e in catalogue(kind) for n in (e.name, *e.aliases)]
    raise ValueError(unknown(spoken(kind or "name"), name, names, listing(kind)))


class ByName(Mapping[str, Any]):
    """What makes the things of one kind, by name."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def __getitem__(self, name: str) -> Any:
        for entry in catalogue(self._kind):
            if entry.name == name:
                return entry.cls
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (entry.name for entry in catalogue(self._kind))

    def __len__(self) -> int:
        return len(catalogue(self._kind))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._kind!r}: {', '.join(self)})"


def _imported(path: str, kind: str | None) -> Entry:
    found = found_at(path)
    try:
        found = ready(found, kind) or found
    except TypeError as error:  # a function that takes no rows
        raise ValueError(f"{path} is not {article(str(kind))}: {error}") from None
    if kind is None and inspect.isroutine(found):
        raise ValueError(
            f"{path} is a function, which is a rule or an attack where one of these is asked for; it says nothing of "
            "single clients, so that it cannot stand before '>>': that takes a class, with Traits(selects=True)"
        )
    own_kind = _kind_of(found, kind, path)
    return Entry(name=path, kind=own_kind, cls=found, paper="-", complexity="", example=_example(found, None))


def _kind_of(maker: Any, kind: str | None, name: str) -> str:
    """The kind of what a class or function makes: what the class tells, else the one that is asked for."""
    if isinstance(maker, Ready) or (isinstance(maker, type) and issubclass(maker, Component) and is_dataclass(maker)):
        return str(maker.kind)
    if kind is None or kind in _DERIVED:
        wanted = article(kind) if kind else "a rule, mixer or attack"
        of_function = "fedward.rule and fedward.attack make one of a function" * inspect.isroutine(maker)
        remedy = "".join(f"; {one}" for one in (undecorated(maker), of_function) if one)
        raise ValueError(f"{name} is not {wanted}: a dataclass derived from one of those is needed{remedy}")
    if kind not in KINDS:
        raise ValueError(unknown("kind", kind, KINDS, f"{__name__}.KINDS"))
    if not (isinstance(maker, type) or inspect.isroutine(maker)):
        raise ValueError(
            f"{name} is not {article(kind)}: a class or function that makes one is needed, "
            f"got an object of class {type(maker).__name__}"
        )
    return kind


def _example(maker: Any, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Values to try it with."""
    return {**({"f": 1} if "f" in parameters_of(maker) else {}), **(given or {})}


def _origin(maker: Any) -> str:
    """The import path of a class or function."""
    return f"{maker.__module__}.{maker.__qualname__}"


def _is_packaged(maker: Any) -> bool:
    return _origin(maker).partition(".")[0] == _PACKAGE


def _key(name: str) -> str:
    return name.replace("-", "").replace("_", "").lower()
