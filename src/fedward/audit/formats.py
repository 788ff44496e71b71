"""What a client's files hold, whatever their format: tensors by name, mapped where they lie."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ..disk import json_of, open_regular, read_bounded
from ..failures import tamed
from ..stack.entries import UnfitError
from ..stack.tensorfile import Lying, TensorFile
from .adapters import Adapter, adapter_of
from .arrays import read_archive
from .clients import ADAPTER_CONFIG, INDEX, SUFFIXES, Place, indices_in, is_client, models_in
from .pickled import read_torch

CHANGED = "its file was changed while it was read"
_MOST_JSON = 1 << 26
_ADAPTERS = ("adapter_model.safetensors", "adapter_model.bin")


@dataclass(frozen=True, kw_only=True, eq=False)
class Contents:
    """What a client's files hold.

    Attributes:
        tensors: by name; those of safetensors files without values, which `values` reads.
        metadata: text that came along, which the output has too if it is the base's.
        files: that tensors without values are in.
        adapter: how low-rank factors are put together, if it is an adapter.
        stamps: the files that were read, and what they were like then.
        key: where the model is in a file that holds several, of which nobody said which one is meant.
        others: where the others are; none if there is one.
    """

    tensors: Mapping[str, Tensor]
    files: tuple[TensorFile, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    adapter: Adapter | None = None
    stamps: Mapping[Path, tuple[int, ...]] = field(default_factory=dict)
    key: str = ""
    others: tuple[str, ...] = ()

    def changed(self) -> Path | None:
        """A file that is not what it was when it was read, if there is one."""
        changed = [Path(file.path) for file in self.files if file.changed()]
        return next(iter([*changed, *(path for path, stamp in self.stamps.items() if _stamp(path) != stamp)]), None)

    @property
    def time(self) -> int:
        """When the last of the files was written, in nanoseconds."""
        return max([*(file.time for file in self.files), *(stamp[-1] for stamp in self.stamps.values())], default=0)

    def where(self, tensor: Tensor) -> tuple[TensorFile, Lying] | None:
        """Where one of `tensors` lies in a file; None if its values are at hand."""
        if not tensor.is_meta:
            return None
        return next((file, file.entry(tensor)) for file in self.files if file.holds(tensor))

    def values(self, tensor: Tensor) -> Tensor:
        """One of `tensors` with its values.

        Raises:
            UnfitError: they cannot be read any more.
        """
        place = self.where(tensor)
        held = tensor if place is None else place[0].values(tensor)
        if held is None:
            raise UnfitError(ValueError, CHANGED)
        return held


@dataclass(frozen=True, kw_only=True)
class _How:
    """How files are read, see `read_contents`."""

    key: str | None
    keep: bool
    lenient: bool


def read_contents(place: Place, key: str | None = None, *, keep: bool = True, lenient: bool = False) -> Contents:
    """What a client's files hold; of tensors no more than their places is read where the format has it so.

    Args:
        place: the file or folder.
        key: where a pickled file has the model, ``model.state``; it is searched for if not given.
        keep: leave files open; a process may have about a thousand.
        lenient: a key that leads nowhere is for other files, and none for this one.

    Raises:
        UnfitError: it cannot be read; with the reason.
    """
    try:
        return _read(place, _How(key=key, keep=keep, lenient=lenient))
    except UnfitError:
        raise
    except OSError as error:
        raise UnfitError(ValueError, f"cannot be read: {tamed(error.strerror or error)}") from None
    except RecursionError:
        raise UnfitError(ValueError, "is nested too deeply") from None
    except MemoryError:
        raise UnfitError(ValueError, "claims more than there is memory for") from None


def _read(place: Place, how: _How) -> Contents:
    path = place.path
    if not path.is_dir():
        return _read_index(place, path, how) if path.name.endswith(INDEX) else _read_file(place, path, how)
    if (path / ADAPTER_CONFIG).exists():
        return _read_adapter(place, path, how)
    if is_client(path):
        indices = indices_in(path)
        if len(indices) > 1:
            raise UnfitError(ValueError, f"has {len(indices)} indices of shards; one is due")
        return _read_index(place, indices[0], how)
    models = models_in(path)
    if len(models) != 1:
        names = ", ".join(tamed(model.name) for model in models[:5])
        raise UnfitError(
            ValueError, f"holds {len(models) or 'no'} models where one is due" + (f": {names}" if names else "")
        )
    return _read_file(place, models[0], how)


def _read_file(place: Place, path: Path, how: _How) -> Contents:
    if place.outside(path):
        raise UnfitError(ValueError, "is a link that leads out of its folder")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        path.lstat()  # what is not there has no format that could be wrong
        known = ", ".join(SUFFIXES)
        raise UnfitError(ValueError, f"has the suffix {tamed(path.suffix)!r}, which is none of {known}")
    with open_regular(path) as file:
        stamp = _stamp_of(os.fstat(file.fileno()))
    return replace(reader(path, how), stamps={path: stamp})


def _safetensors(path: Path, how: _How) -> Contents:
    file = TensorFile(str(path), keep=how.keep)
    return Contents(tensors=file.tensors, files=(file,), metadata=file.metadata)


def _torch(path: Path, how: _How) -> Contents:
    found = read_torch(path, how.key, lenient=how.lenient)
    return Contents(tensors=found.tensors, key=found.key, others=found.others)


def _npz(path: Path, how: _How) -> Contents:
    return Contents(tensors=read_archive(path))


_READERS: Mapping[str, Callable[[Path, _How], Contents]] = {
    ".safetensors": _safetensors,
    ".pt": _torch,
    ".pth": _torch,
    ".ckpt": _torch,
    ".bin": _torch,
    ".npz": _npz,
}


def _read_index(place: Place, path: Path, how: _How) -> Contents:
    """A model in several files, and an index that says which tensor is where."""
    if place.outside(path):
        raise UnfitError(ValueError, "is a link that leads out of its folder")
    with open_regular(path) as file:
        stamps = {path: _stamp_of(os.fstat(file.fileno()))}
    where = _json(path).get("weight_map")
    if not isinstance(where, dict) or not where or not all(isinstance(shard, str) for shard in where.values()):
        raise UnfitError(ValueError, f"{tamed(path.name)} has no weight_map of tensors to files")
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    files: tuple[TensorFile, ...] = ()
    for shard in sorted(set(where.values())):
        if not _plain_name(shard):
            raise UnfitError(ValueError, f"names a shard {tamed(shard)!r}, which is no name of a file beside it")
        file_place = replace(place, within=place.within or path.parent)
        part = _read_file(file_place, path.parent / shard, how)
        due = {name for name, file_name in where.items() if file_name == shard}
        lacks, adds = sorted(due - part.tensors.keys()), sorted(part.tensors.keys() - due)
        if lacks or adds:
            told = f"lacks {tamed(lacks[:3])}" if lacks else f"holds {tamed(adds[:3])} as well"
            raise UnfitError(ValueError, f"shard {tamed(shard)} {told}, says its index")
        tensors |= part.tensors
        files += part.files
        metadata |= part.metadata
        stamps |= part.stamps
    return Contents(tensors=tensors, files=files, metadata=metadata, stamps=stamps)


def _read_adapter(place: Place, folder: Path, how: _How) -> Contents:
    config = folder / ADAPTER_CONFIG
    if place.outside(config):
        raise UnfitError(ValueError, "is a link that leads out of its folder")
    there = [folder / name for name in _ADAPTERS if os.path.lexists(folder / name)]
    if len(there) != 1:
        raise UnfitError(ValueError, f"holds {len(there) or 'no'} adapters; one of {' or '.join(_ADAPTERS)} is due")
    with open_regular(config) as file:
        stamp = _stamp_of(os.fstat(file.fileno()))
    settings = _json(config)
    contents = _read_file(place, there[0], how)
    held = {name: contents.values(tensor) for name, tensor in contents.tensors.items()}
    return replace(
        contents, tensors=held, adapter=adapter_of(settings, held), stamps={**contents.stamps, config: stamp}
    )


def _json(path: Path) -> Mapping[str, Any]:
    try:
        value = json_of(read_bounded(path, _MOST_JSON))
    except (ValueError, UnicodeDecodeError):
        raise UnfitError(ValueError, f"{tamed(path.name)} is no JSON") from None
    if not isinstance(value, dict):
        raise UnfitError(ValueError, f"{tamed(path.name)} is no JSON object")
    return value


def _plain_name(name: str) -> bool:
    """Whether a name is that of a file in the same folder, and of nothing else."""
    return name.isprintable() and name not in ("", ".", "..") and not set(name) & set("/\\:") and "\0" not in name


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        return _stamp_of(os.stat(path))
    except OSError:
        return ()


def _stamp_of(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
