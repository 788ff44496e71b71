"""`fedward run` with several values of a key is a sweep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedward.cli import display, sweeping
from fedward.cli.app import app
from fedward.experiments.load import toml_table
from fedward.sweeps import SweepFolder
from fedward.sweeps.grid import has_several

ONE = """
data = "fashion-mnist-subset"
model = "linear"
clients = 4
byzantine = 1
batch_size = 4
rounds = 1
rule = "mean"
attack = "sign-flip"
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "one.toml").write_text(ONE, encoding="utf-8")
    monkeypatch.setattr(display.out, "_width", 80)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str, status: int = 0) -> tuple[str, str]:
    result = CliRunner().invoke(app, ["run", "--config", "one.toml", "--threads", "1", *words])
    assert result.exit_code == status, result.output
    return result.stdout, result.stderr


def test_it_is_a_store_a_table_and_a_report_and_resumes() -> None:
    run()
    said, told = run("--seed", "0", "--seed", "1", "--seed", "0", "--clients", "4", "--clients", "6")
    name = "fashion-mnist-subset__mean__sign-flip__model=linear__byzantine=1__rounds=1__batch_size=4__clients=4-6"
    folder = Path("runs") / f"{name}__seed=0-1"
    assert "1 cell was run before in a folder of its own, such as runs/fashion-mnist-subset__mean__sign-flip" in told
    head, *lines = said.splitlines()
    assert head.split() == ["clients", "rule", "attack", "seeds", "best", "last"]
    rows = [line.split() for line in lines if "sign-flip" in line and "±" in line]
    assert [row[:6] for row in rows] == [[n, "mean", "sign-flip", "2", "of", "2"] for n in ("4", "6")]
    assert f"Table: {folder}/sweep.csv. Page: fedward report {folder}" in said
    cells = SweepFolder(folder).read_head().cells
    assert [cell.name for cell in cells] == [
        f"mean under sign-flip, clients={n}{seed}" for seed in ("", ", seed 1") for n in (4, 6)
    ]
    again, told = run("--seed", "0", "--seed", "1", "--clients", "4", "--clients", "6", "--json")
    assert [cell["attempts"] for cell in json.loads(again)["cells"]] == [1] * 4
    assert "4 are done" not in told  # there is nothing to do, so nothing to say
    page = CliRunner().invoke(app, ["report", str(folder), "-o", "page.html"])
    assert page.exit_code == 0, page.output
    assert "seed: 0, 1" in Path("page.html").read_text(encoding="utf-8")


def test_one_that_fails_stops_no_other_and_fresh_begins_anew() -> None:
    words = ("--partition", "iid", "--partition", "degree:p=0.5", "--out", "here")
    told = json.loads(run(*words, "--json", status=1)[0])
    assert [cell["status"] for cell in told["cells"]] == ["done", "failed"]
    [(cell, why)] = told["failed"].items()
    assert "degree" in cell
    assert why
    [first] = Path("here/cells").glob("*iid*")
    before = (first / "records.jsonl").stat().st_mtime_ns
    run(*words, "--fresh", status=1)
    assert (first / "records.jsonl").stat().st_mtime_ns != before
    [alone] = CliRunner().invoke(app, ["run", "--config", "one.toml", "--out", "here"]).stderr.splitlines()
    assert "here is the folder of a sweep, and this is a single run: give it another, --out here-2" in alone


def test_one_follows_a_single_run_alone() -> None:
    assert (
        "--log tensorboard follows one run, and these are 2"
        in run("--seed", "0", "--seed", "1", "--log", "tensorboard", status=2)[1]
    )


def test_lists_and_what_only_sweeps_have_are_of_several() -> None:
    assert not has_several({"seed": 1, "byzantine": [3, 4], "rule": {"name": "krum", "f": 1}})
    for table in ({"seed": [0, 1]}, {"seed": [0]}, {"byzantine": ["3", "4"]}, {"tune": {"lr": [0.1]}}, {"zip": []}):
        assert has_several(table)


def test_a_table_of_several_is_one_for_run_too(here: Path) -> None:
    file = here / "one.toml"
    file.write_text(ONE.replace('"mean"', '["mean", "median"]') + 'title = "Two"\n', encoding="utf-8")
    sweep = sweeping.of_values({**toml_table(file), "seed": 1}, {"seed": 1}, file, trust=False)
    assert [(cell.spec.rule, cell.spec.seed) for cell in sweep.cells] == [("mean", 1), ("median", 1)]
    assert sweep.title == "Two"
    wrong = run("--rule", "maen", "--rule", "mean", status=2)[1]
    assert "Error one.toml: maen under sign-flip: unknown rule 'maen'; did you mean 'mean'?" in wrong
