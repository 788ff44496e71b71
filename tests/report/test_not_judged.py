"""Pages about runs of plain functions say that nobody knows whom these accepted, and show who was excluded."""

from __future__ import annotations

from pathlib import Path

from fedward.report.runs import NOT_JUDGED
from tests.report.runs import Page, page_of, record, write_run

SILENT = {"judged": False, "honest_accepted": None, "byzantine_accepted": None}


def test_in_the_place_of_rates_and_map_it_is_said_why_there_are_none(tmp_path: Path) -> None:
    page = Page(page_of(write_run(tmp_path / "a", [record(n, "1111", reasons={}, **SILENT) for n in (1, 2)])))
    assert page.text.count(NOT_JUDGED) == 2
    assert not {"run-1-accepted", "run-1-clients"} & {*page.figures}
    assert "No accepted rates were recorded" not in page.text


def test_who_was_excluded_is_still_shown(tmp_path: Path) -> None:
    records = [record(1, "0111", reasons={"0": "nonfinite"}, **SILENT)]
    page = Page(page_of(write_run(tmp_path / "a", records)))
    assert "run-1-clients" in page.figures
    assert "given to the rule" in page.text
    assert NOT_JUDGED[:-1] in page.text


def test_runs_of_before_are_of_rules_that_judge(tmp_path: Path) -> None:
    page = Page(page_of(write_run(tmp_path / "a", [record(1)])))
    assert NOT_JUDGED not in page.text
    assert {"run-1-accepted", "run-1-clients"} <= {*page.figures}
