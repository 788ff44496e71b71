"""What files hold, whether they lie there plain, gzipped or in an archive; nothing is read without bound."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Protocol, TypeAlias

from ..disk import open_regular, read_bounded

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    Location: TypeAlias = Path | Traversable

CHUNK = 1 << 20  # bytes read at a time
LARGEST = 1 << 31
"""Bytes that a file may hold, decompressed. No file of a data set that is known here has half as many."""
ARCHIVE_ERRORS = (
    *(tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, struct.error, EOFError),
    *(NotImplementedError, RuntimeError, ValueError, IndexError, OverflowError),
)
"""What damaged archives raise, and encrypted ones, those with an empty name, and those with one of no letters."""
_ROOM, _TIMES = 1 << 28, 100


class Readable(Protocol):
    """A file, wherever it lies."""

    def read_bytes(self) -> bytes:
        """All of it."""


Files: TypeAlias = dict[str, Readable]
"""The files of a data set, by their names without .gz."""


class FormatError(ValueError):
    """A file is not what it should be, or not whole; says what was expected and what was found.

    Args:
        wrong: in words.
        file: which, if the reader has several.
        remedy: what to do about it.
    """

    def __init__(self, wrong: str, file: Readable | None = None, remedy: str = "delete or replace this file") -> None:
        super().__init__(wrong)
        self.file = file
        self.remedy = remedy


@dataclass(frozen=True, kw_only=True)
class Member:
    """A file within an archive."""

    archive: Location
    name: str
    content: bytes = field(repr=False)

    def read_bytes(self) -> bytes:
        return self.content

    def __str__(self) -> str:
        return f"{self.archive} ({self.name})"


def room(size: int) -> int:
    """Bytes that ``size`` may become once they are unpacked: 256 MiB, or a hundred times as many.

    A file that becomes more than that says nothing but the same over and over, and is made to fill the memory.
    """
    return max(_ROOM, _TIMES * size)


def digest(content: bytes | bytearray, like: str = "") -> str:
    """SHA-256 as hexadecimal digits; MD5, if ``like`` has as few digits, which is all that some publishers give."""
    return (hashlib.md5 if len(like) == 32 else hashlib.sha256)(content).hexdigest()


def read(file: Readable, limit: int = LARGEST) -> tuple[bytearray, str]:
    """The content, decompressed as far as possible, and what stopped that, if anything."""
    return unzipped(raw(file), limit)  # what is compressed may hold less than it takes itself


def raw(file: Readable, limit: int = LARGEST) -> bytes:
    """What a file holds, as it lies there.

    Raises:
        OSError: it is no regular file, or holds too much.
    """
    return read_bounded(file, limit) if isinstance(file, Path) else file.read_bytes()


def unzipped(held: bytes, limit: int = LARGEST) -> tuple[bytearray, str]:
    """As `read`, of what a file holds."""
    # By the first bytes, not by the name: some browsers unpack a file and leave the name.
    if not held.startswith(b"\x1f\x8b"):
        return bytearray(held), ""
    limit = min(limit, room(len(held)))
    content = bytearray()
    stream = gzip.GzipFile(fileobj=io.BytesIO(held))
    try:
        # read1, because read of a truncated file is an error that loses what came before.
        while chunk := stream.read1(CHUNK):
            content += chunk
            if len(content) > limit:
                return content, f" (and more: a file may hold {limit:,} bytes)"
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        return content, f" (damaged gzip file of {len(held):,} bytes: {error})"
    return content, ""


def content_of(file: Readable, limit: int = LARGEST) -> bytearray:
    """The content, decompressed.

    Raises:
        FormatError: it is damaged, or too much.
    """
    content, trouble = read(file, limit)
    if trouble:
        raise FormatError(f"found {len(content):,} bytes{trouble}", file)
    return content


def members(archive: Location, wanted: Collection[str], limit: int = LARGEST) -> Files:
    """Those files of a zip or tar archive whose names, without folder and .gz, are wanted; nothing is unpacked to disk.

    Raises:
        FormatError: no archive, a damaged one, or a member that is too large.
    """
    found: Files = {}
    limit = min(limit, room(_size(archive)))
    try:
        for name, size, stream in _entries(archive):
            plain = PurePosixPath(name).name.removesuffix(".gz")
            if plain not in wanted:
                continue
            opened = stream()
            content = opened.read(limit + 1) if opened else b""
            if max(size, len(content)) > limit:
                raise FormatError(f"{name} in it holds more than {limit:,} bytes, which no such file does", archive)
            found[plain] = Member(archive=archive, name=name, content=content)
    except FormatError:
        raise
    except OSError as error:
        if error.filename is not None:  # it cannot be read at all
            raise
        raise FormatError(f"expected an archive, found a damaged one: {error}", archive) from error
    except ARCHIVE_ERRORS as error:
        raise FormatError(f"expected an archive, found a damaged one or none: {error}", archive) from error
    return found


def zip_entries(archive: zipfile.ZipFile, size: int, place: Readable) -> list[zipfile.ZipInfo]:
    """The files in a zip archive of ``size`` bytes.

    Raises:
        FormatError: it would become far larger than it is, or is packed in a way that data sets never are.
    """
    entries = [info for info in archive.infolist() if not info.is_dir()]
    if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in entries):
        raise FormatError("expected a zip archive that is stored or deflated, found another packing", place)
    claimed = sum(info.file_size for info in entries)  # more than that is never read
    if claimed > room(size):
        raise FormatError(f"expected an archive, found one of {size:,} bytes that becomes {claimed:,}", place)
    return entries


class _Bounded(io.RawIOBase):
    """A stream of an archive, unpacked, of which so much may be read."""

    def __init__(self, stream: Any, most: int) -> None:
        self._stream = stream
        self._left = self._most = most

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        try:
            content: bytes = self._stream.read(min(size, CHUNK) if size >= 0 else CHUNK)
        except Exception as error:  # each way of packing has errors of its own
            raise tarfile.ReadError(str(error)) from error
        self._left -= len(content)
        if self._left < 0:
            raise tarfile.ReadError(f"it becomes more than {self._most:,} bytes")
        return content


def _unpacking(file: IO[bytes], start: bytes) -> Any:
    """What is in a file, unpacked as its first bytes say."""
    if start.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file)
    if start.startswith(b"BZh"):
        import bz2  # which not every Python has

        return bz2.BZ2File(file)
    if start.startswith(b"\xfd7zX"):
        import lzma

        return lzma.LZMAFile(file)
    return file


def _size(archive: Location) -> int:
    with open_regular(archive) if isinstance(archive, Path) else archive.open("rb") as file:
        return file.seek(0, io.SEEK_END)


def _entries(archive: Location) -> Iterator[tuple[str, int, Callable[[], IO[bytes] | None]]]:
    """Name, size and content of each regular file, in the archive's order."""
    size = _size(archive)
    with open_regular(archive) if isinstance(archive, Path) else archive.open("rb") as file:
        start = file.read(4)
        file.seek(0)
        if start == b"PK\x03\x04":
            with zipfile.ZipFile(file) as zipped:
                for info in zip_entries(zipped, size, archive):
                    yield info.filename, info.file_size, partial(zipped.open, info)
            return
        # As a stream: going back in a compressed archive means decompressing it once more.
        with tarfile.open(fileobj=_Bounded(_unpacking(file, start), room(size)), mode="r|") as tar:
            for entry in tar:
                if entry.isreg():
                    yield entry.name, entry.size, partial(tar.extractfile, entry)
