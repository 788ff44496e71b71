"""The buttons beside a figure cover nothing of it, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedward.report import load_run, render
from tests.report.browser import PROGRAM, Browser
from tests.report.test_report import record, write_run

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium on this machine")

BOXES = """[...document.querySelectorAll('.plot[data-drawn]')].filter(
  (plot) => plot.querySelector('.main-svg')
).map((plot) => {
  const box = (e) => { const b = e.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; };
  const bars = [...plot.querySelectorAll('.modebar-group')].map(box);
  return [box(plot), bars, box(plot.querySelector('.main-svg'))];
})"""


@pytest.mark.parametrize("width", [1280, 600])
def test_they_are_above_all_that_is_drawn(width: int, tmp_path: Path) -> None:
    lines = [record(k, accuracy=1 - 0.01 / k) for k in range(1, 30)]
    (tmp_path / "page.html").write_text(render([load_run(write_run(tmp_path / "run", lines))]))
    with Browser() as browser:
        browser.open(tmp_path / "page.html", width)
        browser.until("document.querySelectorAll('.plot[data-drawn] .main-svg').length >= 1", patience=60)
        browser.until("document.querySelectorAll('.modebar-group').length >= 1")
        figures = browser.run(BOXES)
        assert figures
        for plot, bars, drawn in figures:
            assert bars
            for left, top, right, bottom in bars:
                assert bottom <= drawn[1], "over what is drawn"
                assert plot[1] <= top
                assert plot[0] <= left <= right <= plot[2] + 1
