"""Run folders: what is written is what is read."""

import json
from pathlib import Path

import pytest

from fedward.experiments.pool import Failed, run_jobs
from fedward.experiments.store import Earlier, FolderError, RunFolder, RunHead
from fedward.sim import Record

RECORDS = [Record(round=k, accuracy=k / 10, accepted=(True, None, False), seconds={"attack": 0.1}) for k in (1, 2, 3)]


def test_records_are_read_as_they_were_written_and_appended(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_records(RECORDS[:2])
    with folder.records.open("a") as file:
        folder.append(file, RECORDS[2])
    assert folder.rounds == 3
    assert folder.read_records().records == tuple(RECORDS)
    assert folder.read_records().notes == ()


def test_a_head_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    earlier = (Earlier(rounds=3, versions={"code": "a", "numba": None}), Earlier(rounds=5, versions=None))
    head = RunHead(name="x", config={"rule": "mean"}, byzantine_ids=(0, 2), versions={"code": "b"}, earlier=earlier)
    folder.head.write_text(json.dumps(head.to_json()))
    assert folder.read_head() == head
    assert "earlier" not in RunHead(name="x", config={}, byzantine_ids=()).to_json()


def test_what_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with pytest.raises(FolderError, match=r"run\.json: no such file; a run folder holds"):
        folder.read_head()
    folder.head.write_text('{"format": 1, "name": "x", "config": {}, "byzantine_ids": [0], "earlier": [{}]}')
    with pytest.raises(FolderError, match=r"run\.json: earlier missing or of the wrong type; restore the file"):
        folder.read_head()


def _halved(number: int, folder: Path) -> int:
    (folder / str(number)).touch()
    return number // 2 if number % 2 == 0 else 1 // 0


def test_jobs_tell_their_progress_and_one_that_fails_stops_no_other(tmp_path: Path) -> None:
    told: list[dict[int, int]] = []

    def progress(number: int) -> int:
        return int((tmp_path / str(number)).exists())

    jobs = {number: (number, tmp_path) for number in (2, 3)}
    found = run_jobs(_halved, jobs, workers=1, progress=progress, on_progress=lambda done: told.append(dict(done)))
    assert found[2] == 1
    assert isinstance(found[3], Failed)
    assert "ZeroDivisionError" in found[3].why
    assert told[-1] == {2: 1, 3: 1}
