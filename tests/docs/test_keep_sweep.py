"""A sweep becomes a folder of results, whose rows count on the page of reproduction and have an age."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fedward.experiments.versions import code, commit
from fedward.sweeps import SweepFolder
from tests.sweeps.test_store import swept

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install matplotlib")

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(scope="module")
def scripts() -> Iterator[dict[str, ModuleType]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        import ages
        import keep_sweep
        import make_reproduction

        yield {"ages": ages, "keep": keep_sweep, "page": make_reproduction}


def rows_in(folder: Path) -> list[dict[str, Any]]:
    with (folder / "sweep.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_what_is_done_is_kept_and_counts(scripts: dict[str, ModuleType], tmp_path: Path) -> None:
    keep, ages = scripts["keep"], scripts["ages"]
    swept(tmp_path / "s", rule=["mean", "median"], lr=[0.05, 0.1])
    folder = SweepFolder(tmp_path / "s")
    cells = folder.read_head().cells
    (folder.place(cells[0]) / "cell.json").rename(tmp_path / "aside")
    place = tmp_path / "results" / "s"
    files = keep.kept(folder.path, place)
    names = {"sweep.csv", "table" + ".md", "by-lr.svg", "curves.svg"}
    assert {file.name for file in files} | {"sweep.parquet"} == names | {"sweep.parquet"}
    assert [row["cell"] for row in rows_in(place)] == [cell.name for cell in cells[1:]]

    found = scripts["page"].all_found(tmp_path / "results")
    assert sorted(one.row.cell for seeds in found.values() for one in seeds.values()) == sorted(
        cell.name for cell in cells[1:]
    )
    experiment = ages.read("s", tmp_path / "results")
    assert [part.code for part in ages.parts(experiment)] == [code()]
    assert ages.verdict(experiment).kind == ("" if commit() else "wrong")  # outside of a checkout nobody knows it
    text = (place / "sweep.csv").read_text(encoding="utf-8")
    (place / "sweep.csv").write_text(text.replace(code(), "0123456789ab", 1), encoding="utf-8")
    # Some of it is older; the keys of its cells say that they go together all the same.
    assert ages.verdict(experiment).kind == ("older" if commit() else "wrong")

    (tmp_path / "aside").rename(folder.place(cells[0]) / "cell.json")
    keep.kept(folder.path, place)
    assert len(rows_in(place)) == 4


def test_nothing_that_is_kept_is_lost_without_a_word(scripts: dict[str, ModuleType], tmp_path: Path) -> None:
    keep = scripts["keep"]
    swept(tmp_path / "s", rule=["mean", "median"])
    place = tmp_path / "results" / "s"
    keep.kept(tmp_path / "s", place)
    swept(tmp_path / "s", rule="mean")
    with pytest.raises(SystemExit, match=r"has cells that are not done in .*: median under no-attack; finish"):
        keep.kept(tmp_path / "s", place)
    assert len(rows_in(place)) == 2
    keep.kept(tmp_path / "s", place, anew=True)
    assert len(rows_in(place)) == 1
    (place / "experiment.toml").touch()
    with pytest.raises(SystemExit, match="--name"):
        keep.kept(tmp_path / "s", place)
    (tmp_path / "empty" / "cells").mkdir(parents=True)
    (tmp_path / "empty" / "sweep.json").write_text('{"format": 1, "name": "e", "title": "e", "cells": []}')
    with pytest.raises(SystemExit, match="no cell is done yet"):
        keep.kept(tmp_path / "empty", place)
