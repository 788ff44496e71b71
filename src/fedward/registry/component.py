"""`Component`: what all that the catalogue knows by name shares."""

from __future__ import annotations

import inspect
from abc import ABC
from dataclasses import replace
from typing import Any, ClassVar

from .parameters import check_parameters
from .traits import MERGES, Traits


class Component(ABC):
    """What rules, mixers, attacks and client algorithms share.

    A place in the catalogue, parameters that are checked when it is made, and traits.
    """

    kind: ClassVar[str]
    declared: ClassVar[Traits] = Traits()
    """What every component of this class has, whatever its parameters are; `traits` is what one of them has."""
    traits_as_parameters: ClassVar[frozenset[str]] = frozenset()
    """Traits that a class may have as a parameter of that name, which then counts."""

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse what nobody would look at.

        Raises:
            TypeError: traits that are not declared in `declared`.
        """
        super().__init_subclass__(**options)
        _check_declared(cls)

    def __post_init__(self) -> None:
        check_parameters(self)

    def traits(self) -> Traits:
        """What others must know of it; a class whose traits depend on parameters returns another than `declared`."""
        chosen = {name: getattr(self, name) for name in self.traits_as_parameters if hasattr(self, name)}
        return replace(self.declared, **chosen) if chosen else self.declared

    def links(self) -> tuple[Component, ...] | None:
        """The components that it is written as, with ``>>`` between them; None for what is written by its name."""
        return None


def _check_declared(cls: type[Component]) -> None:
    notes = inspect.get_annotations(cls)
    if not isinstance(cls.declared, Traits) or ("declared" in notes and "ClassVar" not in str(notes["declared"])):
        raise TypeError(f"{cls.__qualname__}: write declared = fedward.Traits(...), without an annotation")
    parameters = {name for name, note in notes.items() if "ClassVar" not in str(note)}
    allowed = parameters & cls.traits_as_parameters
    for name in MERGES:
        if name in {*vars(cls), *notes} - allowed:
            meant = "extra_passes" if (cls.kind, name) == ("mixer", "passes") else name
            raise TypeError(
                f"{cls.__qualname__}.{name} is a trait: write declared = fedward.Traits({meant}=...), and override "
                "traits() if it depends on parameters"
            )
