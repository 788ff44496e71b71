"""NumPy's archives, ``.npz``: arrays by name, mapped from a copy; nothing pickled."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import IO, Literal

import numpy as np
from torch import Tensor

from ..failures import tamed
from ..stack.entries import UnfitError, as_tensor
from .apart import copied

_MOST_TIMES = 64
"""How much larger than its file an archive may become."""
_HEADER = 1 << 14
_LOCAL = 30  # bytes of a part's own header in a zip, before its name


def read_archive(path: Path) -> Mapping[str, Tensor]:
    """The arrays of an archive by name.

    Raises:
        UnfitError: it is damaged, has pickled objects, or would become far larger than its file.
    """
    with copied(path) as copy:
        return _read(copy)


def _read(path: Path) -> Mapping[str, Tensor]:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        try:
            with zipfile.ZipFile(file) as archive:
                return _arrays(path, size, file, archive)
        except (
            zipfile.BadZipFile,
            zlib.error,
            ValueError,
            EOFError,
            NotImplementedError,
            RuntimeError,
            KeyError,
        ) as error:
            raise UnfitError(ValueError, f"is damaged or no archive of NumPy's ({tamed(error, 120)})") from None


def _arrays(path: Path, size: int, file: IO[bytes], archive: zipfile.ZipFile) -> dict[str, Tensor]:
    entries = archive.infolist()
    if len({entry.filename for entry in entries}) != len(entries):
        raise UnfitError(ValueError, "has two arrays of one name")
    if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in entries):
        raise UnfitError(ValueError, "is packed in a way that NumPy does not use: save it with numpy.savez")
    if sum(entry.file_size for entry in entries) > _MOST_TIMES * size:
        raise UnfitError(ValueError, f"would become more than {_MOST_TIMES} times its size: save it with numpy.savez")
    tensors = {}
    for entry in entries:
        name = entry.filename.removesuffix(".npy")
        if name == entry.filename:
            raise UnfitError(ValueError, f"holds {tamed(entry.filename)}, which is no array")
        try:
            tensors[name] = as_tensor(_array(path, size, file, archive, entry))
        except UnfitError as error:
            raise UnfitError(error.error, f"{tamed(name)} {error.text}") from None
    return tensors


def _array(path: Path, size: int, file: IO[bytes], archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(entry) as part:
        version = np.lib.format.read_magic(part)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in read_header:
            raise UnfitError(ValueError, f"is of version {version} of NumPy's format")
        shape, by_column, dtype = read_header[version](part, max_header_size=_HEADER)
        if dtype.hasobject:
            raise UnfitError(TypeError, "is pickled; pickles run code, so it is not loaded")
        start = part.tell()
        due = prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or due != entry.file_size - start:
            raise UnfitError(ValueError, f"claims {due:,} bytes, but the file has {entry.file_size - start:,}")
        order: Literal["C", "F"] = "F" if by_column else "C"
        if entry.compress_type != zipfile.ZIP_STORED or due == 0:
            content = part.read()  # whose checksum is compared
            flat: np.ndarray = np.frombuffer(content, dtype=dtype)
            return flat.reshape(shape, order=order)
    file.seek(entry.header_offset + _LOCAL - 4)
    lengths = np.frombuffer(file.read(4), dtype="<u2")
    offset = entry.header_offset + _LOCAL + int(lengths.sum()) + start
    if offset + due > size:
        raise UnfitError(ValueError, "is cut off")
    found: np.ndarray = np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape, order=order)
    return found
