"""The grammar of a sweep: which keys may stand where, and what they must hold."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time
from typing import Any

from ..experiments.spec import RunSpec, SpecError
from ..registry.naming import unknown
from ..sim.forms import brief

OWN = ("cost", "zip", "exclude")
"""What a table of settings may hold besides keys of a run."""
TOP = ("name", "title", "published", "tune", "profiles", "cell", "runs")
"""What only the whole table may hold."""
_LONGEST = 1_000_000_000
"""Seconds of a round, 30 years: a sum over rounds is a number as well."""


def check_table(table: Mapping[str, Any]) -> None:
    """That every key is known where it stands, and holds what it must."""
    _check_no_dates(table, "")
    settings = (*RunSpec.model_fields, *OWN)
    for key in table:
        check_key(key, "", (*settings, *TOP))
    _check_form(table, "")
    groups = table.get("runs", [])
    _check_tables("[[runs]]", groups)
    for number, group in enumerate(groups, 1):
        for key in group:
            check_key(key, f"[[runs]] {number}", (*settings, "group"))
        _check_form(group, f"[[runs]] {number}: ")
    _check_tables("[[cell]]", table.get("cell", []))
    profiles = table.get("profiles", {})
    if not isinstance(profiles, Mapping) or not all(isinstance(one, Mapping) for one in profiles.values()):
        raise SpecError("profiles: write [profiles.NAME], and below it the keys that it has in place of the others")
    for name, profile in profiles.items():
        for key in profile:
            check_key(key, f"[profiles.{name}]", (*settings, "cell", "runs"))
        _check_form(profile, f"[profiles.{name}]: ")
    if not isinstance(table.get("tune", {}), Mapping):
        raise SpecError(f"tune: write which parameters, each with its values, got {table['tune']!r}")
    if table.get("tune") == {}:
        raise SpecError("tune: nothing to choose from; give a key or rule.PARAMETER with a list of values")


def _check_form(table: Mapping[str, Any], where: str) -> None:
    """That what is no key of a run has the form that it must have."""
    check_cost(table.get("cost"), where)
    zipped = table.get("zip", [])
    if not isinstance(zipped, list) or not all(_is_bundle(keys) for keys in zipped):
        raise SpecError(f'{where}zip: lists of keys, such as [["clients", "byzantine"]], got {zipped!r}')
    keys = [key for bundle in zipped for key in bundle]
    for key in keys:
        check_key(key, f"{where}zip", tuple(RunSpec.model_fields))
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise SpecError(f"{where}zip: {', '.join(twice)} is named twice; name each key once")
    if not isinstance(table.get("exclude", []), list):
        raise SpecError(f'{where}exclude: a list of tables, such as [{{ rule = "mean" }}], got {table["exclude"]!r}')


def check_cost(cost: Any, where: str) -> None:
    """That a cost, where there is one, is a number of seconds that a round can take.

    Raises:
        SpecError: it is not.
    """
    if cost is None or (isinstance(cost, int | float) and not isinstance(cost, bool) and 0 <= cost <= _LONGEST):
        return
    raise SpecError(f"{where}cost: seconds that a round takes, one number from 0 to {_LONGEST}, got {brief(cost)}")


def _check_no_dates(value: Any, where: str) -> None:
    """That nothing is a date or a time, which TOML has, and neither a run nor JSON."""
    if isinstance(value, date | time):
        raise SpecError(f"{where}: a date or a time is no value of a setting, got {value}; write text in quotes")
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _check_no_dates(inner, f"{where}.{key}".removeprefix("."))
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_no_dates(inner, where)


def _is_bundle(keys: Any) -> bool:
    return isinstance(keys, list) and len(keys) > 1 and all(isinstance(key, str) for key in keys)


def _check_tables(what: str, value: Any) -> None:
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
        raise SpecError(f"{what}: a table each, got {value!r}")


def check_key(key: str, where: str, known: tuple[str, ...]) -> None:
    """Raise `SpecError` with the nearest known keys if it is none of them."""
    if key not in known:
        raise SpecError(f"{where}: {unknown('key', key, known, 'fedward run --help')}".removeprefix(": "))


def text_of(table: Mapping[str, Any], key: str) -> str | None:
    """One text, if the key is there."""
    value = table.get(key)
    if value is None or isinstance(value, str):
        return value
    raise SpecError(f"{key}: takes one text, got {value!r}")
