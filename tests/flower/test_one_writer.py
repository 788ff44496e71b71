"""One run has a checkpoint and an audit at a time: a second server that is started beside the first is refused."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord
from flwr.server import SimpleClientManager
from flwr.serverapp.strategy import FedAvg

from fedward.flower import LockedError, Robust, RobustFedAvg, Screened
from fedward.flower.audit import Audit
from fedward.flower.audit_file import AuditFile
from fedward.flower.legacy import RobustFedAvg as Older
from fedward.sim import CheckpointError, locking
from tests.processes import started

from .federation import InProcess, Quadratic, floats, vector
from .test_restarts import Doubling

FIRST = """
import sys
from tests.flower.federation import InProcess, Quadratic, floats
from fedward.flower import RobustFedAvg

def wait(number, arrays):
    if number == 2:
        print("writing", flush=True)
        sys.stdin.read()

files = dict(argument.split("=") for argument in sys.argv[1:])
strategy = RobustFedAvg(rule="median", fraction_evaluate=0.0, **files)
strategy.start(InProcess(Quadratic().app), floats(), num_rounds=4, evaluate_fn=wait)
"""
ROOT = Path(__file__).parents[2]


@contextmanager
def another_server(**files: Path) -> Iterator[subprocess.Popen[str]]:
    """One in the middle of its run, after its second round."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    given = [f"{name}={path}" for name, path in files.items()]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with started([sys.executable, "-c", FIRST, *given], text=True, env=environment, **pipes) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "writing\n"
        yield server


def made(**arguments: Any) -> RobustFedAvg:
    return RobustFedAvg(rule="median", fraction_evaluate=0.0, **arguments)


def run(strategy: Any, rounds: int, **arguments: Any) -> np.ndarray:
    return vector(strategy.start(InProcess(Quadratic().app), floats(), num_rounds=rounds, **arguments).arrays)


def rounds_in(file: Path) -> list[int]:
    return [line["round"] for line in map(json.loads, file.read_text().splitlines()) if "rule" in line]


def round_saved(path: Path) -> int:
    return int(torch.load(path, weights_only=True)["round"])


@pytest.mark.parametrize("given", [["checkpoint", "audit"], ["audit"]])
def test_a_second_server_is_refused_before_anything_is_written(given: list[str], tmp_path: Path) -> None:
    files = {name: tmp_path / f"z.{name}" for name in given}
    with another_server(**files) as server:
        before = {path: path.read_bytes() for path in files.values()}
        told = rf"process {server.pid} on .* writes {re.escape(str(files[given[0]]))}.*`flwr list`.*`flwr stop RUN`"
        for strategy in (made(**files), Screened(Doubling(made(**files)))):
            with pytest.raises(LockedError, match=told):
                run(strategy, 4)
        if "checkpoint" not in files:
            with pytest.raises(LockedError, match=told):
                Older(rule="median", **files).initialize_parameters(SimpleClientManager())
        by_hand = made(**files)
        with pytest.raises(LockedError):
            by_hand.configure_train(1, by_hand.arrays or floats(), ConfigRecord(), InProcess(Quadratic().app))
        assert {path: path.read_bytes() for path in files.values()} == before
        server.communicate("")
        assert server.returncode == 0
    assert rounds_in(files["audit"]) == [1, 2, 3, 4]


def test_a_server_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    files = {"checkpoint": tmp_path / "z.pt", "audit": tmp_path / "z.jsonl"}
    with another_server(**files) as server:
        server.send_signal(signal.SIGKILL)
        server.wait()
    whole = run(made(), 4)
    np.testing.assert_array_equal(run(made(**files), 4), whole)
    assert rounds_in(files["audit"]) == [1, 2, 3, 4]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["z.jsonl", "z.pt"]


def test_a_run_that_is_over_holds_nothing(tmp_path: Path) -> None:
    """Neither does one that ended in an error, or a strategy that is gone."""
    files = {"checkpoint": tmp_path / "z.pt", "audit": tmp_path / "z.jsonl"}
    kept = made(**files)
    run(kept, 1)

    def failing(number: int, arrays: ArrayRecord) -> MetricRecord:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(made(**files), 2, evaluate_fn=failing)
    by_hand = made(**files)
    by_hand.configure_train(1, by_hand.arrays or floats(), ConfigRecord(), InProcess(Quadratic().app))
    assert sorted(path.name for path in tmp_path.glob(".*")) == [".z.jsonl.lock", ".z.pt.lock"]
    del by_hand
    assert not list(tmp_path.glob(".*"))


