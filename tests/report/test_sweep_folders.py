"""A sweep's report from folders: runs that were made, settings that say anything, what was tuned."""

import json
import re
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from fedward.cli.app import app
from fedward.experiments.spec import make_spec
from fedward.report import ReportError, bibliography, read_sweep_runs
from fedward.report.sweep_exports import latex
from fedward.report.sweep_page import render_sweep
from fedward.report.sweep_table import grids
from fedward.sweeps import read_sweep
from fedward.sweeps.choices import Choice
from tests.report.runs import write_run
from tests.report.sweeps import made_up

# --- from folders ---------------------------------------------------------------------------------------------


SPEC = """
title = "Two rules"
data = "fashion-mnist-subset"
rule = ["trimmed-mean:f=1", "mean"]
attack = "alie:z=0.3"
clients = 4
byzantine = 1
seed = [0, 1]
rounds = 2
"""


@pytest.fixture
def folder(tmp_path):
    """Three runs of a sweep of four cells, one of something else, and one that cannot be read."""
    (tmp_path / "spec.toml").write_text(SPEC)
    base = {"data": "fashion-mnist-subset", "attack": "alie:z=0.3", "clients": 4, "byzantine": 1, "rounds": 2}
    for name, more in {
        "a": {"rule": "trimmed-mean:f=1"},
        "b": {"rule": "trimmed-mean:f=1", "seed": 1, "data_path": "/elsewhere"},
        "c": {"rule": "mean"},
        "other": {"rule": "median"},
    }.items():
        config = make_spec({**base, **more}).resolved()
        run = write_run(tmp_path / "runs" / "deep" / name)
        head = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps({**head, "config": config}))
    broken = write_run(tmp_path / "runs" / "broken")
    (broken / "records.jsonl").write_text("")
    return tmp_path


def test_runs_in_folders_are_the_cells_of_their_sweep(folder):
    # What an earlier version wrote lacks a key, which has its default.
    for head in (folder / "runs").rglob("run.json"):
        whole = json.loads(head.read_text())
        whole["config"].pop("batch_norm", None)
        head.write_text(json.dumps(whole))
    data = read_sweep_runs([folder / "runs"], "Runs", read_sweep(folder / "spec.toml"))
    assert grids(data)[0].keys == ()
    assert [(row.cell, row.status, row.best) for row in data.rows] == [
        ("trimmed-mean:f=1 under alie:z=0.3", "done", 0.5),
        ("mean under alie:z=0.3", "done", 0.5),
        ("trimmed-mean:f=1 under alie:z=0.3, seed 1", "done", 0.5),
        ("mean under alie:z=0.3, seed 1", "waiting", None),
    ]
    assert len(data.records) == 3
    assert "no complete round" in data.notes[0]
    assert data.notes[1] == "Runs that are no cell of spec, and not shown: 1."
    assert len(read_sweep_runs([folder / "runs"], "Runs").rows) == 4
    with pytest.raises(ReportError, match="no run folder, and none in it"):
        read_sweep_runs([folder / "spec.toml"], "")
    with pytest.raises(ReportError, match="nothing can be read of"):
        read_sweep_runs([folder / "runs" / "broken"], "")


def test_a_folder_that_names_a_module_imports_none(folder, monkeypatch):
    (folder / "evil_module.py").write_text("raise SystemExit('imported')\nclass Rule: pass\n")
    monkeypatch.syspath_prepend(str(folder))
    head = folder / "runs" / "deep" / "a" / "run.json"
    whole = json.loads(head.read_text())
    head.write_text(json.dumps({**whole, "config": {**whole["config"], "rule": "evil_module.Rule"}}))
    data = read_sweep_runs([folder / "runs"], "Runs", read_sweep(folder / "spec.toml"))
    bibliography.bibtex(read_sweep_runs([folder / "runs"], "Runs"))
    assert [row.status for row in data.rows] == ["waiting", "done", "done", "waiting"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["-o", "page.html"], "Report: page.html"),
        (["-o", "page.html", "--sweep", "spec.toml"], "Report: page.html"),
        (["-o", "table.tex", "--title", "Mine"], "Report: table.tex"),
        (["-o", "it.svg", "--figure", "bars"], "curves"),
        (["-o", "it.xyz"], "files end in"),
        (["--profile", "short"], "of which sweep? give --sweep, too"),
        (["--sweep", "signguard-table7"], "signguard-table1"),
    ],
)
def test_the_command_line_writes_what_the_ending_says(folder, monkeypatch, options, told):
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(app, ["report", "runs", *options])
    assert told in " ".join(done.output.split())
    assert (done.exit_code == 0) == told.startswith("Report")
    if "--sweep" in options and done.exit_code == 0:
        assert "Two rules" in (folder / "page.html").read_text()


