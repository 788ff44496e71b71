"""What batch systems and closed terminals send ends a command as Ctrl-C does: a sentence, what was done is saved."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fedward.cli import audits, commands, sweeping
from fedward.cli.app import app
from fedward.cli.terminal import INTERRUPTED, leave_when_interrupted
from tests.fuzz.forked import forked
from tests.processes import PATIENCE

COMMANDS = {
    "run": (commands, "run", ["run"]),
    "sweep": (sweeping, "sweep", ["sweep", "x.toml"]),
    "redteam": (commands, "redteam", ["redteam", "--rule", "mean"]),
    "aggregate": (audits, "aggregate", ["aggregate", "x", "--rule", "mean", "-o", "y.safetensors"]),
    "report": (commands, "report", ["report", "x", "-o", "y.html"]),
}
RESUMED = ("run", "sweep", "redteam")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("name", list(COMMANDS))
def test_it_stops_with_a_sentence(name: str, number: signal.Signals, tmp_path: Path) -> None:
    module, function, words = COMMANDS[name]

    def work(*given: Any, **named: Any) -> None:
        os.kill(os.getpid(), number)
        time.sleep(2 * PATIENCE)

    def main() -> None:
        signal.signal(number, signal.SIG_DFL)
        leave_when_interrupted()  # as the program does before it loads anything
        setattr(module, function, work)
        sys.argv = ["fedward", *words]
        app()

    ended = forked(main, tmp_path, seconds=PATIENCE, memory=1 << 40)
    assert ended.status == INTERRUPTED, ended.said
    resumes = "; what was done is saved. The same command resumes" if name in RESUMED else ""
    assert f"Stopped{resumes}." in ended.said
