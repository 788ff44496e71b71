"""How an audit was made: when, by which version, by what command, from which files."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from ..disk import open_regular
from ..failures import tamed
from .formats import Contents
from .gather import ClientModels
from .source import ModelSource

_AT_A_TIME = 1 << 20
OnFile = Callable[[int, int], None]
"""Told how many files have their checksum, and of how many."""


@dataclass(frozen=True, kw_only=True)
class FileRead:
    """A file that was read for a client.

    Attributes:
        client: its name; None of the base's.
        path: in full.
        bytes: how many; None if it cannot be read.
        sha256: of these; "" if it cannot be read, or was not asked for.
        why: why it cannot be read; "" if it can.
    """

    client: str | None
    path: str
    bytes: int | None = None
    sha256: str = ""
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Made:
    """How an audit or an aggregation was made.

    Attributes:
        when: the day and the second in UTC, as ISO 8601 has them.
        fedward: the version.
        folder: in which the command was given, to which its paths are relative.
        command: that does the same once more.
        base, key, raw, strict: as the files were read.
        settings: what else was asked for: seed, f, votes, a rule and its like.
        files: that were read, with checksums; none if these were not asked for.
    """

    when: str
    fedward: str
    folder: str
    command: str
    base: str | None
    key: str | None
    raw: bool
    strict: bool
    settings: dict[str, Any] = field(default_factory=dict)
    files: tuple[FileRead, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON has it; settings stand among the others."""
        told = asdict(self)
        del told["settings"]
        return told | self.settings | {"files": list(told.pop("files"))}


def made_now(source: ModelSource, command: str, options: Iterable[str], settings: dict[str, Any]) -> Made:
    """How an audit is made that begins now.

    Args:
        source: the files.
        command: "audit" or "aggregate".
        options: words of the command beside those of the files.
        settings: the same by name.
    """
    words = ["fedward", command, *source.words(), *options]
    return Made(
        when=now().isoformat(timespec="seconds").replace("+00:00", "Z"),
        fedward=metadata.version("fedward"),
        folder=os.getcwd(),
        command=shlex.join(words),
        base=None if source.base is None else os.fspath(source.base),
        key=source.key,
        raw=source.raw,
        strict=source.strict,
        settings=settings,
    )


def now() -> datetime:
    """The time, which tests replace."""
    return datetime.now(UTC)


def files_read(gathered: ClientModels, on_file: OnFile | None = None) -> tuple[FileRead, ...]:
    """Each client's files and the base's, with their checksums, which takes one more reading of all of them.

    Whoever asks makes sure afterwards that they are the files that were judged: `ClientModels.changed`.
    """
    wanted: list[tuple[str | None, Path]] = [(None, path) for path in _of(gathered.base)]
    for place in gathered.found.places:
        wanted += [(place.name, path) for path in _of(gathered.contents.get(place.name)) or [place.path]]
    found = []
    for done, (client, path) in enumerate(wanted):
        if on_file is not None:
            on_file(done, len(wanted))
        found.append(_read(client, path))
    return tuple(found)


def _of(contents: Contents | None) -> list[Path]:
    if contents is None:
        return []
    return sorted({*contents.stamps, *(Path(file.path) for file in contents.files)})


def _read(client: str | None, path: Path) -> FileRead:
    whole = os.path.abspath(path)
    digest, size = hashlib.sha256(), 0
    try:
        with open_regular(path) as file:
            while part := file.read(_AT_A_TIME):
                digest.update(part)
                size += len(part)
    except OSError as error:  # of a client whose verdict says so, too
        return FileRead(client=client, path=whole, why=tamed(error.strerror or error))
    return FileRead(client=client, path=whole, bytes=size, sha256=digest.hexdigest())
