"""What files hold, whether they lie there plain, gzipped or in an archive; nothing is read without bound."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Protocol, TypeAlias

from ..disk import open_regular, read_bounded

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    Location: TypeAlias = Path | Traversable

CHUNK = 1 << 20  # bytes read at a time
LARGEST = 1 << 31
"""Bytes that a file may hold, decompressed. No file of a data set that is known here has half as many."""
_ARCHIVE_ERRORS = (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, gzip.BadGzipFile, NotImplementedError)


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
    except OSError as error:
        if error.filename is not None:  # it cannot be read at all
            raise
        raise FormatError(f"expected an archive, found a damaged one: {error}", archive) from error
    except _ARCHIVE_ERRORS as error:
        raise FormatError(f"expected an archive, found a damaged one or none: {error}", archive) from error
    return found


def _entries(archive: Location) -> Iterator[tuple[str, int, Callable[[], IO[bytes] | None]]]:
    """Name, size and content of each regular file, in the archive's order."""
    with open_regular(archive) if isinstance(archive, Path) else archive.open("rb") as file:
        if file.read(4) == b"PK\x03\x04":
            file.seek(0)
            with zipfile.ZipFile(file) as zipped:
                for info in zipped.infolist():
                    if not info.is_dir():
                        yield info.filename, info.file_size, partial(zipped.open, info)
            return
        file.seek(0)
        # As a stream: going back in a compressed archive means decompressing it once more.
        with tarfile.open(fileobj=file, mode="r|*") as tar:
            for entry in tar:
                if entry.isreg():
                    yield entry.name, entry.size, partial(tar.extractfile, entry)
