"""Axes of rounds have whole numbers alone: there is no round 0.5, however few there are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedward.report import write_report
from fedward.report.style import round_axis
from tests.report.test_audit_page import rounds, write


@pytest.mark.parametrize("few", [1, 3])
def test_on_the_page_of_a_federation(few: int, tmp_path: Path) -> None:
    page = write_report([write(tmp_path / "audit.jsonl", *rounds(few))], tmp_path / "page.html").read_text()
    decoder = json.JSONDecoder()
    axes = [decoder.raw_decode(part)[0] for part in page.split('"xaxis":')[1:]]
    of_rounds = [axis for axis in axes if isinstance(axis, dict) and axis.get("title", {}).get("text") == "round"]
    assert of_rounds
    assert {axis.get("dtick") for axis in of_rounds} == {1}


def test_many_rounds_have_ticks_as_there_is_room() -> None:
    assert round_axis([0, 10])["dtick"] == 1
    assert "dtick" not in round_axis([1, 200])
    assert "dtick" not in round_axis([])
