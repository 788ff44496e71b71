"""Pieces of work in processes: failures, kills, and ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from fedward.experiments.pool import Failed, StoppedError, run_jobs, stop_if_asked
from tests.processes import started, until

PARENT = """
import sys
from pathlib import Path
from fedward.experiments.pool import run_jobs
from tests.experiments.test_pool import wait_for_ever
if __name__ == "__main__":
    run_jobs(wait_for_ever, {number: (Path(sys.argv[1]) / str(number),) for number in range(2)}, workers=2)
"""


def piece(folder: Path, number: int) -> int:
    """A piece of work that fails, is killed once, is killed always, or is done."""
    tries = folder / str(number)
    tries.write_bytes(tries.read_bytes() + b"." if tries.exists() else b".")
    if number == 0:
        raise ValueError("no")
    if number == 1 and len(tries.read_bytes()) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def wait_for_ever(file: Path) -> None:
    try:
        while True:
            write_whole(file, str(os.getpid()))
            stop_if_asked()
            time.sleep(0.05)
    except StoppedError:
        write_whole(file, "saved")
        raise


def write_whole(file: Path, text: str) -> None:
    """Whoever looks on finds the text before or this one, never a file that was just made empty."""
    written = file.with_name(f".{file.name}")
    written.write_text(text)
    written.replace(file)


def test_neither_failures_nor_kills_cost_others_anything(tmp_path: Path) -> None:
    told: dict[int, int | Failed] = {}
    done = run_jobs(
        piece, {n: (tmp_path, n) for n in range(5)}, workers=2, on_done=lambda key, outcome: told.update({key: outcome})
    )
    failed, once, always, *others = done.values()
    assert isinstance(failed, Failed)
    assert failed.why.startswith("ValueError: no")
    assert 'raise ValueError("no")' in failed.trace
    assert once == 1
    assert isinstance(always, Failed)
    assert "ended from outside" in always.why
    assert others == [3, 4]
    assert told == done
    assert [len((tmp_path / str(n)).read_bytes()) for n in range(5)] == [1, 2, 2, 1, 1]
    assert multiprocessing.active_children() == []


def last_of(folder: Path, number: int) -> int:
    """Done at once; the last of them when the others have long been told."""
    while number == 2 and not (folder / "enough").exists():
        stop_if_asked()
        time.sleep(0.05)
    return number


def test_what_has_ended_is_looked_at_once_more_and_never_again(tmp_path: Path) -> None:
    """A run's progress is the lines of its file, which may be thousands of runs of thousands of rounds."""
    ended: set[int] = set()
    looks: Counter[int] = Counter()
    seen: list[dict[int, int]] = []

    def progress(key: int) -> int:
        looks[key] += key in ended
        return 10 * key + (key in ended)

    def on_progress(far: Mapping[int, int]) -> None:
        seen.append(dict(far))
        if {0, 1} <= ended and len(seen) > 5:
            (tmp_path / "enough").touch()

    run_jobs(
        last_of,
        {n: (tmp_path, n) for n in range(3)},
        workers=2,
        progress=progress,
        on_progress=on_progress,
        on_done=lambda key, _: ended.add(key),
    )
    assert looks == {0: 1, 1: 1, 2: 1}
    assert all(far.keys() == {0, 1, 2} for far in seen)
    assert seen[-1] == {0: 1, 1: 11, 2: 21}


def load_or_work(file: Path, loads: bool) -> None:
    """Load for ever, which cannot be asked to end, or work, which saves what it has when it is."""
    write_whole(file, "loads")
    if loads:
        time.sleep(600)
    stop_if_asked()
    wait_for_ever(file)


@pytest.mark.parametrize("libraries", [True, False])
def test_whoever_still_loads_is_not_waited_for_and_whoever_works_saves(libraries: bool, tmp_path: Path) -> None:
    loading, working = tmp_path / "loading", tmp_path / "working"
    stopped: list[float] = []

    def interrupt(_: object) -> None:
        at_work = working.exists() and working.read_text() != "loads"  # it has asked
        if libraries or (loading.exists() and at_work):
            stopped.append(time.monotonic())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_jobs(
            load_or_work,
            {loading: (loading, True), working: (working, False)},
            workers=2,
            progress=lambda file: 0,
            on_progress=interrupt,
        )
    assert time.monotonic() - stopped[0] < 120  # and not 600; on a busy machine an exit takes its time
    assert multiprocessing.active_children() == []
    assert libraries or working.read_text() == "saved"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_their_parent(number: signal.Signals, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PARENT)
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "src")])}
    files = [tmp_path / "0", tmp_path / "1"]
    with started([sys.executable, str(program), str(tmp_path)], env=environment) as parent:
        until(lambda: all(file.exists() for file in files))
        workers = [int(file.read_text()) for file in files]
        parent.send_signal(number)
        parent.wait()
    until(lambda: not any(map(alive, workers)))


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False
