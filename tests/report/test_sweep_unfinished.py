"""Exports for a paper count what is finished, and hold a rule against all attacks of its table."""

import io
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console

from fedward.cli.sweep_end import sweep_table
from fedward.report import ReportError, write_sweep_as
from fedward.report.sweep_exports import latex, markdown
from fedward.report.sweep_finished import finished, left_out, unfinished_told
from fedward.report.sweep_measures import MEASURES
from fedward.report.sweep_page import render_sweep
from fedward.sweeps.measures import with_impacts
from tests.report.sweeps import made_up
from tests.report.test_sweep import table_of

TABLE = {"rule": ["mean", "median"], "attack": ["no-attack", "alie"], "seed": [0, 1]}


def level(cell):
    by_attack = {"no-attack": 0.9, "alie": 0.5}
    return by_attack[cell.settings["attack"]] + 0.1 * cell.settings["seed"] * (cell.settings["rule"] == "mean")


def cells_of(text):
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {line[0]: line[1:] for line in lines[2:]}


def with_status(data, status, *cells):
    """Of these cells the runs are no more than begun; their figures are those of what there is."""
    rows = [replace(row, status=status, rounds_done=10) if row.cell in cells else row for row in data.rows]
    return replace(data, rows=tuple(with_impacts(rows)))


@pytest.mark.parametrize("status", ["running", "waiting", "failed"])
def test_an_unfinished_seed_is_no_part_of_a_mean(status):
    whole = made_up(TABLE, level)
    assert cells_of(markdown(whole))["Mean"][1] == "**55.00 ± 7.07**"
    data = with_status(whole, status, "mean under alie, seed 1")
    assert cells_of(markdown(data))["Mean"] == ["**95.00 ± 7.07**", "**50.00**"]
    assert r"Mean & \textbf{95.00 $\pm$ 7.07} & \textbf{50.00}" in latex(data)
    for text in (markdown(data), latex(data)):
        assert "over 1 to 2 seeds" in text
        assert "1 run that is not finished is not counted." in text
        assert "not finished" not in markdown(whole)


def test_a_cell_without_a_finished_run_has_no_figure_and_is_no_rival():
    data = with_status(made_up(TABLE, level), "running", "median under alie", "median under alie, seed 1")
    assert cells_of(markdown(data))["Median"][1] == "--"
    assert "2 runs that are not finished are not counted." in markdown(data)
    for measure in MEASURES:
        assert cells_of(markdown(replace(data, measure=measure.key)))["Median"][1] == "--"


def test_nothing_is_measured_by_a_mean_that_is_not_finished():
    """An attack's impact is what Mean reaches without attack less what the cell reaches: it must have reached it."""
    seeds = ["mean under no-attack", "mean under no-attack, seed 1"]
    data = with_status(made_up(TABLE, level), "running", *seeds)
    assert all(row.measures["attack_impact"] is None for row in data.rows)
    data = with_status(made_up(TABLE, level), "running", seeds[1])
    [row] = (row for row in data.rows if row.cell == "median under alie")
    assert row.measures["attack_impact"] == pytest.approx(0.4)


def test_of_a_run_that_is_there_twice_the_finished_one_counts():
    whole = made_up(TABLE, level)
    cut = [replace(row, status="running", rounds_done=10, best=0.01) for row in whole.rows]
    data = replace(whole, rows=(*cut, *whole.rows))
    assert cells_of(markdown(data)) == cells_of(markdown(whole))
    assert "not counted" not in markdown(data)


def test_figures_leave_out_what_is_not_finished(tmp_path):
    table = {"rule": ["mean", "median"], "attack": "alie", "byzantine": ["5", "10", "20"]}
    whole = made_up(table, lambda cell: 0.5)
    [cell] = (row.cell for row in whole.rows if (row.config["rule"], str(row.config["byzantine"])) == ("mean", "20"))
    gone = {
        "rows": tuple(row for row in whole.rows if row.cell != cell),
        "records": {name: records for name, records in whole.records.items() if name != cell},
    }
    for figure in ("byzantine", "curves"):
        drawn = write_sweep_as(with_status(whole, "running", cell), tmp_path / "a.svg", figure).read_bytes()
        assert drawn == write_sweep_as(replace(whole, **gone), tmp_path / "b.svg", figure).read_bytes()
        assert drawn != write_sweep_as(whole, tmp_path / "c.svg", figure).read_bytes()


def test_what_is_finished_is_as_it_was():
    data = made_up(TABLE, level)
    assert finished(data) is data
    assert unfinished_told(data) == ""


@pytest.mark.parametrize("status", ["failed", "waiting", "running"])
def test_a_run_that_has_no_round_yet_is_told_of(status):
    data = made_up(TABLE, level, left_out=("mean under alie, seed 1", "median under alie"))
    data = replace(data, rows=tuple(replace(r, status=status) if r.rounds_done == 0 else r for r in data.rows))
    assert finished(data) is data  # there is nothing to take away
    for text in (markdown(data), latex(data)):
        assert "2 runs that are not finished are not counted." in text
    assert list(left_out(data, ".svg")) == ["2 runs that are not finished are not counted."]


AXIS = {"rule": ["mean", "median"], "attack": "alie", "byzantine": ["5", "10", "20"]}


