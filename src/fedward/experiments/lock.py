"""One writer a folder: a lock that ends with its process, however that ends.

The lock is the system's, on the file ``.lock`` of the folder. A file that a killed process left there is nobody's: what
counts is whether a process that lives holds the lock. It goes away with whoever holds it.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..disk import json_of, read_bounded
from ..failures import MendableError

_FILE = ".lock"
_GLANCE = 0.5  # seconds: `is_locked` takes far less
_LOOKING = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # a FIFO of that name makes nobody wait
_LONGEST = 1000  # bytes that are read of what a holder says of itself


class LockedError(MendableError, RuntimeError):
    """Another process writes in the folder; the message says which one, and what to do."""


@contextmanager
def one_writer(folder: Path, *, wait: float = _GLANCE) -> Iterator[None]:
    """Be the only one who writes in a folder, which is made if it is not there, and goes again if it stays empty.

    Args:
        folder: its path.
        wait: seconds that another writer may take before this one is refused. Whoever only looks whether the folder is
            locked holds the lock for a moment, too.

    Raises:
        LockedError: another process, or another part of this one, writes there.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    end = time.monotonic() + wait
    held = _taken(folder)
    while held is None and time.monotonic() < end:
        time.sleep(0.01)
        held = _taken(folder)
    if held is None:
        raise LockedError(f"{_holder(folder)} writes in {folder}: wait until it ends, or take another folder")
    try:
        _say_who(held)
        yield
    finally:
        _release(folder, held)
        for place in made:
            with suppress(OSError):  # something is in it now
                place.rmdir()


def is_locked(folder: Path) -> bool:
    """Whether somebody writes in a folder at this moment. Looking changes nothing there."""
    try:
        descriptor = os.open(folder / _FILE, os.O_RDONLY | _LOOKING)
    except OSError:  # none, or none that we may read: then we could not write there either
        return False
    try:
        _lock(descriptor, folder / _FILE, shared=True)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _taken(folder: Path) -> int | None:
    """The lock of a folder, as an open file; None if somebody has it."""
    file = folder / _FILE
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except FileNotFoundError:
            continue  # whoever made the folder has just taken it away
        try:
            _lock(descriptor, file)
            if _is_there(descriptor, file):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder has taken the file away meanwhile: another one counts now


def _is_there(descriptor: int, file: Path) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(file))
    except FileNotFoundError:
        return False


def _release(folder: Path, descriptor: int) -> None:
    with suppress(OSError):
        (folder / _FILE).unlink()  # as long as it is ours: who waits for it sees that it is gone
    os.close(descriptor)


def _say_who(descriptor: int) -> None:
    """Write down who holds the lock, for people; the lock does not hang on it, so a full disk does not matter."""
    text = json.dumps({"process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M")})
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.write(descriptor, text.encode())


def _holder(folder: Path) -> str:
    """Who holds the lock, in words."""
    try:
        said = json_of(read_bounded(folder / _FILE, _LONGEST))
        return f"process {int(said['process'])} on {str(said['host'])[:80]} (since {str(said['since'])[:20]})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int, file: Path, shared: bool = False) -> None:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(error.errno, error.strerror) from error

else:
    import fcntl

    def _lock(descriptor: int, file: Path, shared: bool = False) -> None:
        """Lock an open file; shared, so that others may share it.

        Raises:
            BlockingIOError: somebody has locked it.
        """
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK):
                raise
            warnings.warn(
                f"{file.parent}: no locks on this file system ({error.strerror}): see that nobody else writes here",
                stacklevel=3,
            )
