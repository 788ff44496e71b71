"""`TensorFile`: a safetensors file that is read piece by piece, and known to be the file that it was."""

from __future__ import annotations

import errno
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any
from weakref import finalize

import torch
from torch import Tensor

from ..disk import json_of, open_regular
from ..failures import tamed
from .entries import UnfitError

DTYPES: Mapping[str, torch.dtype] = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "U16": torch.uint16,
    "I16": torch.int16,
    "U32": torch.uint32,
    "I32": torch.int32,
    "U64": torch.uint64,
    "I64": torch.int64,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3": torch.float8_e4m3fn,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}
"""Types of tensors by the names that safetensors has for them."""
_HEADER = 1 << 24
"""Bytes that a header may have: that of a model of 100,000 tensors is as long."""
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""What goes wrong with this process or machine, and is no client's fault."""
_OTHERS = frozenset({".pt", ".pth", ".ckpt", ".bin", ".npz"})
"""Files of models in other formats."""
_SAME_TIME = 20_000_000
"""Nanoseconds within which the clock of file systems may not have moved."""

Stamp = tuple[int, int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class Lying:
    """Where a tensor lies in a file: its type, and its first byte."""

    dtype: torch.dtype
    start: int


class TensorFile:
    """A safetensors file: what its header says, and any piece of what it holds.

    It is read and never mapped: of a mapped file that somebody makes shorter the next byte that is read ends the whole
    process. Whether it is still the file that it was, its size and times tell (`changed`).

    Args:
        path: the file.
        keep: leave it open. If not, it is opened for every piece.

    Attributes:
        tensors: by name, without values, in the order of names, as the package safetensors has them. A tensor with two
            names, of which the file holds one, is there under both.
        metadata: text that came along.

    Raises:
        UnfitError: there is no such file, it is no regular file, damaged or no safetensors file.
    """

    def __init__(self, path: str, *, keep: bool) -> None:
        self.path = path
        self._handle: int | None = None
        try:
            file = open_regular(path)
        except FileNotFoundError:
            raise UnfitError(FileNotFoundError, f"there is no file {path}") from None
        except OSError as error:
            if error.errno in _OURS:
                raise
            raise UnfitError(ValueError, f"{path} cannot be read: it {error.strerror}") from None
        with file:
            self._stamp = _stamp(os.fstat(file.fileno()))
            try:
                self._read_header(file.read(8), file)
            except (ValueError, TypeError, OverflowError, RuntimeError, OSError) as error:
                if getattr(error, "errno", None) in _OURS:
                    raise
                raise UnfitError(ValueError, _unread(path, error)) from None
            if keep:
                self._handle = os.dup(file.fileno())
                self._closing = finalize(self, os.close, self._handle)

    def _read_header(self, start: bytes, file: Any) -> None:
        size = int.from_bytes(start, "little")
        if len(start) < 8 or size > self.size - 8:
            raise ValueError("it is shorter than it says")
        if size > _HEADER:
            raise ValueError(f"a header of {size:,} bytes, of which {_HEADER:,} are read")
        text = file.read(size)
        if not text.startswith(b"{"):
            raise ValueError("no header")
        header = json_of(text, pairs=_each_once, nan=False)
        tied = header.pop("__metadata__", {})
        if tied is None:
            tied = {}
        found = {name: _entry(name, said) for name, said in header.items()}
        end = 0
        for first, last in sorted(place for _, *place in found.values()):
            if first != end:
                raise ValueError("tensors overlap, or leave a hole")
            end = last
        if 8 + size + end != self.size:
            raise ValueError(f"{self.size:,} bytes, and not the {8 + size + end:,} that it says")
        tensors = {name: found[name][0] for name in sorted(found)}
        self._entries = {
            id(tensor): Lying(dtype=tensor.dtype, start=8 + size + found[name][1]) for name, tensor in tensors.items()
        }
        # Of a tensor with two names, `safetensors.torch.save_model` stores one, and which the other is.
        if not isinstance(tied, dict) or not all(isinstance(other, str) for other in tied.values()):
            raise ValueError("metadata that is no text")
        self.metadata: Mapping[str, str] = tied
        self.tensors = {**{name: tensors[other] for name, other in tied.items() if other in tensors}, **tensors}

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self._stamp[2]

    @property
    def time(self) -> int:
        """When it was last written or renamed, in nanoseconds."""
        return max(self._stamp[3:])

    def entry(self, tensor: Tensor) -> Lying:
        """Where one of `tensors` lies."""
        return self._entries[id(tensor)]

    def holds(self, tensor: Tensor) -> bool:
        """Whether it is one of `tensors`."""
        return id(tensor) in self._entries

    def changed(self) -> bool:
        """Whether it is another file than it was, as far as its size and times tell."""
        try:
            found = os.stat(self.path) if self._handle is None else os.fstat(self._handle)
        except OSError:
            return True
        return _stamp(found) != self._stamp

    def read_into(self, out: Any, start: int) -> bool:
        """Fill a buffer with what lies in the file from a byte on; False if the file ends before, or has changed."""
        if self._handle is not None:
            return _filled(self._handle, out, start)
        try:
            with open_regular(self.path) as file:
                if _stamp(os.fstat(file.fileno())) != self._stamp:
                    return False
                return _filled(file.fileno(), out, start)
        except OSError as error:
            if error.errno in _OURS:
                raise
            return False

    def read_directly(self, out: memoryview, start: int, count: int) -> bool:
        """Fill whole pages of memory from a page of the file on, past the system's cache; True if that did it.

        Args:
            out: the pages.
            start: the first byte, which begins a page.
            count: bytes that are wanted; the file may end behind them.
        """
        try:
            with open_regular(self.path, direct=True) as file:
                return (
                    _stamp(os.fstat(file.fileno())) == self._stamp and os.preadv(file.fileno(), [out], start) >= count
                )
        except OSError as error:
            if error.errno in _OURS:
                raise
            return False  # a file system that cannot, or a file that is gone: `read_into` tells which

    def release(self) -> None:
        """Open it for every piece from now on."""
        if self._handle is not None:
            self._closing()
            self._handle = None

    def values(self, tensor: Tensor) -> Tensor | None:
        """One of `tensors` with its values; None where they cannot be read any more."""
        held = bytearray(tensor.numel() * tensor.itemsize)
        if not self.read_into(held, self.entry(tensor).start):
            return None
        return (
            torch.frombuffer(held, dtype=tensor.dtype).reshape(tensor.shape)
            if held
            else torch.empty_like(tensor, device="cpu")
        )


def open_all(paths: Iterable[str], most: int) -> list[TensorFile | UnfitError]:
    """Files, as many of them kept open as ``most``; where one is none, why.

    Waits for at most a moment, where a file is new: what is written to it from now on has another time.
    """
    found: list[TensorFile | UnfitError] = []
    for path in paths:
        try:
            found.append(TensorFile(path, keep=len(found) < most))
        except UnfitError as error:
            found.append(error)
        except OSError as error:
            if error.errno not in _OURS:
                raise
            # The process may open fewer than that.
            most = 0
            for file in found:
                if isinstance(file, TensorFile):
                    file.release()
            found.append(TensorFile(path, keep=False))
    outlast(max((file.time for file in found if isinstance(file, TensorFile)), default=0))
    return found


def outlast(last: int) -> None:
    """Wait, a moment at most, until what is written to files has another time than one, in nanoseconds."""
    time.sleep(min(max(last + _SAME_TIME - time.time_ns(), 0), _SAME_TIME) / 1e9)


def _unread(path: str, error: Exception) -> str:
    """Why there are no tensors in a file; of a sound one in another format, by its name, what reads it."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in _OTHERS:
        return f"{path} is damaged or no safetensors file ({tamed(error)})"
    readers = "fedward aggregate and fedward.audit.run_aggregate"
    return f"{path} is a {suffix}: Files read .safetensors alone; {readers} read {suffix}, too"


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _filled(handle: int, out: Any, start: int) -> bool:
    """Fill a buffer from a file; one call of the system in nearly all cases."""
    rest = memoryview(out).cast("B")
    while rest:
        try:
            count = os.preadv(handle, [rest], start)
        except OSError:
            return False
        if not count:
            return False
        rest, start = rest[count:], start + count
    return True


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, of which no name may be there twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise ValueError(f"{tamed(twice, 80)!r} is there twice")
    return found


def _entry(name: str, said: Any) -> tuple[Tensor, int, int]:
    """A tensor without values, its first byte and the one after its last."""
    if not isinstance(said, dict) or said.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{tamed(name, 80)!r} has not type, shape and place alone")
    kind, shape, place = said["dtype"], said["shape"], said["data_offsets"]
    if kind not in DTYPES:
        raise ValueError(f"{tamed(name, 80)!r} is of type {tamed(kind, 40)}, which cannot be read")
    if not (_whole(shape) and _whole(place) and len(place) == 2):
        raise ValueError(f"{tamed(name, 80)!r} has no shape and place of whole numbers")
    if prod(shape) * DTYPES[kind].itemsize != place[1] - place[0]:
        raise ValueError(f"{tamed(name, 80)!r} has another size than its shape")
    return torch.empty(shape, dtype=DTYPES[kind], device="meta"), place[0], place[1]


def _whole(numbers: Any) -> bool:
    return isinstance(numbers, list) and all(type(number) is int and number >= 0 for number in numbers)
