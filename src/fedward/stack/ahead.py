"""`ReadAhead`: rows in files, read in large requests along each file while what came before is worked on.

A block of columns is a short piece of every file, and disks are slow at short pieces. So a pass reads a window of many
blocks at once, some megabytes of each file, and the next one while blocks of this one are worked on: two windows are
in memory.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from threading import Lock, Thread

import numpy as np

from ..disk import read_bounded
from .filerows import PAGE, FileRow, Pages, whole_pages

# Bytes of a window: as many as rows take of four megabytes each, within these bounds.
_PIECE = 1 << 22
_LEAST, _MOST = 1 << 26, 1 << 28
# Requests that a disk has at a time: one more than it works on.
_READERS = 2
# A stack of a larger share of the machine's memory is read past the system's cache, which could not hold it for the
# next pass anyway; filling it takes longer than reading from a fast disk.
_SHARE = 1 / 4


class ReadAhead:
    """What a pass over rows in files reads, in order of the columns; anything else is for others to read.

    Args:
        rows: all of the stack.
        d: columns of each.
    """

    def __init__(self, rows: Sequence[FileRow], d: int) -> None:
        self._rows = rows
        self._d = d
        self._pass: _Pass | None = None
        self._lock = Lock()

    def fill(self, out: np.ndarray, start: int, stop: int, wanted: Sequence[int]) -> list[int]:
        """Fill ``out`` with columns of the wanted rows: those of a pass are there already, others are read now.

        Returns:
            Which of the rows could not be read, by place.
        """
        failed = self._of_pass(out, start, stop, wanted)
        if failed is None:
            failed = [k for k, row in enumerate(wanted) if not self._rows[row].fill(out[k], start, stop)]
        return failed

    def _of_pass(self, out: np.ndarray, start: int, stop: int, wanted: Sequence[int]) -> list[int] | None:
        """The same, if a pass has got there, or begins here and is long enough to be worth it; None if not."""
        with self._lock:
            now = self._pass
            if now is None or not now.is_at(start, wanted):
                if start != 0 or stop == self._d or not self.worth(len(wanted)):
                    return None
                self._pass = None  # its windows are given back before there are new ones
                now = _Pass([self._rows[row] for row in wanted], tuple(wanted), self._d)
            self._pass = None  # one that fails is over: the next begins anew, with windows of its own
            failed = now.take(start, stop, out)
            if not failed and stop != self._d:
                self._pass = now
            return failed

    def worth(self, rows: int) -> bool:
        """Whether so many rows are more than are read at once anyway."""
        return rows * self._d * self._rows[0].read_as.itemsize > _LEAST


class _Pass:
    """One pass over some rows: two windows, of which one is read while the other is worked on."""

    def __init__(self, rows: Sequence[FileRow], wanted: tuple[int, ...], d: int) -> None:
        self._rows = rows
        self._wanted = wanted
        self._d = d
        self._process = os.getpid()  # a child that was forked has no readers
        self._at = 0
        size = rows[0].read_as.itemsize
        window = min(max(len(rows) * _PIECE, _LEAST), _MOST)
        self._width = max(window // (len(rows) * size), PAGE // size)
        slot = (-(-self._width * size // PAGE) + 2) * PAGE
        self._spare = [np.frombuffer(whole_pages(len(rows) * slot), np.uint8).reshape(len(rows), slot) for _ in "ab"]
        self._direct = len(rows) * d * size > _SHARE * memory()
        self._now = self._window(0)
        self._next: _Window | None = None

    def _window(self, start: int) -> _Window:
        slots = self._spare.pop()
        return _Window(slots, self._rows, start, min(start + self._width, self._d), direct=self._direct)

    def is_at(self, start: int, wanted: Sequence[int]) -> bool:
        """Whether these are the columns that come next, of the same rows."""
        return self._at == start and self._process == os.getpid() and self._wanted == tuple(wanted)

    def take(self, start: int, stop: int, out: np.ndarray) -> list[int]:
        """The columns that come next: which rows could not be read, by place."""
        failed: set[int] = set()
        while self._at < stop:
            if self._at == self._now.stop:
                assert self._next is not None
                self._spare.append(self._now.slots)
                self._now, self._next = self._next, None
            self._now.wait()
            if self._next is None and self._now.stop < self._d:
                self._next = self._window(self._now.stop)
            end = min(stop, self._now.stop)
            failed.update(self._now.copy(self._at, end, out[:, self._at - start : end - start]))
            self._at = end
        return sorted(failed)


class _Window:
    """Columns of rows that are read by threads of their own, as raw bytes: a slot each."""

    def __init__(self, slots: np.ndarray, rows: Sequence[FileRow], start: int, stop: int, *, direct: bool) -> None:
        self.slots = slots
        self.stop = stop
        self._rows = rows
        self._start = start
        self._direct = direct
        self._begin: list[int | None] = [None] * len(rows)
        self._error: BaseException | None = None
        self._readers = [Thread(target=self._read, args=(k,), daemon=True) for k in range(min(_READERS, len(rows)))]
        for reader in self._readers:
            reader.start()

    def _read(self, first: int) -> None:
        try:
            pages = Pages() if self._direct else None
            for place in range(first, len(self._rows), len(self._readers)):
                self._begin[place] = self._rows[place].load(self.slots[place], self._start, self.stop, pages)
        except BaseException as error:  # for the thread that waits
            self._error = error

    def wait(self) -> None:
        """Until all is read.

        Raises:
            OSError: something is wrong with this process or machine, and with no file.
        """
        for reader in self._readers:
            reader.join()
        if self._error is not None:
            raise self._error

    def copy(self, start: int, stop: int, out: np.ndarray) -> list[int]:
        """Copy columns: which rows could not be read, by place."""
        size = out.itemsize
        first, last = (start - self._start) * size, (stop - self._start) * size
        if len(set(self._begin)) == 1 and self._begin[0] is not None:  # files of one layout: one copy of all
            out[:] = self.slots[:, self._begin[0] + first : self._begin[0] + last].view(out.dtype)
            return []
        failed = []
        for place, begin in enumerate(self._begin):
            if begin is None:
                failed.append(place)
            else:
                out[place] = self.slots[place, begin + first : begin + last].view(out.dtype)
        return failed


@lru_cache(maxsize=1)
def memory() -> int:
    """Bytes of memory that this process may have."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")] if hasattr(os, "sysconf") else []
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # there is none, or it is "max"
            found.append(int(read_bounded(limit, PAGE)))
    return min(found, default=1 << 32)
