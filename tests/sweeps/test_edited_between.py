"""After an edit a table holds cells of one code alone, whichever of its cells are run anew."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from fedward.sweeps import SweepFolder, make_sweep, plan
from fedward.sweeps.work import Planned
from tests.sweeps.test_store import SMALL, swept

TEXT = "md"
RULE = "def near(G):\n    return G.median(0).values * {}\n"
TABLE = """
data = "fashion-mnist-subset"
model = "linear"
clients = 4
byzantine = 1
batch_size = 8
rounds = 1
evaluate_every = 1
rule = "nearest_mine:near"
attack = "alie"
seed = [0, 1, 2]
"""


def fedward(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "fedward", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 0, said
    return said


def test_cells_that_are_not_run_anew_after_an_edit_wait(tmp_path: Path) -> None:
    sweep = ("sweep", "mini.toml", "--trust-imports", "--out=s", "--workers=1")
    (tmp_path / "mini.toml").write_text(TABLE, encoding="utf-8")
    rule = tmp_path / "nearest_mine.py"
    rule.write_text(RULE.format(1), encoding="utf-8")
    assert "not chosen" not in fedward(tmp_path, *sweep)
    assert "nearest_mine.py" not in fedward(tmp_path, "report", "s", "-o", f"before.{TEXT}")
    rule.write_text(RULE.format(0.1), encoding="utf-8")
    # What a page shows is what there is, with a word on what it is of.
    said = fedward(tmp_path, "report", "s", "-o", f"after.{TEXT}")
    assert "3 of 3 cells were made before nearest_mine.py was edited as it is here" in said
    assert "2 cells that are not chosen are not done" in fedward(tmp_path, *sweep, "--only", "seed=0")
    with (tmp_path / "s" / "sweep.csv").open(encoding="utf-8") as file:
        assert [(line["seed"], line["status"], bool(line["best"])) for line in csv.DictReader(file)] == [
            ("0", "done", True),
            ("1", "waiting", False),
            ("2", "waiting", False),
        ]
    said = fedward(tmp_path, "report", "s", "-o", f"table.{TEXT}")
    assert "nearest_mine.py" not in said
    assert "2 runs that are not finished are not counted" in said
    assert "±" not in (tmp_path / f"table.{TEXT}").read_text(encoding="utf-8")
    rule.write_text(RULE.format(1), encoding="utf-8")  # the edit is undone, and all that was made is there again
    told, _ = json.JSONDecoder().raw_decode(fedward(tmp_path, *sweep, "--only", "seed=0", "--json"))
    assert (told["cells"][0]["status"], told["cells"][0]["attempts"], told["others_to_do"]) == ("done", 1, 0)
    assert len(told["left_over"]) == 1


def planned(path: Path, *only: str) -> Planned:
    return plan(make_sweep({**SMALL, "rule": ["mean", "median"]}, name="small"), path, only=only)


def test_of_cells_whose_data_nobody_looks_for_only_those_of_this_code_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept(tmp_path, rule=["mean", "median"])
    [mean, median] = SweepFolder(tmp_path).read_head().cells
    assert mean.code
    assert median.code
    monkeypatch.setattr("fedward.sweeps.work.key_of", lambda spec: pytest.fail("data are looked for"))
    kept = planned(tmp_path, "nobody")
    assert [head for _, head in kept.cells] == [mean, median]
    monkeypatch.setattr("fedward.sweeps.store.code_of", lambda spec: "another")
    assert [head.key for _, head in planned(tmp_path, "nobody").cells] == ["", ""]
