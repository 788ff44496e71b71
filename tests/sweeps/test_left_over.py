"""Cells of a sweep's folder that its table no longer has are said to be what they are, with what helps."""

from __future__ import annotations

from pathlib import Path

from fedward.sweeps import make_sweep, plan
from fedward.sweeps.leftover import left_over_told
from tests.sweeps.test_edited_between import RULE, TABLE, fedward
from tests.sweeps.test_store import SMALL, swept


def told(path: Path, **table: object) -> list[str]:
    """What is said of the folder once the table is this one."""
    swept(path, **table)
    return left_over_told(plan(make_sweep({**SMALL, **table}, name="small"), path))


def test_a_table_that_is_as_it_was_has_no_left_over_cells(tmp_path: Path) -> None:
    assert told(tmp_path, rule=["mean", "median"]) == []
    assert told(tmp_path, rule=["mean", "median"]) == []


def test_of_other_settings_it_is_said_which(tmp_path: Path) -> None:
    told(tmp_path, rule=["mean", "median"])
    [said] = told(tmp_path, rule=["median", "krum:f=1"])
    assert said.startswith(
        "1 cell of this folder is kept, but not in the table: made with rule = mean (here median and krum:f=1). "
    )
    assert "give both values, or name another folder with --out" in said
    assert "edited" not in said


def test_each_reason_has_its_sentence(tmp_path: Path) -> None:
    told(tmp_path, rule=["mean", "median"])
    said = told(tmp_path, rule="median", lr=0.25)
    made_with = sorted(line.partition(" made with ")[2].partition(". ")[0] for line in said)
    assert made_with == ["lr = 0.1 (here 0.25)", "lr = 0.1 (here 0.25), rule = mean (here median)"]


def test_values_that_are_there_but_not_together_are_said_to_be_that(tmp_path: Path) -> None:
    told(tmp_path, rule=["mean", "median"], seed=[0, 1])
    said = told(tmp_path, rule=["mean", "median"], seed=[0, 1], zip=[["rule", "seed"]])
    assert len(said) == 1
    assert said[0].startswith(
        "2 cells of this folder are kept, but not in the table: their values do not come together"
    )


def test_of_other_code_the_edited_file_is_said(tmp_path: Path) -> None:
    sweep = ("sweep", "mini.toml", "--trust-imports", "--out=s", "--workers=1")
    (tmp_path / "mini.toml").write_text(TABLE.replace("[0, 1, 2]", "[0, 1]"), encoding="utf-8")
    rule = tmp_path / "nearest_mine.py"
    rule.write_text(RULE.format(1), encoding="utf-8")
    assert "of this folder" not in fedward(tmp_path, *sweep)
    rule.write_text(RULE.format(0.5), encoding="utf-8")
    said = fedward(tmp_path, *sweep)
    assert "2 cells of this folder are kept, but not in the table: made before nearest_mine.py was edited" in said
    assert "settings" not in said
