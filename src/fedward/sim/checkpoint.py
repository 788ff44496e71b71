"""Checkpoints: written whole or not at all, and refused if they are of another run."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from reprlib import Repr
from typing import Any, BinaryIO

import torch
from torch import Tensor

from ..disk import open_regular, replacing
from ..failures import MendableError
from .identity import LATER

_FORMAT = 2
_SHOWN = 80  # characters of a value in an error message
_MOST_PARTS = (
    1 << 24
)  # values in a checkpoint, those in containers included: 4,000 records of 1,000 clients with scores
# The whole of any plain value; containers in containers are in the file what somebody made up.
_LEVELS = Repr()
_LEVELS.maxlevel = 2
_LEVELS.maxstring = _LEVELS.maxother = _LEVELS.maxlong = _LEVELS.maxlist = _LEVELS.maxdict = 1 << 16


class CheckpointError(MendableError, RuntimeError):
    """A checkpoint that cannot be resumed from."""


def save_checkpoint(path: Path, identity: Mapping[str, Any], content: Mapping[str, Any]) -> None:
    """Write a checkpoint beside its place, then move it there: a kill leaves the old one or the new one.

    Raises:
        OSError: it cannot be written; with the file's name. The old one is left.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, durable=True) as file:
        torch.save({"format": _FORMAT, "identity": dict(identity), **content}, file)


def load_checkpoint(path: Path, identity: Mapping[str, Any], keys: Iterable[str] = ()) -> dict[str, Any]:
    """Read a checkpoint of the run with this identity, which must hold at least the given keys.

    Raises:
        CheckpointError: the file is damaged, of another format, or of another run (the message lists what differs).
    """
    try:
        with open_regular(path) as file:
            _check_archive(file, path.stat().st_size)
            saved = torch.load(file, map_location="cpu", weights_only=True)
        _check_content(saved)
    except Exception as error:  # torch.load raises whatever its unpickler stumbles over
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}): it is damaged or something else; "
            "move it away, or give this run another place"
        ) from error
    if not isinstance(saved, dict) or saved.get("format") != _FORMAT:
        found = saved.get("format") if isinstance(saved, dict) else type(saved).__name__
        raise CheckpointError(
            f"{path} has format {found!r}, this version reads {_FORMAT}; move it away, or give this run another place"
        )
    if lost := {"identity", *keys} - saved.keys():
        raise CheckpointError(
            f"{path} lacks {', '.join(sorted(lost))}: it is damaged; move it away, or give this run another place"
        )
    if not isinstance(saved["identity"], Mapping):
        raise CheckpointError(
            f"{path} has no identity of a run: it is damaged; move it away, or give this run another place"
        )
    before = {**{k: value for k, value in LATER.items() if k in identity}, **saved["identity"]}
    different = [k for k in {**before, **identity} if before.get(k) != identity.get(k)]
    if different:
        lines = "; ".join(_contrast(str(k), before.get(k), identity.get(k)) for k in sorted(different, key=str))
        raise CheckpointError(
            f"{path} is of another configuration: {lines}. Resume with that configuration, or give this run "
            "another place"
        )
    return saved


def _check_archive(file: BinaryIO, size: int) -> None:
    """Look at what `torch.load` does not: checksums, and whether an archive holds more than it has bytes.

    Raises:
        zipfile.BadZipFile: it is damaged, or was made to fill the memory.
    """
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise zipfile.BadZipFile("compressed, as PyTorch writes none")
        if sum(entry.file_size for entry in entries) > size:
            raise zipfile.BadZipFile("holds more than it has bytes")
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"checksum of {damaged}")
    file.seek(0)


def _check_content(saved: object) -> None:
    """Refuse what is small in the file and grows without end when it is used.

    Raises:
        ValueError: a tensor with more entries than the file has of it, or a container that holds itself or is there
            more often than there are things in the file.
    """
    waiting = [saved]
    left = _MOST_PARTS
    while waiting:
        value = waiting.pop()
        left -= 1
        if left < 0:
            raise ValueError("containers that hold one another over and over")
        if isinstance(value, Tensor):
            if value.layout != torch.strided or value.is_meta:
                raise ValueError(f"a tensor of {value.layout}")
            if value.numel() * value.itemsize > value.untyped_storage().nbytes():
                raise ValueError(f"a tensor of shape {tuple(value.shape)} on {value.untyped_storage().nbytes()} bytes")
        elif isinstance(value, Mapping):
            waiting.extend(value.keys())
            waiting.extend(value.values())
        elif isinstance(value, list | tuple | set | frozenset):
            waiting.extend(value)


def _contrast(key: str, before: object, now: object) -> str:
    """What a key was and is; of long texts only where they begin to differ."""
    old = _LEVELS.repr(before)
    new = _LEVELS.repr(now)
    start = 0
    if max(len(old), len(new)) > _SHOWN:
        differ = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), 0)
        start = max(differ - 10, 0)
    return f"{key} was {_cut(old, start)}, now {_cut(new, start)}"


def _cut(text: str, start: int) -> str:
    end = start + _SHOWN
    return ("..." if start else "") + text[start:end] + ("..." if end < len(text) else "")
