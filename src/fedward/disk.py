"""Files as a stranger may have left them: what is read is regular and bounded, what is written appears whole.

Every reader and writer of the package opens its files here, so that a FIFO or a device behind a name makes nobody wait,
a symbolic link leads nobody to write over another file, and a kill or a full disk leaves the old file or the new one.
Loads nothing heavy.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedRandom, BufferedReader, BufferedWriter, FileIO
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO
from zlib import crc32

from .failures import MendableError

LARGEST = 1 << 30
"""Bytes that a file of fedward's own may have: 100 rounds of 10,000 clients with scores are a tenth of it."""

# What Windows has no word for.
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_DIRECT = getattr(os, "O_DIRECT", 0)
_PLAIN = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
_NAME = 40  # characters of a file's name that the file beside it has in its own
_ENDING = re.compile(r"\d+-[0-9a-f]+\.part")  # the process and a number, after the name


# --- reading ------------------------------------------------------------------------------------------------


def open_regular(path: str | os.PathLike[str], *, direct: bool = False) -> BufferedReader:
    """A regular file, for reading. Nothing else is ever opened: a FIFO would wait for its writer, a device never ends.

    Args:
        path: the file.
        direct: past the system's cache, where it can be: whole pages alone are read then, into whole pages of memory.

    Raises:
        OSError: it is not there, no regular file, or not to be read, or not directly; with the name and the reason.
    """
    name = os.fspath(path)
    check_regular(name, os.stat(name))
    handle = os.open(name, os.O_RDONLY | _NONBLOCK | _PLAIN | (_DIRECT if direct else 0))
    try:
        check_regular(name, os.fstat(handle))  # it may have been exchanged since
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_bounded(path: str | os.PathLike[str], most: int = LARGEST) -> bytes:
    """All of a regular file.

    Raises:
        OSError: as `open_regular`, or it holds more than ``most`` bytes.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        parts = []
        while size <= most and (part := file.read(min(max(size, 1 << 16), most) + 1)):
            parts.append(part)
            # Some files say that they hold nothing, others grow.
            size = max(size, sum(map(len, parts)))
        if size > most:
            raise OSError(errno.EFBIG, f"holds more than {most:,} bytes", os.fspath(path))
    return b"".join(parts)


def check_regular(name: str, found: os.stat_result) -> None:
    """Refuse what is no regular file.

    Raises:
        OSError: it is a folder, a FIFO, a device or a socket.
    """
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "something else")
        raise OSError(errno.EINVAL, f"is {kind}, not a regular file", name)


def json_of(
    content: bytes | str, *, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None, nan: bool = True
) -> Any:
    """JSON as a stranger may have written it.

    Args:
        content: the text.
        pairs: what becomes of the names and values of an object; a dict if None.
        nan: whether NaN and Infinity are numbers, as Python writes them, and JSON has none.

    Raises:
        ValueError: it is none; or brackets are nested too deeply, or text holds half a character.
    """
    text = content.decode() if isinstance(content, bytes) else content
    try:
        value = json.loads(text, object_pairs_hook=pairs, parse_constant=None if nan else _refused)
        if "\\ud" in text or "\\uD" in text:  # whole characters may be written so, half ones cannot be written again
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("brackets are nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError("text holds half a character (a lone surrogate)") from None
    return value


def json_line(value: Any) -> str:
    """A value as a line of JSON, which has neither NaN nor Infinity: there it has null."""
    try:
        text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value), separators=(",", ":"))
    return text + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return list(map(_finite, value))
    return None if isinstance(value, float) and not isfinite(value) else value


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON")


# --- writing ------------------------------------------------------------------------------------------------


class NoFolderError(MendableError, FileNotFoundError):
    """A file is to be written into a folder that is not there: a mistyped path makes none."""

    asked = True

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


def check_folder(path: str | os.PathLike[str]) -> None:
    """Refuse a file to be written whose folder is not there, best before the work that it is to tell of.

    Raises:
        NoFolderError: with the names of both.
    """
    folder = Path(path).parent
    if not folder.is_dir():
        raise NoFolderError(errno.ENOENT, f"there is no folder {folder}; make it first", os.fspath(path))


class _Named(FileIO):
    """A file whose errors say what was to be written: a full disk's say nothing."""

    def __init__(self, handle: int, mode: str, told: str) -> None:
        super().__init__(handle, mode)
        self._told = told
        self.failed: OSError | None = None
        """What went wrong, for whoever was told in other words: `torch.save` has its own."""

    def write(self, content: Any, /) -> int:
        try:
            return super().write(content)
        except OSError as error:
            self.failed = OSError(error.errno, error.strerror, self._told)
            raise self.failed from error


