"""The example of a component whose name alone is not enough can be typed as it stands."""

from __future__ import annotations

import re

import pytest

from fedward.registry.component import Component
from fedward.registry.entries import Entry, catalogue
from fedward.registry.notation import parse

LACKING = [
    entry
    for entry in catalogue(packaged=True)
    if entry.is_component and any(default is ... for default in entry.arguments.values())
]


@pytest.mark.parametrize("entry", LACKING, ids=lambda entry: entry.name)
def test_the_example_in_the_message_is_understood(entry: Entry) -> None:
    with pytest.raises(ValueError, match=f"{entry.name} needs .*, for example ") as refused:
        parse(entry.name, entry.kind)
    text = str(refused.value).split("for example ")[1]
    assert re.match(rf"{entry.name}:", text)
    assert isinstance(parse(text, entry.kind), Component)
