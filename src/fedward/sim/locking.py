"""A lock that ends with its process, however that ends.

The lock is the system's, on a file that is there for nothing else. A file that a killed process left is nobody's: what
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
from contextlib import suppress
from pathlib import Path

from ..disk import json_of, read_bounded
from ..failures import MendableError, tamed

GLANCE = 0.5
"""Seconds that are worth waiting for a lock: `is_held` takes far less."""
_LOOKING = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # a FIFO of that name makes nobody wait
_LONGEST = 1000  # bytes that are read of what a holder says of itself


class LockedError(MendableError, RuntimeError):
    """Somebody else writes there; the message says who, and what to do."""


def taken(file: Path, wait: float = GLANCE) -> int | None:
    """The lock on a file, which is made with its folder, as an open file; None if somebody else has it.

    Args:
        file: the lock.
        wait: seconds that another holder may take. Whoever only looks holds the lock for a moment, too.
    """
    end = time.monotonic() + wait
    held = _taken(file)
    while held is None and time.monotonic() < end:
        time.sleep(0.01)
        held = _taken(file)
    if held is not None:
        _say_who(held)
    return held


def released(file: Path, descriptor: int) -> None:
    """Give a lock back that was taken."""
    with suppress(OSError):
        file.unlink()  # as long as it is ours: who waits for it sees that it is gone
    os.close(descriptor)


def is_held(file: Path) -> bool:
    """Whether somebody has the lock at this moment. Looking changes nothing there."""
    try:
        descriptor = os.open(file, os.O_RDONLY | _LOOKING)
    except OSError:  # none, or none that we may read: then we could not write there either
        return False
    try:
        _lock(descriptor, file, shared=True)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def holder_of(file: Path) -> str:
    """Who holds the lock, in words."""
    try:
        said = json_of(read_bounded(file, _LONGEST))
        host = tamed(said["host"], 80)
        return f"process {int(said['process'])} on {host} (since {tamed(said['since'], 20)})"
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return "another process"


def _taken(file: Path) -> int | None:
    while True:
        file.parent.mkdir(parents=True, exist_ok=True)
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


def _say_who(descriptor: int) -> None:
    """Write down who holds the lock, for people; the lock does not hang on it, so a full disk does not matter."""
    text = json.dumps({"process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M")})
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.write(descriptor, text.encode())


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
