"""`Whole`, `Compound`: what is made of others of its kind, and has their traits."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar

from ..registry.component import Component
from ..registry.traits import WHOLE, Traits, merged
from .plan import M
from .rule import Rule


class Whole(Component):
    """A component made of others has the traits of its parts, and those that it declares itself.

    What it adds to none at all it declares with ``declared = replace(WHOLE, root_data=True)``.
    """

    declared: ClassVar[Traits] = WHOLE

    @property
    @abstractmethod
    def parts(self) -> Sequence[Component]:
        """The components that it is made of, at least one."""

    def traits(self) -> Traits:
        return self._merged

    @cached_property  # asked in every round, and parts never change
    def _merged(self) -> Traits:
        return merged(super().traits(), *(part.traits() for part in self.parts))


class Compound(Whole, Rule[M]):
    """A rule made of rules."""

    @property
    @abstractmethod
    def parts(self) -> Sequence[Rule]:
        """The rules that it is made of, at least one."""

    def check(self, n: int) -> None:
        for part in self.parts:
            part.check(n)

    def steps(self, n: int) -> float:
        return sum(part.steps(n) for part in self.parts)

    def check_clients(self, clients: int, answers: int | None = None) -> None:
        for part in self.parts:
            part.check_clients(clients, answers)

    def check_classes(self, rows: Mapping[int | None, int]) -> None:
        super().check_classes(rows)
        for part in self.parts:
            part.check_classes(rows)
