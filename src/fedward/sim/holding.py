"""Whose files they are: a run holds those that it writes, and no other process writes there meanwhile."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import RLock

from ..disk import lock_beside
from ..failures import tamed
from .locking import LockedError, holder_of, released, taken


@dataclass(kw_only=True)
class _Held:
    """A lock of this process, and how many of its runs have it."""

    descriptor: int
    process: int
    runs: int = 1


_locks: dict[Path, _Held] = {}
_guard = RLock()  # a run that is thrown away may let go at any moment, in this very thread too


class Hold:
    """The right to write files, for a run; other runs of the same process may have it, too.

    It ends with `let_go`, which a ``with`` block does, with the object that has it, or with the process, however that
    ends. Where a file system has no locks, there is a warning.

    Args:
        files: of the run, those that are None left out.
        remedy: what to do where another process writes them.
    """

    def __init__(self, files: Iterable[Path | None], remedy: str) -> None:
        self._files = [file for file in files if file is not None]
        self._remedy = remedy
        self._taken: list[Path] = []
        weakref.finalize(self, _let_go, self._taken)

    def take(self) -> None:
        """Have the right from now on.

        Raises:
            LockedError: another process writes one of the files.
        """
        if self._taken:
            return
        try:
            for file in self._files:
                lock = lock_beside(file.parent.resolve() / file.name)
                self._take(lock, file)
                self._taken.append(lock)
        except BaseException:
            self.let_go()
            raise

    def let_go(self) -> None:
        """Leave the files to others."""
        _let_go(self._taken)

    def _take(self, lock: Path, file: Path) -> None:
        with _guard:
            held = _locks.get(lock)
            if held is not None and held.process == os.getpid():
                held.runs += 1
                return
            descriptor = taken(lock)
            if descriptor is None:
                raise LockedError(f"{holder_of(lock)} writes {tamed(file)}, so that this run cannot: {self._remedy}")
            _locks[lock] = _Held(descriptor=descriptor, process=os.getpid())

    def __enter__(self) -> None:
        self.take()

    def __exit__(self, *_: object) -> None:
        self.let_go()


def _let_go(locks: list[Path]) -> None:
    with _guard:
        while locks:
            lock = locks.pop()
            held = _locks.get(lock)
            if held is None or held.process != os.getpid():
                continue  # the process that this one was forked from has it
            held.runs -= 1
            if not held.runs:
                del _locks[lock]
                released(lock, held.descriptor)
