"""Whatever keys and names a stranger's folder has, pages and figures show them as text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fedward.report import SweepData, write_sweep_as
from fedward.report.sweep_axes import axes_of, axis_figure
from fedward.report.sweep_page import render_sweep
from fedward.report.sweep_table import grids
from tests.report.sweeps import made_up

EVIL = '"><script>alert(1)</script><a href="x">'


def with_key(key: str) -> SweepData:
    """A sweep whose runs differ in a key of nobody's."""
    data = made_up({"rule": ["mean", "median"], "attack": ["alie", "zero"]})
    rows = [replace(row, config={**row.config, key: 0.1 * (number % 2)}) for number, row in enumerate(data.rows)]
    return SweepData(title="A sweep", rows=tuple(rows), records=data.records)


def test_the_page_takes_no_key_for_markup() -> None:
    page = render_sweep(with_key(EVIL))
    assert "<script>alert" not in page
    assert 'data-key="&quot;&gt;&lt;script&gt;' in page


def test_the_axis_of_a_figure_takes_no_key_for_markup() -> None:
    data = made_up({"rule": ["mean", "median"], "attack": ["alie"], "seed": [0, 1]})
    rows = [replace(row, config={**row.config, "seed": 0, EVIL: row.config["seed"]}) for row in data.rows]
    [grid] = grids(SweepData(title="A sweep", rows=tuple(rows)))
    [axis] = axes_of(grid)
    drawn = axis_figure(axis, "alie", axis.settings[0], axis.names, "rule")
    assert drawn is not None
    assert "<a href" not in str(drawn["layout"]["xaxis"])


@pytest.mark.parametrize("name", [r"$\nonsense$", "$a$", "$"])
def test_a_figure_for_a_paper_takes_no_name_for_a_formula(name: str, tmp_path: Path) -> None:
    data = made_up({"rule": ["mean", "median"], "attack": ["alie"]})
    rows = [replace(row, config={**row.config, "attack": name}) for row in data.rows]
    made = SweepData(title="A sweep", rows=tuple(rows), records=data.records)
    assert name in write_sweep_as(made, tmp_path / "figure.svg").read_text()


def test_rounds_and_megabytes_are_not_rounded_to_three_digits() -> None:
    data = made_up({"rule": ["mean"], "attack": ["alie"]})
    [row] = data.rows
    measures = {"rounds_to_target": 1234.0, "memory_server": 1234.56, "memory_attacker": 0.25, "worst_class": 0.5}
    page = render_sweep(SweepData(title="A sweep", rows=(replace(row, measures=measures),)))
    for shown in ("1,234", "1,235", "0.25", "50.00%"):
        assert f'<td class="number">{shown}</td>' in page
