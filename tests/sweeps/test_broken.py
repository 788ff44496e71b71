"""Sweeps that somebody has broken, and two that work in one folder at once: nothing is lost, and nothing done twice."""

from __future__ import annotations

import datetime
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fedward.experiments.lock import one_writer
from fedward.experiments.pool import Failed
from fedward.experiments.spec import SpecError, make_spec
from fedward.sweeps import SweepFolder, make_sweep, plan, run_sweep
from fedward.sweeps import key as keys
from fedward.sweeps.key import key_of
from fedward.sweeps.slurm import Share
from fedward.sweeps.store import state_of, write_state
from fedward.sweeps.work import CellState, Elsewhere, Jobs, work_on
from tests.processes import started
from tests.sweeps.test_store import SMALL, Here, swept


def place_in(path: Path) -> Path:
    folder = SweepFolder(path)
    return folder.place(folder.read_head().cells[0])


@pytest.mark.parametrize("left", [0, 100])
def test_a_cell_that_is_done_but_has_lost_records_is_made_whole(left: int, tmp_path: Path) -> None:
    swept(tmp_path, rule="mean")
    records = place_in(tmp_path) / "records.jsonl"
    whole = records.read_bytes()
    records.write_bytes(whole[:left])
    assert [row.status for row in SweepFolder(tmp_path).rows()] == ["waiting"]
    rows, made = swept(tmp_path, rule="mean")
    assert len(made) == 1
    assert (rows[0].status, rows[0].rounds_done) == ("done", 2)
    assert records.read_bytes() == whole


def test_a_cell_whose_folder_is_renamed_is_in_one_share(tmp_path: Path) -> None:
    swept(tmp_path, rule="mean")
    place = place_in(tmp_path)
    write_state(place, CellState(key=json.loads((place / "cell.json").read_text(encoding="utf-8"))["key"]))
    place.rename(place.with_name("called otherwise"))
    planned = plan(make_sweep({**SMALL, "rule": "mean"}, name="small"), tmp_path)
    shares = [Share(number=number, of_all=3).of_cells(planned.jobs()) for number in range(3)]
    assert sum(map(len, shares)) == 1


def test_of_a_folder_and_its_copies_one_counts(tmp_path: Path) -> None:
    swept(tmp_path, rule="mean")
    place = place_in(tmp_path)
    for end in (" copy", "-2", "x"):
        shutil.copytree(place, place.with_name(place.name + end))
    assert list(SweepFolder(tmp_path).folders().values()) == [place.name]


def test_what_another_has_finished_is_not_called_failed(tmp_path: Path) -> None:
    class Killed:
        def work(self, jobs: Jobs, *, on_progress: object, on_done: Any) -> None:
            for place, job in jobs.items():
                work_on(*job)  # by somebody else, after the worker of this one was killed
                on_done(place, Failed(why="its process was ended from outside"))

    rows = run_sweep(plan(make_sweep({**SMALL, "rule": "mean"}, name="small"), tmp_path), Killed())
    assert [(row.status, row.error) for row in rows] == [("done", "")]


@pytest.mark.parametrize("when", [datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1, 2), datetime.time(1, 2)])
@pytest.mark.parametrize(
    ("where", "table"), [("profiles.short.rounds", "profiles"), ("tune.lr", "tune"), ("exclude.rule", "exclude")]
)
def test_dates_are_refused_with_their_place(when: Any, where: str, table: str, tmp_path: Path) -> None:
    tables = {"profiles": {"short": {"rounds": when}}, "tune": {"lr": [when]}, "exclude": [{"rule": when}]}
    with pytest.raises(SpecError, match=rf"^{where}: a date or a time is no value"):
        swept(tmp_path / "s", rule=["mean", "median"], **{table: tables[table]})
    assert not (tmp_path / "s").exists()


def test_a_runner_killed_before_it_wrote_anything_leaves_a_folder_that_is_used(tmp_path: Path) -> None:
    planned = plan(make_sweep({**SMALL, "rule": "mean"}, name="small"), tmp_path)
    place = planned.folder.place(planned.cells[0][1])
    place.mkdir(parents=True)
    (place / ".lock").write_text("{", encoding="utf-8")
    rows = run_sweep(planned, Here())
    assert [row.status for row in rows] == ["done"]
    assert [path.name for path in planned.folder.cells.iterdir()] == [place.name]


def test_a_cell_is_running_before_its_first_round_and_locked_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec({**SMALL, "rule": "mean"})
    key = key_of(spec)
    seen = []

    def look(*_: object, **__: object) -> None:
        seen.append((state_of(tmp_path / "c", key, 2).status, type(work_on(spec, tmp_path / "c", key))))
        raise KeyboardInterrupt

    monkeypatch.setattr("fedward.sweeps.work.execute_unlocked", look)
    monkeypatch.setattr("fedward.sweeps.work.one_writer", lambda place: one_writer(place, wait=0))
    with pytest.raises(KeyboardInterrupt):
        work_on(spec, tmp_path / "c", key)
    assert seen == [("running", Elsewhere)]


def test_the_key_hangs_on_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = make_spec({**SMALL, "rule": "mean"})
    before = key_of(spec)
    monkeypatch.setattr(keys, "data_checksum", lambda name, path: "other data")
    assert key_of(spec) != before


RUNNER = """
import json, sys
from pathlib import Path
from fedward.sweeps import make_sweep, plan, run_sweep
from fedward.sweeps.work import work_on

class Here:
    def work(self, jobs, *, on_progress, on_done):
        for place, job in jobs.items():
            on_done(place, work_on(*job))

run_sweep(plan(make_sweep(json.loads(sys.argv[1]), name="two"), Path("s")), Here())
"""


def test_two_runners_in_one_folder_do_every_cell_once(tmp_path: Path) -> None:
    table = json.dumps({**SMALL, "rule": ["mean", "median"], "seed": [0, 1]})
    command = [sys.executable, "-c", RUNNER, table]
    options = {"cwd": tmp_path, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with started(command, **options) as first, started(command, **options) as second:
        for process in (first, second):
            _, said = process.communicate()
            assert process.returncode == 0, said
    rows = SweepFolder(tmp_path / "s").rows()
    assert [(row.status, row.attempts, row.rounds_done) for row in rows] == [("done", 1, 2)] * 4
    assert (tmp_path / "s" / "sweep.csv").read_text(encoding="utf-8").count(",done,") == 4
