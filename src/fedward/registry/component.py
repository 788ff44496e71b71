"""`Component`: what all classes share that the registry knows by name."""

from __future__ import annotations

import inspect
from abc import ABC
from collections.abc import Iterator, Mapping
from dataclasses import Field, fields, is_dataclass, replace
from typing import Any, ClassVar

from .parameters import check_parameters
from .traits import MERGES, Traits


class Component(ABC):
    """What rules, mixers, attacks, client algorithms, partitions and servers share.

    A place in the registry, parameters that are checked when it is made, and traits.
    """

    kind: ClassVar[str]
    # Never set here: for type checkers, to whom any component may be given to `dataclasses.replace`.
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]
    declared: ClassVar[Traits] = Traits()
    """What every component of this class has, whatever its parameters are; `traits` is what one of them has."""
    traits_as_parameters: ClassVar[frozenset[str]] = frozenset()
    """Traits that a class may have as a parameter of that name, which then counts."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse what nobody would look at.

        Raises:
            TypeError: traits that are not declared in `declared`, or traits of the parent's that it does not mention.
        """
        super().__init_subclass__(**options)
        _check_declared(cls)
        _check_nothing_lost(cls)

    def __post_init__(self) -> None:
        check_parameters(self)

    def traits(self) -> Traits:
        """What others must know of it; a class whose traits depend on parameters returns another than `declared`."""
        chosen = {name: getattr(self, name) for name in self.traits_as_parameters if hasattr(self, name)}
        return replace(self.declared, **chosen) if chosen else self.declared

    def named(self) -> tuple[str, Mapping[str, Any]] | None:
        """The import path and the arguments that it is written by; None for what is written by its class."""
        return None

    def links(self) -> tuple[Component, ...] | None:
        """The components that it is written as, with ``>>`` between them; None for what is written by its name."""
        return None


def undecorated(cls: object) -> str:
    """What to write above a component's class that is no dataclass, so that its parameters count; else nothing."""
    if not isinstance(cls, type) or not issubclass(cls, Component) or is_dataclass(cls):
        return ""
    return f"write @dataclass(frozen=True, kw_only=True) above class {cls.__name__}"


def components_within(value: object) -> Iterator[Component]:
    """A component and all those among its parameters, in lists, tuples and mappings too."""
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        for item in value:
            yield from components_within(item)
    elif isinstance(value, Component):
        yield value
        if is_dataclass(value):
            for parameter in fields(value):
                yield from components_within(getattr(value, parameter.name))


def _check_declared(cls: type[Component]) -> None:
    notes = inspect.get_annotations(cls)
    if not isinstance(cls.declared, Traits) or ("declared" in notes and "ClassVar" not in str(notes["declared"])):
        raise TypeError(f"{cls.__qualname__}: write declared = fedward.Traits(...), without an annotation")
    parameters = {name for name, note in notes.items() if "ClassVar" not in str(note)}
    allowed = parameters & cls.traits_as_parameters
    if cls.declared.definition is not None:
        allowed |= parameters & {"bound"}  # which then says which of the two it is
        if "bound" not in parameters and not hasattr(cls, "bound"):
            raise TypeError(
                f"{cls.__qualname__}: declared has a definition beside the bound, and nothing says which of the two "
                'counts: write bound: Reading = "theorem" among its parameters'
            )
    for name in MERGES:
        if name in {*vars(cls), *notes} - allowed:
            meant = "extra_passes" if (getattr(cls, "kind", ""), name) == ("mixer", "passes") else name
            raise TypeError(
                f"{cls.__qualname__}.{name} is a trait: write declared = fedward.Traits({meant}=...), and override "
                "traits() if it depends on parameters"
            )


def _check_nothing_lost(cls: type[Component]) -> None:
    """What a class declares takes the place of all that its parent declares, so what the parent has is said again."""
    parent = next(base for base in cls.__mro__[1:] if "declared" in vars(base))
    inherited: Traits = vars(parent)["declared"]
    lost = [
        name
        for name in MERGES
        if name not in cls.declared.given and getattr(cls.declared, name) != getattr(inherited, name)
    ]
    if lost:
        raise TypeError(
            f"{cls.__qualname__}: declared says nothing of {', '.join(lost)}, which {parent.__qualname__} declares: "
            f"write declared = dataclasses.replace({parent.__qualname__}.declared, ...), or say what it is here"
        )