@pytest.mark.parametrize("value", [{"a": [1]}, "x y", None, 1e308, -1, [], "9" * 400, "#1\0=2", True])
def test_a_folder_may_say_anything_of_its_settings(folder, value):
    """Whatever stands where a key belongs, the page is made and shows it as text."""
    head = folder / "runs" / "deep" / "a" / "run.json"
    whole = json.loads(head.read_text())
    for key in ("rule", "attack", "byzantine", "clients", "rounds", "seed", "lr", "data", "partition", "f"):
        head.write_text(json.dumps({**whole, "config": {**whole["config"], key: value}}))
        data = read_sweep_runs([folder / "runs" / "deep"], "Runs")
        assert len(data.rows) == 4
        assert "Cell by cell" in render_sweep(data)
        assert bibliography.bibtex(data)
        assert latex(data)


# --- other measures, and what was tuned -----------------------------------------------------------------------


def test_the_table_is_there_with_every_measure_that_is_known():
    data = made_up({"rule": ["mean", "median"], "attack": ["no-attack", "alie"], "seed": [0, 1]})
    page = render_sweep(data)
    shown = dict(re.findall(r'<option value="(\w+)">([\w %]+)</option>', page))
    assert shown["last"] == "last accuracy"
    assert "worst_client" not in shown  # these records say nothing of it
    last = re.search(r'<div data-measure="last" hidden>(.*?)</div>', page, re.S).group()
    [row] = (row for row in data.rows if (row.config["rule"], row.config["attack"], row.config["seed"]) == KEY)
    [other] = (one for one in data.rows if one.config == {**row.config, "seed": 1})
    assert f">{50 * (row.last + other.last):.2f} <span" in last
    impact = re.search(r'<div data-measure="attack_impact" hidden>(.*?)</div>', page, re.S).group()
    told = f"{50 * (row.measures['attack_impact'] + other.measures['attack_impact']):.2f}"
    assert f">{told} <span".replace("-", "&minus;") in impact


KEY = ("median", "alie", 0)


def test_what_was_tuned_is_shown_with_its_budget():
    choices = [
        Choice(
            contest="krum",
            purpose="clean",
            values={"lr": 0.1},
            score=0.5,
            attack="no-attack",
            candidates=2,
            trials=4,
            rounds=400,
            seconds=90.0,
        ),
        Choice(
            contest="krum",
            purpose="worst",
            values={"lr": 0.2},
            score=0.25,
            attack="alie",
            candidates=2,
            trials=4,
            rounds=400,
            seconds=90.0,
        ),
        Choice(
            contest="mean",
            purpose="clean",
            values={},
            score=0.5,
            attack="no-attack",
            candidates=1,
            trials=1,
            rounds=100,
            seconds=None,
        ),
    ]
    data = made_up({"rule": ["mean", "median"]})
    assert "<h2>Tuning</h2>" not in render_sweep(data)
    page = render_sweep(replace(data, choices=tuple(choices)))
    assert "5 trials, 500 rounds, 2 minutes of a core" in page
    for text in ("lr=0.2", "25.00", "the only candidate"):
        assert text in re.sub("<wbr>", "", page)


# --- said beside the file -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["table.html", "table.csv", "table.md", "table.tex", "table.bib", "table.svg"])
def test_what_a_file_lacks_is_said_whatever_its_format(folder, monkeypatch, name):
    monkeypatch.chdir(folder)
    head = folder / "runs" / "deep" / "b" / "run.json"
    whole = json.loads(head.read_text())
    head.write_text(json.dumps({**whole, "config": {**whole["config"], "rounds": 3}}))
    # The one that is not finished makes an axis of rounds, which has nothing to draw yet.
    figure = ["--figure", "curves"] if name.endswith(".svg") else []
    done = CliRunner().invoke(app, ["report", "runs", "-o", name, *figure])
    assert done.exit_code == 0, done.output
    assert done.stdout == f"Report: {name}\n"
    said = " ".join(done.stderr.split())
    assert said.count("Left out: runs/broken") == 1
    assert ("1 run that is not finished is not counted." in said) == name.endswith((".md", ".tex", ".svg"))


def test_a_profile_is_of_a_sweep_also_where_the_page_is_about_one_run(folder, monkeypatch):
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(app, ["report", "runs/deep/a", "--profile", "short", "-o", "p.html"])
    assert done.exit_code == 2
    assert "of which sweep? give --sweep, too" in " ".join(done.output.split())
    assert not (folder / "p.html").exists()