@pytest.mark.parametrize("figure", ["byzantine", None])
@pytest.mark.parametrize("steps_done", [0, 1])
def test_a_figure_of_what_is_not_finished_is_no_other_one(tmp_path, figure, steps_done):
    data = made_up(AXIS, lambda cell: 0.5 if cell.settings["byzantine"] in ["5", "10", "20"][:steps_done] else None)
    with pytest.raises(ReportError, match=r"there is nothing to draw yet; wait for finished runs .*along byzantine"):
        write_sweep_as(data, tmp_path / "it.svg", figure)
    with pytest.raises(ReportError, match=r"unknown figure 'byzantin'.*'byzantine'"):
        write_sweep_as(data, tmp_path / "it.svg", "byzantin")
    assert "By byzantine clients" not in render_sweep(data)
    if steps_done:
        assert write_sweep_as(data, tmp_path / "it.svg", "curves").exists()
    else:
        with pytest.raises(ReportError, match="nothing to draw yet; wait for the first run to be finished"):
            write_sweep_as(data, tmp_path / "it.svg", "curves")


def test_the_page_says_it_of_every_measure():
    """A cell of several seeds, of which one has nothing yet and one is not finished, says both."""
    table = {**TABLE, "seed": [0, 1, 2]}
    data = with_status(made_up(table, level, left_out=("mean under alie",)), "running", "mean under alie, seed 1")
    tables = re.findall(r'<table class="heat answer">.*?</table>', render_sweep(data), re.S)
    assert len(tables) > 3
    silent = [drawn for drawn in tables if "not finished" not in drawn]
    assert len(silent) == 2  # rounds to 85 %, which nobody reaches under this attack, and the impact of what is done
    assert "1 of 3 seeds, 1 not finished" in tables[0]


def test_the_end_of_a_sweep_counts_what_is_done():
    data = with_status(made_up(TABLE, level), "waiting", "mean under alie, seed 1")
    console = Console(width=120, file=io.StringIO())
    sweep = SimpleNamespace(axes=["rule", "attack", "seed"])
    console.print(sweep_table(sweep, data.rows))
    [line] = (line for line in console.file.getvalue().splitlines() if line.split()[:2] == ["mean", "alie"])
    assert line.split()[2:8] == ["1", "of", "2", "50.0", "%", "50.0"]


def test_points_along_an_axis_say_it():
    table = {"rule": "mean", "attack": "alie", "byzantine": ["5", "10"], "seed": [0, 1]}
    data = made_up(table, lambda cell: 0.5)
    assert "not finished" not in render_sweep(data)
    assert ", 1 of 2 seeds, 1 not finished" in render_sweep(with_status(data, "running", data.rows[-1].cell))


def test_one_of_something_is_not_several():
    text = markdown(made_up({**TABLE, "rounds": 1, "clients": 1, "byzantine": 0}, level))
    assert "1 client, byzantine 0" in text
    assert "1 round," in text + ","
    assert "1 rounds" not in text
    page = render_sweep(made_up({**TABLE, "rounds": 1, "clients": 1, "byzantine": 0}, level))
    assert "1 client &middot; 1 round" in page


# --- worst --------------------------------------------------------------------------------------------------------

UNTRIED = {
    "rule": ["mean", "median"],
    "attack": ["no-attack", "zero", "scaling"],
    "exclude": [{"rule": "mean", "attack": "scaling"}],
}


def test_a_rule_that_was_never_tried_under_an_attack_has_no_worst():
    data = made_up(UNTRIED, lambda cell: {"zero": 0.3, "scaling": 0.2}.get(cell.settings["attack"], 0.9))
    cells = cells_of(markdown(data))
    assert cells["Mean"] == ["**90.00**", "**30.00**", "--", "--"]
    assert cells["Median"][-1] == "**20.00**"
    rows = table_of(render_sweep(data))
    assert rows[1][-2:] == ["≤ 30.00zero1 missing", "\u20131 missing"]
    assert rows[2][-2:] == ["20.00scaling", "25.00"]


def test_attacks_that_go_with_a_setting_are_all_attacks_of_that_setting():
    """Other settings have attacks of their own: nobody was ever tried under those of both."""
    table = {
        "rule": ["mean", "median"],
        "byzantine": ["5", "5", "10", "10"],
        "attack": ["alie:z=0.5", "sign-flip", "alie:z=1.0", "sign-flip"],
        "zip": [["byzantine", "attack"]],
    }
    reached = {"alie:z=0.5": 0.5, "alie:z=1.0": 0.3}
    data = made_up(table, lambda cell: reached.get(cell.settings["attack"], 0.4))
    lines = [line.strip("| ").split(" | ") for line in markdown(data).splitlines() if line.startswith("|")]
    assert [(line[0], line[1], line[-1]) for line in lines[2:]] == [
        (rule, byzantine, f"**{worst}**")
        for byzantine, worst in (("5", "40.00"), ("10", "30.00"))
        for rule in ("Mean", "Median")
    ]
    assert [row[-2:] for row in table_of(render_sweep(data))[1:]] == [
        *[["40.00sign-flip", "45.00"]] * 2,
        *[["30.00alie:z=1.0", "35.00"]] * 2,
    ]
