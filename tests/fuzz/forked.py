"""One command line after the other, each in a process of its own that is forked from this one: nothing is loaded twice.

Memory and time of each are bounded, so that what never ends and what takes all memory are found out.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

CRASHES = ("Traceback (most recent call last)", "a fault of fedward")
MEMORY = "not enough memory"


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a case ended.

    Attributes:
        status: the exit status, or minus the number of the signal that ended it.
        said: all that it wrote.
        seconds, bytes: that it took; memory beyond what it began with.
        cpu: seconds of a core, which hang on nobody else.
        late: whether its time was over.
        full: whether it wanted more memory than it may have.
    """

    status: int
    said: str
    seconds: float
    bytes: int
    cpu: float
    late: bool
    full: bool

    @property
    def crashed(self) -> bool:
        """Whether it ended in any other way than by doing what it should or by refusing it in a sentence."""
        return not (self.late or self.full) and (
            self.status not in (0, 1, 2) or any(text in self.said for text in CRASHES)
        )


def forked(work: Callable[[], object], folder: Path, *, seconds: float, memory: int) -> Ended:
    """Do this in a new process in this folder, with so many bytes more than this one has, and no longer than this."""
    file = folder / ".said"
    before = _mapped()
    start = time.monotonic()
    begun, told = os.pipe()
    child = os.fork()
    if not child:
        os.write(told, b"%d" % _resident())  # fewer than here: what is mapped comes when it is touched
        _become(work, folder, file, before + memory)
    os.close(told)
    status, late, used, cpu, pause = None, False, 0, 0.0, 0.001
    try:
        while status is None:
            done, code, usage = os.wait4(child, os.WNOHANG)
            if done:
                status = os.waitstatus_to_exitcode(code)
                used = max(0, usage.ru_maxrss * 1024 - int(os.read(begun, 20) or 0))
                cpu = usage.ru_utime + usage.ru_stime
            elif time.monotonic() - start > seconds and not late:
                late = True
                os.killpg(child, signal.SIGKILL)
            else:
                time.sleep(pause)
                pause = min(2 * pause, 0.05)
    except BaseException:  # Ctrl-C reaches this process alone
        os.killpg(child, signal.SIGKILL)
        raise
    finally:
        os.close(begun)
    said = file.read_text(encoding="utf-8", errors="replace")
    file.unlink()
    took = time.monotonic() - start
    return Ended(status=status, said=said, seconds=took, bytes=used, cpu=cpu, late=late, full=MEMORY in said)


def _become(work: Callable[[], object], folder: Path, file: Path, memory: int) -> None:
    """In the new process, which never returns."""
    os.setpgid(0, 0)
    os.chdir(folder)
    out = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(out, 2)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    status = 99
    try:
        work()
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)


def _mapped() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def command(arguments: Sequence[str], folder: Path, *, seconds: float = 30, memory: int = 2 << 30) -> Ended:
    """A command line of fedward's."""
    from fedward.cli import commands, data  # noqa: F401  # loaded once, before the first fork
    from fedward.cli.app import app

    def work() -> None:
        sys.argv = ["fedward", *arguments]
        app()

    return forked(work, folder, seconds=seconds, memory=memory)
