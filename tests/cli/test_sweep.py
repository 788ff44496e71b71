"""`fedward sweep` as a user types it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedward.cli.app import app

TABLE = """
data = "fashion-mnist-subset"
clients = 5
byzantine = 1
batch_size = 4
rounds = 2
evaluate_every = 1
rule = ["mean", "median"]
attack = ["no-attack", "alie"]
cost = 30

[profiles.short]
rounds = 1
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.toml").write_text(TABLE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def asked(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["sweep", *words])
    return result.exit_code, result.stdout, result.stderr


def test_a_dry_run_says_what_and_how_long_and_does_nothing(here: Path) -> None:
    status, said, _ = asked("mine.toml", "--dry-run", "--workers", "1")
    assert status == 0
    assert "waiting: mean under no-attack, 2 rounds" in said
    assert "4 of 4 cells to do: about 4 min of a core" in said
    assert [file.name for file in here.iterdir()] == ["mine.toml"]


def test_some_cells_then_all(here: Path) -> None:
    status, said, told = asked("mine.toml", "--only", "rule=mean", "--json", "--workers", "1")
    assert status == 0, told
    assert [cell["cell"] for cell in json.loads(said)["cells"]] == ["mean under no-attack", "mean under alie"]
    assert "2 cells to do on one process" in told
    assert "2/2 done: mean under alie" in told
    status, said, told = asked("mine.toml", "--workers", "1")
    assert status == 0
    assert "2 cells to do on one process, 2 are done" in told
    for word in ("mean", "median", "no-attack", "1 of 1", "sweep.csv"):
        assert word in said
    status, said, _ = asked("mine.toml", "--json")
    cells = json.loads(said)["cells"]
    assert [cell["attempts"] for cell in cells] == [1] * 4
    assert all(cell["attack_impact"] is not None for cell in cells if cell["attack"] != "no-attack")
    assert json.loads(said)["left_over"] == []
    assert (here / "sweeps" / "mine" / "sweep.csv").exists()


def test_a_profile_has_a_folder_of_its_own(here: Path) -> None:
    status, said, _ = asked("mine.toml", "--profile", "short", "--only", "rule=mean", "--only", "attack=alie", "--json")
    assert status == 0
    assert [cell["rounds_done"] for cell in json.loads(said)["cells"]] == [1]
    assert (here / "sweeps" / "mine-short").is_dir()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("signguard-tabel1",), "did you mean 'signguard-table1'"),
        (("none.toml",), "none.toml"),
        (("mine.toml", "--profile", "shrot"), "short"),
        (("mine.toml", "--only", "rule=krum"), "no cell has rule = krum: rule is mean, median"),
        (("mine.toml", "--only", "rule"), "key=value"),
        (("mine.toml", "--task", "4/4"), "--task takes NUMBER/COUNT"),
    ],
)
def test_what_is_wrong_is_said_with_what_is_right(words: tuple[str, ...], why: str) -> None:
    status, _, told = asked(*words)
    assert status == 2
    assert why in told


def test_the_script_for_a_cluster_is_a_script(here: Path) -> None:
    status, said, _ = asked("mine.toml", "--array", "--only", "rule=mean", "--seeds", "2")
    assert status == 0
    assert "#SBATCH --array=0-3" in said
    assert "fedward sweep mine.toml --out sweeps/mine --workers 1 --only rule=mean --seeds 2 --task" in said
    subprocess.run(["sh", "-n"], input=said, text=True, check=True)


def test_shares_are_all_cells_once() -> None:
    made = []
    for number in range(3):
        _, said, told = asked("mine.toml", "--task", f"{number}/3", "--workers", "1", "--json")
        assert json.loads(said)["failed"] == {}
        made += [line.partition(" done: ")[2] for line in told.splitlines() if " done: " in line]
    assert sorted(line.partition(" (about")[0] for line in made) == [
        "mean under alie",
        "mean under no-attack",
        "median under alie",
        "median under no-attack",
    ]


def test_help_names_what_there_is() -> None:
    result = CliRunner().invoke(app, ["sweep", "--help"])
    for option in ("--profile", "--only", "--seeds", "--workers", "--dry-run", "--array"):
        assert option in result.stdout
