"""`Compound`: a rule made of rules, and the one place where the traits of its parts become those of the whole."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from .plan import M
from .rule import Rule


class Compound(Rule[M]):
    """A rule made of others has every trait that one of its parts has; what it adds itself, a subclass overrides."""

    @property
    @abstractmethod
    def parts(self) -> Sequence[Rule]:
        """The rules that it is made of, at least one."""

    # Class variables elsewhere; here they depend on the parts.

    @property
    def passes(self) -> int | None:  # type: ignore[override]
        known = [part.passes for part in self.parts if part.passes is not None]
        return max(known) if len(known) == len(self.parts) else None

    @property
    def history(self) -> bool:  # type: ignore[override]
        return any(part.history for part in self.parts)

    @property
    def by_client(self) -> bool:  # type: ignore[override]
        return any(part.by_client for part in self.parts)

    @property
    def root_data(self) -> bool:  # type: ignore[override]
        return any(part.root_data for part in self.parts)

    @property
    def server_rows(self) -> bool:  # type: ignore[override]
        return any(part.server_rows for part in self.parts)

    @property
    def recorded(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(dict.fromkeys(name for part in self.parts for name in part.recorded))

    @property
    def properties(self) -> frozenset[str]:  # type: ignore[override]
        return frozenset.intersection(*(part.properties for part in self.parts))

    def check(self, n: int) -> None:
        for part in self.parts:
            part.check(n)
