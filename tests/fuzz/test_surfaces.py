"""The short run of every fuzzer. ``pytest tests/fuzz --hypothesis-profile=nightly`` is the long one."""

from __future__ import annotations

import pytest

from tests.fuzz.table import Surface, surfaces


@pytest.mark.parametrize("surface", surfaces(), ids=lambda surface: surface.name)
def test_nothing_breaks(surface: Surface) -> None:
    tried = surface.try_inputs(surface.inputs(), 0)
    assert tried.inputs >= surface.inputs()
    assert not tried.wrong