@contextmanager
def replacing(path: str | os.PathLike[str], *, durable: bool = False) -> Iterator[BinaryIO]:
    """A file to write, which takes the place of ``path`` at the end; or is gone, where something was raised.

    It lies beside ``path`` under a name that nobody else has, newly made: nothing is written through a link that waits
    there. A link at ``path`` is replaced, and what it leads to stays as it is.

    Args:
        path: the file to be.
        durable: wait until the disk has the content.

    Raises:
        OSError: it cannot be written, or there is something that is no regular file; with its name.
    """
    place = Path(path)
    mode = _mode_of(place)
    beside = place.with_name(f"{_beginning(place)}{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NOFOLLOW | _PLAIN, mode)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(place)) from error
    raw = _Named(handle, "wb", str(place))
    try:
        with BufferedWriter(raw) as file:
            yield file
            file.flush()
            if durable:
                os.fsync(handle)
        os.replace(beside, place)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        if raw.failed is not None and isinstance(error, Exception):
            raise raw.failed from None
        raise


def write_whole(path: str | os.PathLike[str], content: str | bytes) -> None:
    """Write a file; a reader sees the old one or the new one. Text is written in UTF-8.

    Raises:
        OSError: as `replacing`.
    """
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def open_to_append(path: str | os.PathLike[str]) -> BufferedRandom:
    """A regular file to add to, made if it is not there; through a symbolic link nothing is written.

    Raises:
        OSError: it is a link or no regular file, or cannot be written to; with its name.
    """
    name = os.fspath(path)
    if os.path.islink(name):
        raise OSError(errno.ELOOP, "is a symbolic link, through which nothing is written", name)
    handle = os.open(name, os.O_RDWR | os.O_APPEND | os.O_CREAT | _NOFOLLOW | _NONBLOCK | _PLAIN, 0o666)
    try:
        check_regular(name, os.fstat(handle))
        return BufferedRandom(_Named(handle, "ab+", name))
    except BaseException:
        os.close(handle)
        raise


def set_aside(path: str | os.PathLike[str]) -> Path:
    """Give a file the next free name beside it, name-1.suffix, name-2.suffix, ...; return that. Its one writer's.

    Raises:
        OSError: it cannot be moved, or it is no regular file; with its name.
    """
    place = Path(path)
    check_regular(str(place), os.lstat(place))
    number = 1
    while os.path.lexists(aside := place.with_name(f"{place.stem}-{number}{place.suffix}")):
        number += 1
    os.rename(place, aside)
    return aside


def remove_leftovers(path: str | os.PathLike[str]) -> None:
    """Remove what writers of this file that were killed have left beside it. Only its one writer may call this."""
    place = Path(path)
    start = _beginning(place)
    for file in place.parent.iterdir() if place.parent.is_dir() else ():
        if file.name.startswith(start) and _ENDING.fullmatch(file.name.removeprefix(start)):
            file.unlink(missing_ok=True)


def lock_beside(path: str | os.PathLike[str]) -> Path:
    """Where the lock on a file lies, which itself may be replaced at any time: beside it, and out of sight."""
    place = Path(path)
    return place.with_name(f"{_beginning(place)}lock")


def _beginning(place: Path) -> str:
    """How the names of files beside a file begin: those of no other file, though its name begin like this one's."""
    name = place.name
    return f".{name}." if len(name) <= _NAME else f".{name[:_NAME]}~{crc32(os.fsencode(name)):08x}."


def _mode_of(place: Path) -> int:
    """The permissions of a new file: no more than those of the one that it replaces."""
    try:
        found = os.stat(place)
    except FileNotFoundError:  # nothing, or a link that leads to nothing
        return 0o666
    check_regular(str(place), found)
    return stat.S_IMODE(found.st_mode) & 0o777
