"""Which cells are meant: keys with the values that they must have."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..experiments.spec import RunSpec, SpecError
from ..registry.naming import MANY, did_you_mean, nearest_first
from .grammar import check_key

GROUP = "group"
_KEYS = (GROUP, *RunSpec.model_fields)


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """Keys, each with the values one of which a cell must have.

    A name alone means whatever is written with it: ``alie`` is ``alie:z=1``, too, and so is the table that says it.
    """

    wanted: Mapping[str, tuple[Any, ...]]

    @classmethod
    def of(cls, table: Any, where: str) -> Pattern:
        """Of a table, whose values may be lists.

        Raises:
            SpecError: no table, an empty one, or an unknown key.
        """
        if not isinstance(table, Mapping) or not table:
            raise SpecError(f'{where}: write which cells are meant, such as {{ rule = "krum" }}, got {table!r}')
        for key in table:
            check_key(key, where, _KEYS)
        return cls(wanted={key: tuple(listed(key, value)) for key, value in table.items()})

    @classmethod
    def of_options(cls, options: Sequence[str]) -> Pattern:
        """Of ``key=value`` as options have it; of a key that is given several times, any of the values.

        Raises:
            SpecError: not of this form, or an unknown key.
        """
        wanted: dict[str, tuple[Any, ...]] = {}
        for option in options:
            key, equals, value = option.partition("=")
            if not equals:
                raise SpecError(f"--only takes key=value, such as --only attack=alie, got {option!r}")
            check_key(key, "--only", _KEYS)
            wanted[key] = (*wanted.get(key, ()), value)
        return cls(wanted=wanted)

    def fits(self, values: Mapping[str, Any], group: str) -> bool:
        """Whether a cell with these values is meant."""
        return all(
            any(is_meant(group if key == GROUP else value_of(values, key), one) for one in among)
            for key, among in self.wanted.items()
        )

    def __str__(self) -> str:
        return ", ".join(f"{key} = {' or '.join(map(component_text, among))}" for key, among in self.wanted.items())

    def told(self, cells: Iterable[tuple[Mapping[str, Any], str]]) -> str:
        """What there is of the keys that are asked for, in words; of many values those nearest to a wrong one."""
        cells = list(cells)
        parts = []
        for key, among in self.wanted.items():
            found = [group if key == GROUP else value_of(values, key) for values, group in cells]
            there = list(dict.fromkeys(map(component_text, found)))
            wrong = next((component_text(one) for one in among if not any(is_meant(v, one) for v in found)), "")
            told = ", ".join(there) if len(there) <= MANY else nearest_first(wrong, there)
            parts.append(f"{key} is {told}{did_you_mean(wrong, there)}")
        return "; ".join(parts)


def value_of(values: Mapping[str, Any], key: str) -> Any:
    """What a cell has of a key; the default where nothing is said."""
    return values.get(key, RunSpec.model_fields[key].default)


def is_meant(value: Any, wanted: Any) -> bool:
    """Whether a value is the one that is meant: the same number, the same text, or what is written with that name."""
    text, due = component_text(value), component_text(wanted)
    if due in (text, text.partition(":")[0].strip()):
        return True
    try:
        return _number(value) == _number(wanted)
    except ArithmeticError:  # no numbers
        return False


def _number(value: Any) -> Decimal:
    """As it is written: floats do not tell large whole numbers apart, such as seeds, and end somewhere."""
    return Decimal(value if isinstance(value, int) else str(value))


def as_text(value: Any) -> str:
    """A value as text: byzantine clients as ``3,4``."""
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def component_text(value: Any) -> str:
    """A rule or an attack as text; a table of one goes by its name and arguments."""
    if not isinstance(value, Mapping):
        return as_text(value)
    arguments = ",".join(f"{key}={as_text(one)}" for key, one in value.items() if key != "name")
    return f"{value.get('name', '')}:{arguments}".rstrip(":")


def listed(key: str, value: Any) -> list[Any]:
    """The values of a key that may have several. Which clients are byzantine is one value: [3, 4]."""
    if not isinstance(value, list) or (key == "byzantine" and _clients(value)):
        return [value]
    return value


def _clients(value: Collection[Any]) -> bool:
    """Whether a list says which clients there are, and not several such lists or numbers of clients."""
    return bool(value) and all(isinstance(one, int) for one in value)


def by_reason(why: Mapping[str, str]) -> list[str]:
    """What is to be said of cells, by name: a line for each reason."""
    cells: dict[str, list[str]] = {}
    for cell, reason in why.items():
        cells.setdefault(reason, []).append(cell)
    return [f"{several_named(names)}: {reason}" for reason, names in cells.items()]


def several_named(cells: Sequence[str]) -> str:
    """Cells of which the same is to be said: the name of the only one, or how many they are and one of them."""
    return cells[0] if len(cells) == 1 else f"{len(cells)} cells, such as {cells[0]}"
