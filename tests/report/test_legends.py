"""Legends of drawn figures: every name is on the page, however long names are."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest

from fedward.report import write_sweep_as
from fedward.report.sweep_figures import legend_above
from tests.report.sweeps import made_up

pytest.importorskip("matplotlib", reason="the extra figures is not installed")

MIXERS = ["arc", "bucketing:s=2", "clip-norm:radius=median", "nnm", "normalize", "sequential-bucketing:s=2"]


def test_no_name_is_cut_at_the_edges(tmp_path: Path) -> None:
    data = made_up({"rule": [f"{mixer} >> trimmed-mean" for mixer in MIXERS], "attack": ["alie", "sign-flip"]})
    drawn = write_sweep_as(data, tmp_path / "curves.svg", "curves").read_text(encoding="utf-8")
    [width] = re.findall(r'viewBox="0 0 ([\d.]+) ', drawn)
    legend = drawn[drawn.index('id="legend_1"') :]
    starts = [float(x) for x in re.findall(r'<text [^>]*x="([-\d.]+)"', legend)]
    texts = [unescape(text) for text in re.findall(r"<text [^>]*>([^<]*)</text>", legend)]
    assert len(starts) == len(texts) == len(MIXERS)
    assert min(starts) >= 0
    narrow = 4.0  # points that a letter of 8 points takes at least, on average
    assert max(x + narrow * len(text) for x, text in zip(starts, texts, strict=True)) <= float(width)


@pytest.mark.parametrize("letters", [5, 30, 60, 300])
@pytest.mark.parametrize("names", [1, 3, 12])
def test_a_legend_is_as_wide_as_the_page_at_most(letters: int, names: int) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(7, 2))
    FigureCanvasAgg(drawing)
    lines = [drawing.subplots().plot([0, 1])[0] for _ in range(names)]
    told = [("mean " * letters)[:letters] for _ in range(names)]
    height = legend_above(drawing, lines, told, loc="upper center", fontsize=8)
    [legend] = drawing.legends
    extent = legend.get_window_extent()
    assert extent.x0 >= 0
    assert extent.x1 <= drawing.bbox.width
    assert height == pytest.approx(extent.height / drawing.dpi)
