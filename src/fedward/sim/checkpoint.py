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
from ..failures import MendableError, tamed
from .forms import brief
from .identity import LATER, UNTOLD

_FORMAT = 2
_SHOWN = 80  # characters of a value in an error message
_PLAIN = (bool, int, float, str, list, tuple, dict, type(None))
_KEYS = 20  # of those in which configurations differ, told
_SPREAD = 1 << 28  # bytes of tensors that have more entries than the file holds of them: all the same one, say
# The whole of any plain value; containers in containers are in the file what somebody made up.
_LEVELS = Repr()
_LEVELS.maxlevel = 2
_LEVELS.maxstring = _LEVELS.maxother = _LEVELS.maxlong = _LEVELS.maxlist = _LEVELS.maxdict = 1 << 16


class CheckpointError(MendableError, RuntimeError):
    """A checkpoint that cannot be resumed from."""

    asked = True


def save_checkpoint(path: Path, identity: Mapping[str, Any], content: Mapping[str, Any]) -> None:
    """Write a checkpoint beside its place, then move it there: a kill leaves the old one or the new one.

    Raises:
        OSError: it cannot be written; with the file's name. The old one is left.
    """
    with replacing(path, durable=True) as file:
        torch.save({"format": _FORMAT, "identity": dict(identity), **content}, file)


def load_checkpoint(path: Path, identity: Mapping[str, Any], keys: Iterable[str] = ()) -> dict[str, Any]:
    """Read a checkpoint of the run with this identity, which must hold at least the given keys.

    Raises:
        CheckpointError: the file is damaged, of another format, or of another run (the message lists what differs).
    """
    try:
        with open_regular(path) as file:
            parts = _check_archive(file, path.stat().st_size)
            saved = torch.load(file, map_location="cpu", weights_only=True)
        _check_content(saved, parts)
    except Exception as error:  # torch.load raises whatever its unpickler stumbles over
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}): it is damaged or something else; "
            "move it away, or give this run another place"
        ) from error
    if not isinstance(saved, dict) or not _same(saved.get("format"), _FORMAT):
        if not isinstance(saved, dict) or "format" not in saved:
            raise CheckpointError(
                f"{path} is no checkpoint of a run, but something else that PyTorch saved (a state dict, say); move it "
                "away, or give this run another place"
            )
        found = saved["format"]
        raise CheckpointError(
            f"{path} has format {brief(found)}, this version reads {_FORMAT}; move it away, or give this run "
            "another place"
        )
    if lost := {"identity", *keys} - saved.keys():
        raise CheckpointError(
            f"{path} lacks {', '.join(sorted(lost))}: it is damaged; move it away, or give this run another place"
        )
    if not isinstance(saved["identity"], Mapping):
        raise CheckpointError(
            f"{path} has no identity of a run: it is damaged; move it away, or give this run another place"
        )
    unsaid = {k: LATER.get(k, identity[k]) for k in identity if k in LATER or k in UNTOLD}
    before = {**unsaid, **saved["identity"]}
    different = [k for k in {**before, **identity} if not _same(before.get(k), identity.get(k))]
    if different:
        told_of = sorted(map(str, different))[:_KEYS]
        lines = "; ".join(_contrast(k, before.get(k), identity.get(k)) for k in told_of)
        raise CheckpointError(
            f"{path} is of another configuration: {lines}. Resume with that configuration, or give this run "
            "another place"
        )
    return saved


def _check_archive(file: BinaryIO, size: int) -> int:
    """Look at what `torch.load` does not: checksums, and whether an archive holds more than it has bytes.

    Returns:
        How many values there can be in it: each takes a byte at least of what is not in tensors.

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
    return sum(entry.file_size for entry in entries if entry.filename.endswith("data.pkl"))


def _check_content(saved: object, most: int) -> None:
    """Refuse what is small in the file and grows without end when it is used.

    Raises:
        ValueError: a tensor with more entries than the file has of it, or a container that holds itself or is there
            more often than there are things in the file.
    """
    waiting = [saved]
    left = most
    room = _SPREAD
    while waiting:
        value = waiting.pop()
        left -= 1
        if left < 0:
            raise ValueError("containers that hold one another over and over")
        if isinstance(value, Tensor):
            if value.layout != torch.strided or value.is_meta:
                raise ValueError(f"a tensor of {value.layout}")
            needs = value.numel() * value.itemsize
            room -= needs if needs > value.untyped_storage().nbytes() else 0
            if room < 0:
                raise ValueError(f"a tensor of shape {tuple(value.shape)} on {value.untyped_storage().nbytes()} bytes")
        elif isinstance(value, Mapping):
            waiting.extend(value.keys())
            waiting.extend(value.values())
        elif isinstance(value, list | tuple | set | frozenset):
            waiting.extend(value)


def _same(before: object, now: object) -> bool:
    """Whether two plain values are equal; of what somebody made up, such as a tensor, that is False."""
    return isinstance(before, _PLAIN) and bool(before == now)


def _contrast(key: str, before: object, now: object) -> str:
    """What a key was and is; of long texts only where they begin to differ."""
    old = _LEVELS.repr(before)
    new = _LEVELS.repr(now)
    start = 0
    if max(len(old), len(new)) > _SHOWN:
        differ = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), 0)
        start = max(differ - 10, 0)
    return f"{tamed(key, _SHOWN)} was {_cut(old, start)}, now {_cut(new, start)}"


def _cut(text: str, start: int) -> str:
    end = start + _SHOWN
    return ("..." if start else "") + text[start:end] + ("..." if end < len(text) else "")
