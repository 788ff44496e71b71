"""Two processes and one checkpoint: the second is told, before it has changed anything."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fedward.sim import LockedError
from fedward.sim.holding import Hold
from tests.processes import started
from tests.sim.test_checkpoint import simulation

ROOT = Path(__file__).parents[2]
FIRST = """
import sys
from tests.sim.test_checkpoint import simulation

for record in simulation().run(4, evaluate_every=1, checkpoint=sys.argv[1]):
    if record.round == 2:
        print("writing", flush=True)
        sys.stdin.read()
"""


@contextmanager
def another(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run in the middle, after its second round."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with started([sys.executable, "-c", FIRST, str(path)], text=True, env=environment, **pipes) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "writing\n"
        yield run


def test_a_second_process_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    with another(path) as run:
        before = path.read_bytes()
        second = simulation()
        told = rf"process {run.pid} on .* writes {re.escape(str(path))}.*: wait until it ends, or give this run another"
        with pytest.raises(LockedError, match=told):
            next(second.run(4, evaluate_every=1, checkpoint=path))
        assert second.round == 0
        assert path.read_bytes() == before
        run.communicate("")
        assert run.returncode == 0
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]
    resumed = simulation()
    list(resumed.run(5, evaluate_every=1, checkpoint=path))
    assert [record.round for record in resumed.records] == [1, 2, 3, 4, 5]


def test_a_process_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    with another(path) as run:
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert [record.round for record in simulation().run(4, evaluate_every=1, checkpoint=path)] == [3, 4]


def test_what_is_finished_is_read_without_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a folder that may only be read, where no lock can be made; to go on takes one."""
    path = tmp_path / "run.pt"
    list(simulation().run(3, evaluate_every=1, checkpoint=path))

    def refused(hold: Hold) -> None:
        raise PermissionError("no lock")

    monkeypatch.setattr(Hold, "take", refused)
    there = simulation()
    assert list(there.run(3, evaluate_every=1, checkpoint=path)) == []
    assert [record.round for record in there.records] == [1, 2, 3]
    with pytest.raises(PermissionError):
        next(simulation().run(4, evaluate_every=1, checkpoint=path))


def test_runs_of_one_process_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    first = simulation().run(4, evaluate_every=1, checkpoint=path)
    next(first)
    assert [record.round for record in simulation().run(2, evaluate_every=1, checkpoint=path)] == [2]
    first.close()
    assert [file.name for file in tmp_path.iterdir()] == ["run.pt"]
