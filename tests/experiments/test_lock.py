"""One writer a folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from fedward.experiments.lock import LockedError, is_locked, one_writer
from fedward.experiments.run import execute
from fedward.experiments.spec import make_spec
from tests.processes import PATIENCE, started

HOLD = """
import sys
from pathlib import Path
from fedward.experiments.lock import one_writer
with one_writer(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_writer_is_told_who_the_first_is(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "run"
    with one_writer(folder):
        assert is_locked(folder)
        refused = pytest.raises(LockedError, match=rf"process {os.getpid()} on .* writes in .*run: wait until it ends")
        with refused, one_writer(folder):
            raise AssertionError
        assert is_locked(folder)
    assert not is_locked(folder)


def test_a_folder_that_stays_empty_goes_again_and_no_other(tmp_path: Path) -> None:
    with one_writer(tmp_path / "a" / "b"):
        pass
    assert not (tmp_path / "a").exists()
    with one_writer(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "file").touch()
    assert [file.name for file in (tmp_path / "a" / "b").iterdir()] == ["file"]


def test_a_lock_ends_with_its_process_and_what_it_left_is_nobodys(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LockedError, match=rf"process {holder.pid} on "), one_writer(tmp_path):
            raise AssertionError
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    assert (tmp_path / ".lock").exists()
    with one_writer(tmp_path):
        pass
    assert not (tmp_path / ".lock").exists()


@pytest.mark.parametrize("left", [b"", b"{", b"[" * 100_000, b'{"process": "x"}', b"\xff"])
def test_whatever_the_file_of_a_lock_holds(left: bytes, tmp_path: Path) -> None:
    (tmp_path / ".lock").write_bytes(left)
    with one_writer(tmp_path):
        (tmp_path / ".lock").write_bytes(left)
        with pytest.raises(LockedError, match="another process writes in"), one_writer(tmp_path):
            raise AssertionError


def test_nobody_waits_for_what_a_fifo_says(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".lock")
    told: list[str] = []

    def refused() -> None:
        with pytest.raises(LockedError) as error, one_writer(tmp_path):
            raise AssertionError
        told.append(str(error.value))

    with one_writer(tmp_path):
        second = Thread(target=refused, daemon=True)
        second.start()
        second.join(timeout=PATIENCE)
    assert told
    assert told[0].startswith("another process writes in")


def test_nobody_waits_to_look_at_a_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".lock")
    told: list[bool] = []
    look = Thread(target=lambda: told.append(is_locked(tmp_path)), daemon=True)
    look.start()
    look.join(timeout=PATIENCE)
    assert told == [False]


def test_a_lock_is_no_way_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("precious")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "theirs")
    with pytest.raises(OSError, match=r"\.lock"), one_writer(tmp_path / "run"):
        raise AssertionError
    assert (tmp_path / "theirs").read_text() == "precious"


def test_many_writers_take_turns(tmp_path: Path) -> None:
    """Each adds one to a number that it reads first: none is lost while the file of the lock comes and goes."""
    (tmp_path / "number").write_text("0")

    def add() -> None:
        for _ in range(20):
            with one_writer(tmp_path, wait=60):
                (tmp_path / "number").write_text(str(int((tmp_path / "number").read_text()) + 1))

    threads = [Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "number").read_text() == "80"


def test_a_run_is_the_one_writer_of_its_folder(tmp_path: Path) -> None:
    spec = make_spec({"data": "fashion-mnist-subset", "model": "linear", "clients": 4, "byzantine": 1, "rounds": 1})
    with one_writer(tmp_path / "run"):
        with pytest.raises(LockedError):
            execute(spec, tmp_path / "run")
        assert [file.name for file in (tmp_path / "run").iterdir()] == [".lock"]
    execute(spec, tmp_path / "run")
    assert not is_locked(tmp_path / "run")


def test_looking_at_a_lock_keeps_nobody_out_and_touches_nothing(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / "file").touch()
    assert not is_locked(tmp_path)
    assert (tmp_path / ".lock").exists()
    done: list[bool] = []

    def look() -> None:
        while not done:
            is_locked(tmp_path)

    lookers = [Thread(target=look) for _ in range(2)]
    for thread in lookers:
        thread.start()
    try:
        for _ in range(200):
            with one_writer(tmp_path):
                pass
    finally:
        done.append(True)
        for thread in lookers:
            thread.join()
