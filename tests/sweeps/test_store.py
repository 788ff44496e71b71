"""The store of a sweep: what is done is skipped, what failed is told, what is killed is resumed, nothing is lost."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fedward.experiments.lock import one_writer
from fedward.experiments.spec import make_spec
from fedward.experiments.store import FolderError, RunFolder
from fedward.sweeps import Local, Row, SweepFolder, make_sweep, plan, run_sweep
from fedward.sweeps.key import code_of, key_of
from fedward.sweeps.origin import forget_all
from fedward.sweeps.work import Jobs, Outcome, begun, work_on
from tests.processes import PATIENCE

SMALL: Mapping[str, Any] = {
    "data": "fashion-mnist-subset",
    "clients": 5,
    "byzantine": 1,
    "batch_size": 4,
    "rounds": 2,
    "evaluate_every": 1,
    "attack": "no-attack",
}


class Here:
    """Cells in this process, one after another."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def work(self, jobs: Jobs, *, on_progress: object, on_done: Any) -> None:
        for place, job in jobs.items():
            self.done.append(place.name)
            on_done(place, work_on(*job))


def swept(path: Path, **table: Any) -> tuple[list[Row], list[str]]:
    engine = Here()
    sweep = make_sweep({**SMALL, **table}, name="small")
    return run_sweep(plan(sweep, path), engine), engine.done


