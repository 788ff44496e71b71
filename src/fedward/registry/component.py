"""`Component`: what all that the catalogue knows by name shares."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

from .parameters import check_parameters


class Component(ABC):
    """What rules, mixers and attacks share: a place in the catalogue, and parameters checked when made."""

    kind: ClassVar[str]

    def __post_init__(self) -> None:
        check_parameters(self)