def test_where_another_run_has_written_since_a_start_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "z.pt"
    run(made(checkpoint=path), 2)
    early = made(checkpoint=path)
    run(made(checkpoint=path), 3)
    before = path.read_bytes()
    for strategy in (early, Screened(Doubling(early))):
        with pytest.raises(CheckpointError, match="written by another run since this strategy read or wrote it"):
            run(strategy, 5)
    assert path.read_bytes() == before
    run(made(checkpoint=path), 4)
    assert round_saved(path) == 4


@pytest.mark.filterwarnings("ignore:.*no locks on this file system")
def test_without_locks_nobody_writes_over_another_runs_rounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As reported: both resume after the same round; what either has done since is lost to neither."""

    def unlocked(*arguments: Any) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(locking.fcntl, "flock", unlocked)
    files = {"checkpoint": tmp_path / "z.pt", "audit": tmp_path / "z.jsonl"}
    run(made(**files), 2)
    second: list[RobustFedAvg] = []

    def note(number: int, arrays: ArrayRecord) -> MetricRecord:
        if number == 2:
            second.append(made(**files))
        if number == 4:
            with pytest.raises(CheckpointError, match="another run"):
                run(second[0], 5)
            run(made(**files), 6)  # a third one takes it all over, at the fourth round of the first
        return MetricRecord({"accuracy": number / 10})

    run(made(**files), 5, evaluate_fn=note)
    assert round_saved(files["checkpoint"]) == 6
    assert round_saved(tmp_path / "z-1.pt") == 5
    told = [record.getMessage() for record in caplog.records if "is not as this run left it" in record.getMessage()]
    assert any(f"from round 5 on, this one is saved in {tmp_path / 'z-1.pt'}" in text for text in told)
    assert rounds_in(files["audit"]) == [1, 2, 3, 4, 5, 6]
    assert rounds_in(tmp_path / "z-1.jsonl") == [5]


def test_lines_that_come_before_a_resumed_runs_first_are_anothers(tmp_path: Path) -> None:
    """What it was evaluated to is there already, so that a run may say nothing until its first round is over."""
    file = tmp_path / "z.jsonl"
    for resumes in (False, True):
        audit = AuditFile(file)
        audit.begin(1 if resumes else 0)
        if resumes:
            audit.append_evaluation(1, "server", {"accuracy": 0.5})
            with file.open("a") as other:
                other.writelines(json.dumps({"format": 1, "round": k, "rule": "other"}) + "\n" for k in (2, 3))
        audit.append(Audit(round=1 + resumes, rule="mean", verdicts=()))
        audit.append_evaluation(1 + resumes, "server", {"accuracy": 0.5})
    assert rounds_in(file) == [1, 2, 3]
    assert rounds_in(tmp_path / "z-1.jsonl") == [2]


@pytest.mark.parametrize("how", ["moved away", "copied", "touched"])
def test_a_checkpoint_that_somebody_moves_or_copies_is_still_this_runs(how: str, tmp_path: Path) -> None:
    path = tmp_path / "z.pt"

    def note(number: int, arrays: ArrayRecord) -> MetricRecord:
        if number == 1:
            if how != "touched":
                os.rename(path, tmp_path / "old")
            if how == "copied":
                (tmp_path / "old").with_name("z.pt").write_bytes((tmp_path / "old").read_bytes())
            if how == "touched":
                os.utime(path, (0, 0))
        return MetricRecord()

    run(made(checkpoint=path), 3, evaluate_fn=note)
    assert round_saved(path) == 3
    assert not list(tmp_path.glob("z-*"))


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06" + bytes(18), b"something else"])
def test_what_is_no_checkpoint_is_not_replaced_in_the_middle_of_a_run(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "z.pt"

    def note(number: int, arrays: ArrayRecord) -> MetricRecord:
        if number == 1:
            path.write_bytes(content)
        return MetricRecord()

    run(made(checkpoint=path), 3, evaluate_fn=note)
    assert path.read_bytes() == content
    assert round_saved(tmp_path / "z-1.pt") == 3


def test_a_checkpoint_of_an_earlier_version_is_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "z.pt"
    run(made(checkpoint=path), 2)
    saved = torch.load(path, weights_only=True)
    del saved["mark"]
    torch.save(saved, path)
    run(Robust(FedAvg(fraction_evaluate=0.0), rule="median", checkpoint=path), 3)
    assert round_saved(path) == 3