def test_a_sweep_is_one_table_and_is_made_once(tmp_path: Path) -> None:
    rows, made = swept(tmp_path, rule=["mean", "median"], seed=[0, 1])
    assert [row.status for row in rows] == ["done"] * 4
    assert [row.rounds_done for row in rows] == [2] * 4
    assert all(row.best is not None and row.attempts == 1 for row in rows)
    assert len(made) == 4
    with (tmp_path / "sweep.csv").open(encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [(line["rule"], line["seed"], line["status"]) for line in table] == [
        ("mean", "0", "done"),
        ("median", "0", "done"),
        ("mean", "1", "done"),
        ("median", "1", "done"),
    ]
    again, made = swept(tmp_path, rule=["mean", "median"], seed=[0, 1])
    assert made == []
    assert again == rows


def test_an_edited_table_keeps_what_was_made(tmp_path: Path) -> None:
    swept(tmp_path, rule=["mean", "median"])
    rows, made = swept(tmp_path, rule=["median", "krum:f=1"])
    assert [row.cell for row in rows] == ["median under no-attack", "krum:f=1 under no-attack"]
    assert len(made) == 1
    [left] = SweepFolder(tmp_path).left_over()
    assert left.name.startswith("mean-under-no-attack")
    assert (left / "records.jsonl").exists()


def test_a_failed_cell_is_told_with_its_place_and_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, _ = swept(tmp_path, rule=["mean", "median"], partition=["iid", "k-classes:k=3"], clients=5)
    assert {row.status for row in rows} == {"done"}

    def broken(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "records.jsonl")

    monkeypatch.setattr("fedward.sweeps.work.execute_unlocked", broken)
    rows, _ = swept(tmp_path / "other", rule=["mean", "median"])
    assert [row.status for row in rows] == ["failed", "failed"]
    assert "No space left on device" in rows[0].error
    folder = SweepFolder(tmp_path / "other")
    state = json.loads((folder.place(folder.read_head().cells[0]) / "cell.json").read_text(encoding="utf-8"))
    assert "in broken" in state["trace"]
    monkeypatch.undo()
    rows, _ = swept(tmp_path / "other", rule=["mean", "median"])
    assert [(row.status, row.attempts, row.error) for row in rows] == [("done", 2, "")] * 2


def test_a_cell_that_another_works_at_is_left_to_it_and_taken_over_when_it_is_gone(tmp_path: Path) -> None:
    sweep = make_sweep({**SMALL, "rule": ["mean", "median"]}, name="small")
    planned = plan(sweep, tmp_path)
    first = planned.folder.place(planned.cells[0][1])
    seen: list[Outcome] = []
    with one_writer(first):
        ender = threading.Thread(
            target=lambda: seen.extend(run_sweep(planned, Here())),  # type: ignore[arg-type]
        )
        ender.start()
        ender.join(timeout=4)
        assert ender.is_alive()  # the other cell is done, this one is waited for
    ender.join(timeout=PATIENCE)
    assert [row.status for row in planned.folder.rows()] == ["done", "done"]
    assert [row.attempts for row in planned.folder.rows()] == [1, 1]


def test_data_that_are_not_there_are_a_failure_of_their_cells_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDWARD_DATA", str(tmp_path))
    (tmp_path / "cifar10").mkdir()
    monkeypatch.setattr("fedward.data.sources.download", None, raising=False)
    rows, made = swept(
        tmp_path / "sweep",
        rule="mean",
        runs=[
            {"group": "there"},
            {"group": "not", "data": "cifar10", "data_path": str(tmp_path), "model": "small-cnn"},
        ],
    )
    assert [row.status for row in rows] == ["done", "failed"]
    assert rows[1].key == ""
    assert "cifar10" in rows[1].error
    assert len(made) == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"format": 0}', "format 0, but this version"),
        ("[]", "no format number"),
        ("{", "not valid JSON"),
        ('{"format": 1, "name": 3}', "missing or of the wrong type"),
    ],
)
def test_a_folder_of_something_else_is_refused_and_left(text: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text(text, encoding="utf-8")
    with pytest.raises(FolderError, match=why):
        swept(tmp_path, rule="mean")
    assert (tmp_path / "sweep.json").read_text(encoding="utf-8") == text


@pytest.mark.parametrize("left", ["", "{", '{"format": 1, "name": 3}'])
def test_what_a_sweep_is_can_be_said_anew(left: str, tmp_path: Path) -> None:
    """After a power cut, say: the cells are there, and the table says the rest."""
    before, _ = swept(tmp_path, rule=["mean", "median"])
    (tmp_path / "sweep.json").write_text(left, encoding="utf-8")
    with pytest.raises(FolderError, match="run the sweep again, which goes on"):
        SweepFolder(tmp_path).rows()
    rows, made = swept(tmp_path, rule=["mean", "median"])
    assert (rows, made) == (before, [])


def test_an_empty_file_alone_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").touch()
    assert [row.status for row in swept(tmp_path, rule="mean")[0]] == ["done"]


@pytest.mark.parametrize("left", [None, "", "{"])
def test_what_is_made_anew_forgets_rounds_of_which_no_state_is_left(left: str | None, tmp_path: Path) -> None:
    swept(tmp_path, rule="mean")
    folder = SweepFolder(tmp_path)
    (cell,) = folder.read_head().cells
    state = folder.place(cell) / "cell.json"
    if left is not None:
        state.write_text(left, encoding="utf-8")
    forget_all(begun(plan(make_sweep({**SMALL, "rule": "mean"}, name="small"), tmp_path)))
    assert not [file for file in RunFolder(folder.place(cell)).files if file.exists()]
    assert [row.attempts for row in swept(tmp_path, rule="mean")[0]] == [1]


def test_a_state_that_cannot_be_read_is_no_state(tmp_path: Path) -> None:
    swept(tmp_path, rule="mean")
    folder = SweepFolder(tmp_path)
    place = folder.place(folder.read_head().cells[0])
    before = (place / "records.jsonl").read_bytes()
    (place / "cell.json").write_text("{", encoding="utf-8")
    rows, made = swept(tmp_path, rule="mean")
    assert len(made) == 1
    assert rows[0].status == "done"
    assert (place / "records.jsonl").read_bytes() == before


def test_keys_hang_on_settings_data_and_the_code_of_the_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = make_spec({**SMALL, "rule": "mean"})
    assert key_of(spec) == key_of(make_spec({**SMALL, "rule": "mean", "f": "expected"}))
    others = [
        make_spec({**SMALL, "rule": "median"}),
        make_spec({**SMALL, "rule": "mean", "seed": 1}),
        make_spec({**SMALL, "rule": "mean", "rounds": 3}),
    ]
    assert len({key_of(one) for one in (spec, *others)}) == 4
    import fedward.sweeps.key as key

    statements = key._statements
    sign = {make_spec({**SMALL, "rule": rule}).rule: code_of(make_spec({**SMALL, "rule": rule})) for rule in RULES}

    def edited(file: Path) -> str:
        return statements(file) + ("\nx = 1" if file.name == "distance.py" else "")

    monkeypatch.setattr(key, "_statements", edited)
    key._of_package.cache_clear()
    changed = {rule for rule in RULES if code_of(make_spec({**SMALL, "rule": rule})) != sign[rule]}
    key._of_package.cache_clear()
    assert changed == {"krum:f=1", "class-wise:base=(krum:f=1)"}


RULES = ("mean", "median", "krum:f=1", "class-wise:base=(krum:f=1)", "copoddos")


def test_cells_in_processes(tmp_path: Path) -> None:
    sweep = make_sweep({**SMALL, "rule": ["mean", "median"]}, name="small")
    told: list[str] = []
    rows = run_sweep(plan(sweep, tmp_path / "a"), Local(workers=1), on_done=lambda place, _: told.append(place.name))
    assert [row.status for row in rows] == ["done", "done"]
    assert len(told) == 2
    here, _ = swept(tmp_path / "b", rule=["mean", "median"])
    assert [(row.key, row.best, row.last) for row in rows] == [(row.key, row.best, row.last) for row in here]


def test_a_page_of_a_folder(tmp_path: Path) -> None:
    from fedward.report import is_sweep, read_stored, write_sweep_as

    swept(tmp_path / "s", rule=["mean", "median"], seed=[0, 1], title="Two rules")
    swept(tmp_path / "s", rule=["mean"], seed=[0, 1], title="One rule")
    assert is_sweep(tmp_path / "s")
    data = read_stored(tmp_path / "s")
    assert data.title == "One rule"
    assert [row.status for row in data.rows] == ["done", "done"]
    assert len(data.records) == 2
    assert "2 cells of an earlier table" in data.notes[0]
    page = write_sweep_as(data, tmp_path / "page.html")
    text = page.read_text(encoding="utf-8")
    assert "One rule" in text
    assert "2 cells of an earlier table" in text
    table = write_sweep_as(data, tmp_path / "table.csv").read_text(encoding="utf-8")
    assert table.count("\n") == 3


def test_a_run_is_found_whatever_it_is_called(tmp_path: Path) -> None:
    first, made = swept(tmp_path, runs=[{"group": "a", "rule": "mean"}, {"group": "b", "rule": "mean"}])
    assert len(made) == 1
    assert [row.best for row in first] == [first[0].best] * 2
    again, made = swept(tmp_path, runs=[{"group": "c", "rule": ["mean", "median"]}])
    assert len(made) == 1
    assert [row.cell for row in again] == ["c/mean under no-attack", "c/median under no-attack"]
    assert again[0].best == first[0].best
    assert SweepFolder(tmp_path).left_over() == []


def test_a_cell_that_is_done_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is written whenever a cell is done: of all others nothing is parsed again."""
    swept(tmp_path, rule=["mean", "median"])
    folder = SweepFolder(tmp_path)
    rows = folder.rows()
    monkeypatch.setattr(SweepFolder, "records", None)
    assert folder.rows() == rows
    (folder.place(folder.read_head().cells[0]) / "cell.json").unlink()
    with pytest.raises(TypeError):
        folder.rows()
