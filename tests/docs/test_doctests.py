"""The examples in docstrings are run, and print what stands there."""

from __future__ import annotations

import doctest
import importlib
import inspect
from pathlib import Path

import pytest
import torch

import fedward as fw

SOURCES = Path(fw.__file__).parent
MODULES = sorted(
    ".".join(("fedward", *file.relative_to(SOURCES).with_suffix("").parts))
    for file in SOURCES.rglob("*.py")
    if "    >>> " in file.read_text(encoding="utf-8")
)
# What most programs begin with.
ENTRANCES = (
    fw.Aggregator,
    fw.Rule,
    fw.Simulation,
    fw.build,
    fw.catalogue,
    fw.sim.federate,
    fw.sim.load,
    fw.smallest,
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    module = importlib.import_module(name)
    outcome = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert outcome.attempted > 0
    assert outcome.failed == 0, "see the captured output"


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_entrances_have_examples(entrance: object) -> None:
    assert ">>> " in (inspect.getdoc(entrance) or "")
