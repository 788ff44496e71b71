"""Cells as tasks of a Ray cluster on this machine: a lost worker costs nothing, and an end leaves nobody behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray", reason="Ray is not installed: pip install ray")

from fedward.disk import json_of
from fedward.experiments.store import RunFolder
from fedward.sweeps import SweepFolder, make_sweep, plan, run_sweep
from fedward.sweeps.ray import Ray
from tests.sweeps.test_store import SMALL, swept

# Of Ray's own: what its next versions will do with graphics cards; files and processes that it leaves to the system.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Tip. In future versions of Ray:FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc, which Linux has"),
]

WHOLE = {"rule": ["mean", "median"], "rounds": 60}
ENDLESS = {**WHOLE, "runs": [{}, {"group": "endless", "rule": "mean", "rounds": 100_000, "evaluate_every": 50}]}


def worker_of(place: Path) -> int | None:
    """The process that holds the lock of a cell."""
    try:
        return int(json_of((place / ".lock").read_bytes())["process"])
    except (OSError, ValueError, KeyError):
        return None


def told(path: Path) -> dict[str, list[dict[str, Any]]]:
    """By cell all that its records say but the time that it took; of those that are of some rounds only."""
    folder = SweepFolder(path)
    cells = [cell for cell in folder.read_head().cells if not cell.group]
    runs = {cell.key: RunFolder(folder.place(cell)).read_records().records for cell in cells}
    return {key: [{**record.to_json(), "seconds": None} for record in records] for key, records in runs.items()}


def alive(process: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text(encoding="ascii")
    except FileNotFoundError:
        return False


def below() -> set[int]:
    """Processes that this one has started, however far down."""
    found, waiting = set(), [os.getpid()]
    while waiting:
        for thread in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            try:
                children = list(map(int, thread.read_text(encoding="ascii").split()))
            except (FileNotFoundError, ProcessLookupError):
                continue
            found |= set(children)
            waiting += children
    return found


@pytest.fixture
def terminable() -> Iterator[None]:
    """SIGTERM is answered as the command line answers it."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("terminable")
def test_a_worker_is_killed_then_the_sweep_is_ended(tmp_path: Path) -> None:
    """Two whole cells, of which one loses its process, and one that never ends, in which SIGTERM comes."""
    swept(tmp_path / "quiet", **WHOLE)
    planned = plan(make_sweep({**SMALL, **ENDLESS}, name="small"), tmp_path / "ray")
    before = below()
    killed: list[int] = []
    of_ray: set[int] = set()

    def disturb(rounds: Mapping[Path, int]) -> None:
        for place, done in rounds.items():
            worker = worker_of(place)
            if not killed and worker is not None and 0 < done < 60:
                os.kill(worker, signal.SIGKILL)
                killed.append(worker)
        if killed and all(rounds.values()) and {row.status for row in planned.folder.rows()[:2]} == {"done"}:
            of_ray.update(below() - before)
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        run_sweep(planned, Ray(address="local", workers=2), on_progress=disturb)
    assert killed
    assert killed[0] not in of_ray
    assert len(of_ray) > 2
    assert {process for process in of_ray if alive(process)} == set()
    rows = planned.folder.rows()
    assert [row.status for row in rows] == ["done", "done", "waiting"]
    assert sum(row.attempts for row in rows) == 4
    assert rows[2].rounds_done > 0
    assert rows[2].seconds is not None  # the cell has ended by itself, and said so
    assert told(tmp_path / "ray") == told(tmp_path / "quiet")
    assert (tmp_path / "ray" / "sweep.csv").read_text(encoding="utf-8").count(",done,") == 2
