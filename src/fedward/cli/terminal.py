"""The process as the terminal sees it: Ctrl-C before and after the work, encodings that lack a letter, the folder."""

from __future__ import annotations

import codecs
import os
import signal
import sys
from contextlib import suppress
from io import TextIOWrapper
from unicodedata import combining, normalize

TYPE_CHECKING = False  # true for type checkers; this is loaded before Ctrl-C is seen to, so it loads little
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import IO

    Handler = Callable[[int, FrameType | None], None]

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it; and after what is treated like it."""
_ENDING = ("SIGINT", "SIGTERM", "SIGHUP")
"""Ctrl-C, what `kill`, batch systems and containers send, and a terminal that is closed."""


_OF_NUMBA = ("NUMBA_CACHE_DIR", "NUMBA_CACHE_LOCATOR_CLASSES", "NUMBA_CUDA_MEMORY_MANAGER", "NUMBA_CUDA_DRIVER")
"""What numba would otherwise take from a file in the folder, and load compiled loops or modules from there."""


def keep_folder_out() -> None:
    """Load no module of the folder that the command is given in, which may be a stranger's; workers load none either.

    ``python -m fedward`` puts it first on the path, and so does each process that a grid starts.
    """
    folder = os.getcwd() if os.path.isdir(os.curdir) else ""
    home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if sys.path[0] in ("", folder) and os.path.dirname(home) != folder and not sys.flags.safe_path:
        del sys.path[0]
    os.environ["PYTHONSAFEPATH"] = "1"
    for name in _OF_NUMBA:
        os.environ.setdefault(name, "")


def leave_when_interrupted() -> None:
    """From now on Ctrl-C ends the process at once: nothing has begun, or all is done.

    KeyboardInterrupt would be lost in modules that are just being loaded. Where Ctrl-C is ignored, it remains so.
    """
    _answer(_leave, (signal.default_int_handler, signal.SIG_DFL, _interrupt))


def interrupts_raise() -> None:
    """From now on Ctrl-C raises KeyboardInterrupt, so that what was done can be saved."""
    _answer(_interrupt, (_leave,))


def _answer(handler: Handler, instead_of: tuple[object, ...]) -> None:
    """Give signals that ask to end another handler, where they have one of these."""
    for name in _ENDING:
        number = getattr(signal, name, None)  # not every system has them all
        if number is not None and signal.getsignal(number) in instead_of:
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, b"Stopped.\n")
    os._exit(INTERRUPTED)


LONGEST = 1_500
"""Characters of a line: one that has more repeats what somebody gave, a megabyte perhaps."""


def shortened(text: str, most: int = LONGEST) -> str:
    """Text whose lines are none too long to be read."""
    if len(text) <= most:
        return text
    lines = text.split("\n")
    return "\n".join(x if len(x) <= most else f"{x[:most]}... ({len(x):,} characters)" for x in lines)


def harmless(text: str) -> str:
    """Text as a terminal may be given it, whoever wrote a part of it: its lines, none too long, and nothing to obey.

    An escape sequence in the name of a file could otherwise move the cursor up, and write another verdict there.
    """
    from ..failures import tamed_lines

    return tamed_lines(shortened(text))


def say_error(text: str) -> None:
    """Write it on standard error."""
    import typer  # not before something went wrong: this module is loaded first of all

    label = "Error" if os.environ.get("NO_COLOR") else typer.style("Error", fg="red", bold=True)
    typer.echo(f"{label} {harmless(text)}", err=True)


def write_anything(stream: object) -> None:
    """Let a stream write what its encoding lacks as the nearest plain letter, or a question mark."""
    codecs.register_error("fedward-plain", _plain)
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="fedward-plain")


class _Unfailing(TextIOWrapper):
    """A stream that nothing hangs on: what cannot be written, as on a full disk, is lost, and the work goes on."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


def never_failing(stream: object) -> object:
    """The stream, for progress and errors, of which none may end the work that it is about."""
    if isinstance(stream, _Unfailing) or not isinstance(stream, TextIOWrapper):
        return stream  # a second one around the same bytes would close them for the first
    return _Unfailing(stream.buffer, encoding=stream.encoding, errors=stream.errors, line_buffering=True)


def abandon(stream: IO[str]) -> None:
    """Lose what is left to write to a stream that failed: Python would try once more at the end, and fail again."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _plain(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    letters = normalize("NFKD", error.object[error.start : error.end])
    return "".join(c if c.isascii() else "?" for c in letters if not combining(c)), error.end
