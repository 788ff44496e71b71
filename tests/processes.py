"""Processes that a test starts, which end with it, and waiting for what they do."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Timer
from typing import Any

PATIENCE = 300.0
"""Seconds after which nothing more is waited for: far more than a busy machine needs."""


@contextmanager
def started(command: Sequence[str], *, patience: float = PATIENCE, **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A process for as long as the block lasts, whatever ends the block.

    One that a failing test leaves behind is reported by Python wherever its object happens to be collected: as the
    failure of some later test.

    Args:
        patience: seconds after which it is killed, so that whoever reads what it says goes on.
    """
    with subprocess.Popen(command, **options) as process:
        end = Timer(patience, process.kill)
        end.start()
        try:
            yield process
        finally:
            end.cancel()
            process.kill()


def until(condition: Callable[[], object], said: Callable[[], str] = str, patience: float = PATIENCE) -> None:
    """Wait until the condition holds, or fail with what there is to say."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, f"nothing within {patience:g} s {said()}"
        time.sleep(0.05)


def heed_interrupts() -> None:
    """Shells start background jobs, and what they start, with the interrupt ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
