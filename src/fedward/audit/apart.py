"""A copy of a client's file that nobody else can write to, for readers that map files into memory.

Of a mapped file that somebody makes shorter the next byte that is read ends the whole process.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..disk import open_regular
from ..stack.entries import UnfitError


@contextmanager
def copied(path: Path) -> Iterator[Path]:
    """A copy in the folder for temporary files; what is mapped of it stays when its name is gone.

    Raises:
        UnfitError: the file became longer or shorter meanwhile.
        OSError: it cannot be read, or there is no room.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        handle, name = tempfile.mkstemp(prefix="fedward-", suffix=path.suffix)
        try:
            with os.fdopen(handle, "wb") as copy:
                if shutil.disk_usage(name).free < size:
                    raise OSError(errno.ENOSPC, f"has no room in {tempfile.gettempdir()} for a copy; set TMPDIR")
                shutil.copyfileobj(file, copy, 1 << 20)
                if copy.tell() != size:
                    raise UnfitError(ValueError, "its file was changed while it was read")
            yield Path(name)
        finally:
            os.unlink(name)
