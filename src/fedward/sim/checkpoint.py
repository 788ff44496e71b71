"""Checkpoints: written whole or not at all, and refused if they are of another run."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from ..failures import MendableError
from .identity import LATER

_FORMAT = 2
_SHOWN = 80  # characters of a value in an error message


class CheckpointError(MendableError, RuntimeError):
    """A checkpoint that cannot be resumed from."""


def save_checkpoint(path: Path, identity: Mapping[str, Any], content: Mapping[str, Any]) -> None:
    """Write a checkpoint beside its place, then move it there: a kill leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    with beside.open("wb") as file:
        torch.save({"format": _FORMAT, "identity": dict(identity), **content}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def load_checkpoint(path: Path, identity: Mapping[str, Any], keys: Iterable[str] = ()) -> dict[str, Any]:
    """Read a checkpoint of the run with this identity, which must hold at least the given keys.

    Raises:
        CheckpointError: the file is damaged, of another format, or of another run (the message lists what differs).
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load does not look at the checksums
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"checksum of {damaged}")
        saved = torch.load(path, map_location="cpu", weights_only=True)
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
    before = {**{k: value for k, value in LATER.items() if k in identity}, **saved["identity"]}
    different = [k for k in {**before, **identity} if before.get(k) != identity.get(k)]
    if different:
        lines = "; ".join(_contrast(k, before.get(k), identity.get(k)) for k in sorted(different))
        raise CheckpointError(
            f"{path} is of another configuration: {lines}. Resume with that configuration, or give this run "
            "another place"
        )
    return saved


def _contrast(key: str, before: object, now: object) -> str:
    """What a key was and is; of long texts only where they begin to differ."""
    old = repr(before)
    new = repr(now)
    start = 0
    if max(len(old), len(new)) > _SHOWN:
        differ = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), 0)
        start = max(differ - 10, 0)
    return f"{key} was {_cut(old, start)}, now {_cut(new, start)}"


def _cut(text: str, start: int) -> str:
    end = start + _SHOWN
    return ("..." if start else "") + text[start:end] + ("..." if end < len(text) else "")
