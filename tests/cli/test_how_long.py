"""What a dry run says of the time that a sweep takes where its table says nothing of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedward.cli.app import app
from fedward.sweeps import plan, read_sweep
from fedward.sweeps.store import CellState, write_state

TABLE = """
data = "fashion-mnist-subset"
model = "linear"
clients = 5
byzantine = 1
rounds = 10
rule = ["mean", "median", "krum"]
attack = "alie"
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.toml").write_text(TABLE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told() -> str:
    result = CliRunner().invoke(app, ["sweep", "mine.toml", "--dry-run", "--workers", "2"])
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()[-1]


def done(places: int, seconds: float) -> None:
    """As if so many cells had been carried out."""
    planned = plan(read_sweep(Path("mine.toml")), Path("sweeps") / "mine")
    for _, head in planned.cells[:places]:
        place = planned.folder.place(head)
        write_state(place, CellState(key=head.key, status="done", seconds=seconds))
        (place / "records.jsonl").write_text("{}\n" * 10, encoding="utf-8")


def test_before_the_first_cell_nothing_is_known() -> None:
    said = told()
    assert said.startswith("3 of 3 cells to do; how long that takes is not known")
    assert "0 s" not in said


def test_what_is_done_tells_of_the_rest() -> None:
    done(1, 300.0)
    assert told() == "2 of 3 cells to do: about 10 min of a core, 5 min on 2"


def test_when_all_is_done_no_time_is_told() -> None:
    done(3, 300.0)
    assert told() == "0 of 3 cells to do"
