"""What is read is regular and bounded, what is written appears whole, and through no link."""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from fedward import disk
from fedward.disk import (
    json_line,
    json_of,
    open_regular,
    open_to_append,
    read_bounded,
    remove_leftovers,
    replacing,
    write_whole,
)
from fedward.failures import sentence, tamed
from fedward.sim.checkpoint import save_checkpoint


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes 100 bytes of each file."""

    class Small(io.FileIO):
        def write(self, content: Any, /) -> int | None:
            if self.tell() + len(content) > 100:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(content)

    class Full(disk._Named, Small):
        pass

    monkeypatch.setattr(disk, "_Named", Full)


# --- reading ------------------------------------------------------------------------------------------------


def made(place: Path, kind: str) -> Path:
    if kind == "a FIFO":
        os.mkfifo(place)
    elif kind == "a device":
        place.symlink_to("/dev/zero")
    elif kind == "a folder":
        place.mkdir()
    return place


@pytest.mark.parametrize("kind", ["a FIFO", "a device"])
@pytest.mark.parametrize("use", [open_regular, read_bounded, lambda p: write_whole(p, "x"), open_to_append])
def test_nobody_waits_for_what_is_no_file(tmp_path: Path, kind: str, use: Callable[[Path], object]) -> None:
    place = made(tmp_path / "odd", kind)
    with pytest.raises(OSError, match=f"{kind}|symbolic link|No such device"):
        use(place)
    assert os.listdir(tmp_path) == ["odd"]


def test_folders_and_absent_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as found:
        read_bounded(tmp_path)
    assert sentence(found.value) == f"{tmp_path}: Is a directory"
    with pytest.raises(FileNotFoundError, match="absent"):
        read_bounded(tmp_path / "absent")


def test_no_more_is_read_than_allowed(tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(b"x" * 11)
    assert read_bounded(file, 11) == b"x" * 11
    with pytest.raises(OSError, match=r"holds more than 10 bytes.*large"):
        read_bounded(file, 10)
    with file.open("wb") as sparse:
        sparse.truncate(1 << 42)
    with pytest.raises(OSError, match="holds more than"):
        read_bounded(file)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"name": "\\ud800"}', "half a character"),
        ('["\\uDFFF"]', "half a character"),
        ("1" * 5000, "4300 digits|Exceeds the limit"),
        ("{", "Expecting"),
        (b"\xff\xfe", "utf-8"),
    ],
)
def test_crafted_json_is_a_value_error(text: str | bytes, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        json_of(text)
    assert json_of('{"a": "\\ud83d\\ude00", "b": [1, null]}') == {"a": "\U0001f600", "b": [1, None]}


# --- writing ------------------------------------------------------------------------------------------------


def checkpoint(path: Path) -> None:
    save_checkpoint(path, {"rule": "mean"}, {"model": torch.zeros(2000)})


WRITERS: dict[str, Callable[[Path], None]] = {
    "text": lambda path: write_whole(path, "x" * 1000),
    "checkpoint": checkpoint,
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_nothing_is_written_through_a_link(tmp_path: Path, write: Callable[[Path], None]) -> None:
    """Neither through one in the file's place, nor through one where earlier versions wrote before they moved."""
    precious = tmp_path / "precious"
    precious.write_text("mine")
    place = tmp_path / "out"
    for name in ("out", "out.part"):
        (tmp_path / name).symlink_to(precious)
    write(place)
    assert precious.read_text() == "mine"
    assert not place.is_symlink()
    assert place.stat().st_size >= 1000
    assert sorted(os.listdir(tmp_path)) == ["out", "out.part", "precious"]


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_full_disk_is_told_with_the_file(tmp_path: Path, full: None, write: Callable[[Path], None]) -> None:
    place = tmp_path / "out"
    place.write_text("before")
    with pytest.raises(OSError, match="No space left") as found:
        write(place)
    assert sentence(found.value) == f"{place}: No space left on device"
    assert os.listdir(tmp_path) == ["out"]
    assert place.read_text() == "before"


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    place = tmp_path / "out"
    with replacing(place) as one, replacing(place) as other:
        one.write(b"one")
        other.write(b"other")
        assert not place.exists()
    assert place.read_bytes() == b"one"  # which ended last
    assert os.listdir(tmp_path) == ["out"]


def test_what_was_raised_leaves_the_old_file(tmp_path: Path) -> None:
    place = tmp_path / "out"
    place.write_text("before")

    def stumble() -> None:
        with replacing(place) as file:
            file.write(b"half")
            raise KeyError("mine")

    with pytest.raises(KeyError):
        stumble()
    assert os.listdir(tmp_path) == ["out"]
    assert place.read_text() == "before"


def test_leftovers_of_killed_writers_are_removed(tmp_path: Path) -> None:
    place = tmp_path / "checkpoint.pt"
    (tmp_path / ".checkpoint.pt.7-abcd.part").write_text("half")
    (tmp_path / ".other.7-abcd.part").write_text("of another")
    place.write_text("whole")
    remove_leftovers(place)
    assert sorted(os.listdir(tmp_path)) == [".other.7-abcd.part", "checkpoint.pt"]
    remove_leftovers(tmp_path / "nowhere" / "file")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_files_are_as_private_as_those_they_replace(tmp_path: Path) -> None:
    place = tmp_path / "out"
    write_whole(place, "x")
    place.chmod(0o600)
    write_whole(place, "y")
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    write_whole(tmp_path / ("long" * 60), "z")  # names may have 255 bytes


@pytest.fixture
def linked(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    precious = tmp_path / "precious"
    precious.write_text("mine\n")
    link = tmp_path / "log"
    link.symlink_to(precious)
    yield link, precious
    assert precious.read_text() == "mine\n"


def test_nothing_is_added_through_a_link(linked: tuple[Path, Path]) -> None:
    with pytest.raises(OSError, match="symbolic link") as found:
        open_to_append(linked[0])
    assert sentence(found.value) == f"{linked[0]}: is a symbolic link, through which nothing is written"


def test_what_is_added_stands_at_the_end(tmp_path: Path) -> None:
    place = tmp_path / "log"
    for line in (b"one\n", b"two\n"):
        with open_to_append(place) as file:
            file.write(line)
    assert place.read_text() == "one\ntwo\n"


# --- words --------------------------------------------------------------------------------------------------


def test_what_strangers_write_is_tamed() -> None:
    assert tamed("conv.weight") == "conv.weight"
    assert tamed("a\x1b[31m\nb") == "a\\x1b[31m\\nb"
    assert tamed("\ud800") == "\\ud800"
    assert tamed("clinic-a\ufe0f \u2800") == "clinic-a\\ufe0f \\u2800"
    long = tamed("x" * 100_000)
    assert len(long) < 250
    assert long.endswith("... (100,000 characters)")


def test_json_has_null_where_there_is_no_number() -> None:
    assert json_line({"a": [1.5, None, "x"], "b": True}) == '{"a":[1.5,null,"x"],"b":true}\n'
    assert json_line({"a": [float("nan")], "b": (1, float("-inf"))}) == '{"a":[null],"b":[1,null]}\n'
