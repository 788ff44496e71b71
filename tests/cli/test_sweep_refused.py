"""What `fedward sweep` refuses, in a sentence and before anything is written; and what a dry run says of the rest."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedward.cli.app import app
from fedward.data.sources import DataError
from fedward.sweeps import make_sweep, plan
from fedward.sweeps.pace import expected
from tests.sweeps.test_store import SMALL, swept

BASE = """
data = "fashion-mnist-subset"
model = "linear"
clients = 5
byzantine = 1
batch_size = 4
rounds = 2
attack = "no-attack"
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows_of(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))


def asked(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [*words])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout, " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("table", "options", "why"),
    [
        ("", (), "mine.toml: no setting at all"),
        ('title = "A title"', (), "mine.toml: no setting at all"),
        ('[[runs]]\ngroup = "a"', (), "mine.toml: no setting at all"),
        ("", ("--seeds", "2"), "mine.toml: no setting at all"),
        (f'{BASE}name = ["a"]', (), "name: takes one text"),
        (f'{BASE}published = "signguard-tabel1"', (), "published: unknown published table 'signguard-tabel1'; did you"),
        (f"{BASE}[tune]", (), "tune: nothing to choose from"),
        (BASE, ("--array", "--ray", "local"), "--array prints a script for SLURM, which has no --ray"),
        (BASE, ("--array", "--task", "0/2"), "which has no --task"),
        (BASE, ("--ray", "auto", "--workers", "2"), "leave --workers out"),
    ],
)
def test_with_a_sentence(table: str, options: tuple[str, ...], why: str, here: Path) -> None:
    (here / "mine.toml").write_text(table, encoding="utf-8")
    status, _, told = asked("sweep", "mine.toml", *options)
    assert (status, why in told) == (2, True), told
    assert [file.name for file in here.iterdir()] == ["mine.toml"]


def test_a_name_leads_nowhere_else(here: Path) -> None:
    (here / "mine.toml").write_text(f'{BASE}name = "../../elsewhere"', encoding="utf-8")
    _, said, _ = asked("sweep", "mine.toml", "--array")
    assert "--out sweeps/..-..-elsewhere " in said


def test_a_folder_of_another_format_is_no_run_that_lacks_a_file(here: Path) -> None:
    (here / "s").mkdir()
    (here / "s" / "sweep.json").write_text('{"format": 0}', encoding="utf-8")
    status, _, told = asked("report", "s")
    assert (status, "s/sweep.json: format 0, but this version of fedward reads format 1" in told) == (2, True), told


def test_a_dry_run_of_what_is_tuned_is_of_its_trials(here: Path) -> None:
    (here / "mine.toml").write_text(f'{BASE}rule = "mean"\ncost = 10\n[tune]\nlr = [0.1, 0.2]', encoding="utf-8")
    status, said, _ = asked("sweep", "mine.toml", "--dry-run", "--workers", "1")
    assert status == 0
    assert "waiting: mean under no-attack, lr=0.1, 2 rounds" in said
    assert "2 of 2 trials to do: about 40 s of a core" in said
    assert "Then 1 cell, 2 rounds in all" in said
    told = json.loads(asked("sweep", "mine.toml", "--dry-run", "--json")[1])
    assert (told["to_do"], told["cells_after_trials"], told["core_seconds"]) == (2, 1, 40)


def test_data_that_are_not_there_are_told_once(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "mine.toml").write_text(
        f'{BASE}rule = ["mean", "median"]\nseed = [0, 1]'.replace("fashion-mnist-subset", "cifar10"), encoding="utf-8"
    )
    looked: list[str] = []

    def none(name: str, path: str | None) -> str:
        looked.append(name)
        raise DataError("no pictures here")

    monkeypatch.setattr("fedward.sweeps.key.data_checksum", none)
    status, said, _ = asked("sweep", "mine.toml", "--dry-run")
    assert status == 0
    assert (said.count("no pictures here"), said.count("no data: "), looked) == (1, 4, ["cifar10"])
    assert "4 cells cannot be run before the data are there" in " ".join(said.split())
    status, said, told = asked("sweep", "mine.toml")
    assert status == 1
    assert told.count("no pictures here") == 1
    assert "Error 4 cells, such as mean under no-attack: no pictures here" in told
    rows = rows_of(here / "sweeps" / "mine" / "sweep.csv")
    assert [row["status"] for row in rows if row["error"].startswith("no pictures here")] == ["failed"] * 4


def test_a_value_that_is_wrong_for_many_cells_is_told_once(here: Path) -> None:
    table = f'{BASE}rule = ["mean", "median", "krmu"]\nseed = [0, 1, 2]'
    (here / "mine.toml").write_text(table, encoding="utf-8")
    status, _, told = asked("sweep", "mine.toml")
    assert (status, told.count("krmu'")) == (2, 1)
    assert "Error mine.toml: 3 cells, such as krmu under no-attack: unknown rule 'krmu'; did you mean 'krum'?" in told


def test_what_is_left_is_what_counts(here: Path) -> None:
    """What was measured of a group comes before what the table says, and of a cell its rounds to go."""
    table = {
        "cost": 10,
        "runs": [{"group": "a", "rule": ["mean", "median"]}, {"group": "b", "rule": "mean", "lr": 0.2}],
    }
    swept(here / "s", **table)
    whole = plan(make_sweep({**SMALL, **table}, name="small"), here / "s")
    assert expected(whole) == {}
    first, _, last = (whole.folder.place(head) for _, head in whole.cells)
    for place in (first, last):
        (place / "cell.json").unlink()
        lines = (place / "records.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        (place / "records.jsonl").write_text(lines[0], encoding="utf-8")
    [median] = (row.seconds for row in whole.folder.rows() if row.cell == "a/median under no-attack")
    assert median is not None
    assert expected(whole) == {first: pytest.approx(median / 2), last: 10}
