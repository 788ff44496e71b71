"""Components are values: they never change after they were made, and their parameters have names."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

import pytest

import fedward as fw
from fedward.registry.entries import Entry

COMPONENTS = [entry for entry in fw.catalogue(packaged=True) if entry.is_component]

# Documented with their main argument first: ``Maximise(attacks.IPM, over="epsilon")``, ``Schedule({0: ..., 50: ...})``.
POSITIONAL = {
    "groups": {"attacks"},
    "maximise": {"attack"},
    "random-schedule": {"attacks"},
    "schedule": {"attacks"},
}


@pytest.mark.parametrize("entry", COMPONENTS, ids=lambda entry: f"{entry.kind} {entry.name}")
def test_a_component_is_a_value(entry: Entry) -> None:
    """Frozen, so that it can be hashed, shared and named; by keyword, so that a new parameter changes no call."""
    assert is_dataclass(entry.cls)
    assert entry.cls.__dataclass_params__.frozen
    by_place = {parameter.name for parameter in fields(entry.cls) if parameter.init and not parameter.kw_only}
    assert by_place == POSITIONAL.get(entry.name, set())
