"""One writer a folder: a lock on the file ``.lock`` in it, which ends with its process (`fedward.sim.locking`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..sim.locking import GLANCE, LockedError, holder_of, is_held, released, taken

__all__ = ["LockedError", "is_locked", "one_writer"]

_FILE = ".lock"


@contextmanager
def one_writer(folder: Path, *, wait: float = GLANCE) -> Iterator[None]:
    """Be the only one who writes in a folder, which is made if it is not there, and goes again if it stays empty.

    Args:
        folder: its path.
        wait: seconds that another writer may take before this one is refused. Whoever only looks whether the folder is
            locked holds the lock for a moment, too.

    Raises:
        LockedError: another process, or another part of this one, writes there.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    file = folder / _FILE
    held = taken(file, wait)
    if held is None:
        raise LockedError(f"{holder_of(file)} writes in {folder}: wait until it ends, or take another folder")
    try:
        yield
    finally:
        released(file, held)
        for place in made:
            with suppress(OSError):  # something is in it now
                place.rmdir()


def is_locked(folder: Path) -> bool:
    """Whether somebody writes in a folder at this moment. Looking changes nothing there."""
    return is_held(folder / _FILE)
