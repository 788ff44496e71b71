"""The table of a sweep takes whatever a cell may hold, and stops no cell."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedward.experiments.spec import RunSpec
from fedward.sweeps import Row, SweepFolder
from fedward.sweeps.rows import as_csv, columns, write_rows
from tests.sweeps.test_store import swept

CONFIG = RunSpec(rule="mean", attack="no-attack", rounds=2).model_dump()


def row(**config: Any) -> Row:
    return Row(cell="a", key="k", group="", status="done", config={**CONFIG, **config})


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ([0, 2**63 - 1], [0, 2**63 - 1]),
        ([0, 2**63], [0, 2**63]),
        ([2**64 - 1, 2**63], [2**64 - 1, 2**63]),
        ([-1, 2**63], ["-1", "9223372036854775808"]),
        ([0, 2**64], ["0", "18446744073709551616"]),
        ([0.5, 2**63], ["0.5", "9223372036854775808"]),
        ([0.5, 1], [0.5, 1.0]),
        ([[1], ["a", 2]], ["[1]", "['a', 2]"]),
        ([{}, {"a": 1}], [{"a": None}, {"a": 1}]),
        ([None, "a"], [None, "a"]),
    ],
    ids=str,
)
def test_parquet_has_every_value(values: list[Any], kept: list[Any], tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write_rows([row(seed=value) for value in values], tmp_path)
    assert parquet.read_table(tmp_path / "sweep.parquet").column("seed").to_pylist() == kept


def test_the_largest_seed_is_that_of_a_sweep_like_others(tmp_path: Path) -> None:
    rows, made = swept(tmp_path, rule=["mean", "median"], seed=2**64 - 1)
    assert ([row.status for row in rows], len(made)) == (["done", "done"], 2)


def test_a_key_of_a_later_version_has_a_column() -> None:
    rows = [row(later=1), row(), replace(row(), config={"status": "theirs", "best": 7, "rule": "mean"})]
    names = columns(rows)
    assert len(names) == len(set(names))
    first, second, third = csv.DictReader(io.StringIO(as_csv(rows)))
    assert (first["later"], second["later"]) == ("1", "")
    assert (third["status"], third["best"]) == ("done", "")


def test_a_table_that_cannot_be_written_stops_no_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: SweepFolder) -> tuple[Path, ...]:
        raise OSError("no space left")

    monkeypatch.setattr(SweepFolder, "write_table", broken)
    with pytest.raises(OSError, match="no space left"):
        swept(tmp_path, rule=["mean", "median"])
    assert [row.status for row in SweepFolder(tmp_path).rows()] == ["done", "done"]
