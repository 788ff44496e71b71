"""Two who work at one sweep: a run is done once, whatever it is called, and the last writes all into the table."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedward.experiments.pool import Counted
from fedward.experiments.store import RunFolder
from fedward.sweeps import SweepFolder, make_sweep, plan, run_sweep
from fedward.sweeps import origin as origins
from fedward.sweeps import store as stores
from fedward.sweeps import work as working
from fedward.sweeps.origin import forget_others, made_by_others
from fedward.sweeps.work import Elsewhere, Jobs, Planned, work_on
from tests.processes import PATIENCE
from tests.sweeps.test_store import SMALL, Here, swept


def planned(path: Path, **table: Any) -> Planned:
    return plan(make_sweep({**SMALL, "rule": "mean", **table}, name="small"), path)


def test_a_run_under_two_names_is_done_once_by_two_who_begin_at_once(tmp_path: Path) -> None:
    first, second = planned(tmp_path, runs=[{"group": "a"}]), planned(tmp_path, runs=[{"group": "b"}])
    taken = working.begun(first)  # both have looked before either has begun
    here = Here()
    [row] = run_sweep(second, here)
    assert row.status == "done"
    assert len(list((tmp_path / "cells").iterdir())) == 1
    assert [taken.folder.place(head).name for _, head in taken.cells] == here.done
    [row] = run_sweep(first, Here())
    assert (row.cell, row.status, row.attempts) == ("a/mean under no-attack", "done", 1)


def test_a_folder_that_was_only_taken_is_not_said_to_be_kept(tmp_path: Path) -> None:
    working.begun(planned(tmp_path, runs=[{"group": "a"}]))
    working.begun(planned(tmp_path, rule="median"))
    assert SweepFolder(tmp_path).left_over() == []


def test_whoever_comes_later_finds_the_folders_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand tasks begin at once: each waits for those before it, which must take next to no time."""
    table = {"rule": ["mean", "krum:f=1"], "byzantine": [[3], [4]]}
    first = working.begun(planned(tmp_path, **table))
    again = planned(tmp_path, **table)
    monkeypatch.setattr(SweepFolder, "_taken", None)
    assert working.begun(again) == replace(first, folder=again.folder)


def test_the_table_of_two_who_end_at_once_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One reads the cells, the other finishes one and writes the table, the first writes what it has read."""
    working.begun(planned(tmp_path, rule=["mean", "median"]))
    swept(tmp_path, rule=["mean", "median"])
    folder = SweepFolder(tmp_path)
    place = folder.place(folder.read_head().cells[1])
    whole = (place / "cell.json").read_bytes()
    (place / "cell.json").unlink()
    has_read, go_on = threading.Event(), threading.Event()
    write = stores.write_rows

    def slow(rows: Any, path: Path) -> Any:
        if threading.current_thread() is early:
            has_read.set()
            go_on.wait(timeout=1)
        return write(rows, path)

    monkeypatch.setattr(stores, "write_rows", slow)
    early = threading.Thread(target=SweepFolder(tmp_path).write_table)
    early.start()
    assert has_read.wait(timeout=PATIENCE)
    (place / "cell.json").write_bytes(whole)
    SweepFolder(tmp_path).write_table()
    go_on.set()
    early.join(timeout=PATIENCE)
    with (tmp_path / "sweep.csv").open(encoding="utf-8") as file:
        assert [line["status"] for line in csv.DictReader(file)] == ["done", "done"]


def test_a_lock_that_is_not_seen_from_here_is_asked_for_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OnAnotherMachine:
        def __init__(self) -> None:
            self.refused = 0

        def work(self, jobs: Jobs, *, on_progress: Callable[[Any], None], on_done: Any) -> None:
            for place, job in jobs.items():
                self.refused += 1
                on_done(place, Elsewhere() if self.refused < 4 else work_on(*job))

    slept: list[float] = []
    seen: list[int] = []
    monkeypatch.setattr(working.time, "sleep", slept.append)
    [row] = run_sweep(planned(tmp_path), OnAnotherMachine(), on_progress=lambda rounds: seen.append(len(rounds)))
    assert row.status == "done"
    assert slept == [1.0, 1.0, 1.0]
    assert seen == [1, 1, 1]


def test_only_what_the_others_have_left_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = {"rule": ["mean", "median"]}
    tried: list[int] = []

    class Busy(Here):
        def work(self, jobs: Jobs, *, on_progress: object, on_done: Any) -> None:
            tried.append(len(jobs))
            if len(tried) > 1:
                super().work(jobs, on_progress=on_progress, on_done=on_done)
                return
            for place in jobs:
                on_done(place, Elsewhere())

    held = ["mean", "median", "median"]
    monkeypatch.setattr(working.time, "sleep", lambda _: held.pop(0))
    monkeypatch.setattr(working, "is_locked", lambda place: any(place.name.startswith(name) for name in held))
    run_sweep(planned(tmp_path, **table), Busy())
    assert tried == [2, 1, 1]


def test_cells_are_counted_while_somebody_works_at_them_and_somebody_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = {"rule": ["mean", "median"]}
    counted: list[str] = []

    class OneBusy(Here):
        """The cell of the mean is done here, that of the median by somebody else, who leaves it at last."""

        def work(self, jobs: Jobs, *, on_progress: Callable[[Any], None] | None, on_done: Any) -> None:
            far = None if on_progress is None else Counted(working.rounds_in, jobs)
            for place, job in jobs.items():
                on_done(place, work_on(*job) if len(jobs) == 1 or "mean" in place.name else Elsewhere())
            if far is not None and on_progress is not None:
                on_progress(far.now(jobs))

    locked = [True, True, True, False]
    count = working.rounds_in
    monkeypatch.setattr(working.time, "sleep", lambda _: None)
    monkeypatch.setattr(working, "is_locked", lambda place: locked.pop(0))
    monkeypatch.setattr(working, "rounds_in", lambda place: counted.append(place.name) or count(place))
    run_sweep(planned(tmp_path / "silent", **table), OneBusy())
    assert (counted, locked) == ([], [])
    locked[:] = [True, True, True, False]
    seen: list[list[int]] = []
    run_sweep(planned(tmp_path / "told", **table), OneBusy(), on_progress=lambda far: seen.append([*far.values()]))
    assert seen == [[2, 0]] * 5 + [[2, 2]]
    assert sum("mean" in name for name in counted) == 1
    assert sum("median" in name for name in counted) >= 5


def test_cells_of_other_versions_count_and_are_told_and_made_anew_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept(tmp_path, rule=["mean", "median"])
    now = planned(tmp_path, rule=["mean", "median"])
    assert made_by_others(now) == {}
    place = now.folder.place(now.cells[0][1])
    head = json.loads(RunFolder(place).head.read_text(encoding="utf-8"))
    head["versions"] |= {"torch": "1.0.0", "numba": None}
    RunFolder(place).head.write_text(json.dumps(head), encoding="utf-8")
    assert now.jobs() == {}
    ours = {**origins.versions(), "numba": "0.60"}
    monkeypatch.setattr(origins, "versions", lambda: ours)
    assert made_by_others(now)[place] == "torch 1.0.0, no numba"
    monkeypatch.undo()
    forget_others(now)
    assert list(now.jobs()) == [place]
    rows, _ = swept(tmp_path, rule=["mean", "median"])
    assert [row.attempts for row in rows] == [1, 1]
    assert made_by_others(now) == {}
