"""`FileRow`: a row that lies in pieces of files, of which any columns can be had while the files are what they were."""

from __future__ import annotations

import mmap
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from .entries import Flat
from .tensorfile import TensorFile

PAGE = 4096
"""Bytes of which direct reading takes whole ones, in files and in memory, on every disk that is sold."""

# Bytes from which a piece is worth a request of its own past the system's cache.
_WORTH = 1 << 18


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Columns of a row that lie side by side in a file from byte ``place`` on, or whose values are in memory."""

    start: int
    stop: int
    dtype: torch.dtype
    source: TensorFile | Flat
    place: int = 0

    @property
    def end(self) -> int:
        """One past its last byte."""
        return self.place + (self.stop - self.start) * self.dtype.itemsize

    def joins(self, other: Stretch) -> bool:
        """Whether another one begins where this one ends, in the row and in the file."""
        if self.source is not other.source or isinstance(self.source, Flat):
            return False
        return (self.stop, self.end, self.dtype) == (other.start, other.place, other.dtype)


class Pages:
    """Memory that begins with a page, for direct reading; one piece is read after the other."""

    def __init__(self) -> None:
        self._memory: memoryview | None = None

    def of(self, size: int) -> memoryview:
        """So many bytes of it, rounded up to whole pages."""
        if self._memory is None or len(self._memory) < size:
            self._memory = whole_pages(size)
        return self._memory[: -(-size // PAGE) * PAGE]


def whole_pages(size: int) -> memoryview:
    """Memory of at least so many bytes that begins with a page, and is given back when nobody has a view of it."""
    return memoryview(mmap.mmap(-1, -(-size // PAGE) * PAGE))


class FileRow:
    """A row in pieces, as few as there can be.

    Args:
        stretches: in the order of the columns.
        read_as: the type in which columns are handed out.
    """

    def __init__(self, stretches: Iterable[Stretch], read_as: torch.dtype) -> None:
        self.read_as = read_as
        self._stretches = _merged(stretches)

    def wide(self) -> FileRow:
        """The same in float64, which holds whatever was sent."""
        return FileRow(self._stretches, torch.float64)

    def fill(self, out: np.ndarray, start: int, stop: int, pages: Pages | None = None) -> bool:
        """Fill ``out`` with columns; False where a file has changed.

        With ``pages`` large pieces are read past the system's cache, where that can be.
        """
        # Most rows lie in their files in one piece.
        k = bisect_right(self._stretches, start, key=_first_column) - 1
        while k < len(self._stretches) and self._stretches[k].start < stop:
            piece = self._stretches[k]
            a = max(start, piece.start)
            b = min(stop, piece.stop)
            if not self._fill_from(piece, out[a - start : b - start], a - piece.start, b - piece.start, pages):
                return False
            k += 1
        return True

    def _fill_from(self, piece: Stretch, out: np.ndarray, a: int, b: int, pages: Pages | None) -> bool:
        if isinstance(piece.source, Flat):
            out[:] = piece.source.part(a, b).to("cpu", self.read_as).numpy()
            return True
        size = piece.dtype.itemsize
        place = piece.place + a * size
        held: memoryview | bytearray | None = None
        if pages is not None and (b - a) * size >= _WORTH:
            held = _read_directly(piece.source, pages, place, (b - a) * size)
        if held is None and piece.dtype == self.read_as:
            return piece.source.read_into(out, place)
        if held is None:
            held = bytearray((b - a) * size)
            if not piece.source.read_into(held, place):
                return False
        out[:] = torch.frombuffer(held, dtype=piece.dtype).to(self.read_as).numpy()
        return True

    def load(self, slot: np.ndarray, start: int, stop: int, pages: Pages | None) -> int | None:
        """Read columns into a slot, which begins with a page and has two more than they need.

        Returns:
            The byte of the slot at which the columns begin; None where a file has changed.
        """
        size = self.read_as.itemsize
        whole = self._in_one_piece(start, stop)
        if pages is not None and whole is not None and isinstance(whole.source, TensorFile):
            place = whole.place + (start - whole.start) * size
            before = place % PAGE
            last = -(-(place + (stop - start) * size) // PAGE) * PAGE
            taken = slot.data[: last - place + before]
            if before % size == 0 and whole.source.read_directly(taken, place - before, before + (stop - start) * size):
                return before
        done = self.fill(slot[: (stop - start) * size].view(numpy_of(self.read_as)), start, stop, pages)
        return 0 if done else None

    def _in_one_piece(self, start: int, stop: int) -> Stretch | None:
        """The stretch that has all of these columns as they are handed out, if one has."""
        piece = self._stretches[bisect_right(self._stretches, start, key=_first_column) - 1]
        return piece if piece.stop >= stop and piece.dtype == self.read_as else None


def numpy_of(dtype: torch.dtype) -> np.dtype:
    """The type of arrays that tensors of a type are."""
    return torch.empty(0, dtype=dtype).numpy().dtype


def nothing(d: int, read_as: torch.dtype) -> FileRow:
    """A row of NaN, in the place of one that is lost."""
    whole = Flat(torch.tensor([torch.nan], dtype=read_as).expand(d))
    return FileRow([Stretch(start=0, stop=d, dtype=read_as, source=whole)], read_as)


def _read_directly(file: TensorFile, pages: Pages, place: int, count: int) -> memoryview | None:
    """Bytes of a file, read past the system's cache; None where that cannot be."""
    before = place % PAGE
    held = pages.of(before + count)
    return held[before : before + count] if file.read_directly(held, place - before, before + count) else None


def _merged(stretches: Iterable[Stretch]) -> Sequence[Stretch]:
    found: list[Stretch] = []
    for piece in stretches:
        if piece.start == piece.stop:
            continue
        if found and found[-1].joins(piece):
            piece = replace(found.pop(), stop=piece.stop)
        found.append(piece)
    return found


def _first_column(stretch: Stretch) -> int:
    return stretch.start
