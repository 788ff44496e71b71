"""`Component`: what all classes share that the registry knows by name."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import ClassVar

from .parameters import check_parameters


class Component(ABC):
    """A place in the registry, and parameters checked when it is made."""

    kind: ClassVar[str]

    def __post_init__(self) -> None:
        check_parameters(self)


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
