"""The other end of a worker's pipe: asks, waits no longer than it may, and stops what takes too long or too much."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_PAGE = os.sysconf("SC_PAGE_SIZE")
_GRACE = 900.0  # seconds for what is no measurement: starting, filling a stack
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


class StoppedError(RuntimeError):
    """A worker was stopped or died; the next question starts another."""


class AnswerError(RuntimeError):
    """A worker answered with an exception."""


def environment(threads: int, path: Sequence[Path]) -> dict[str, str]:
    """This process's variables, with so many threads for every library, and these folders to import from."""
    many = dict.fromkeys(THREAD_VARIABLES, str(threads))
    return {**os.environ, **many, "PYTHONPATH": os.pathsep.join(map(str, path))}


class Worker:
    """A process behind a pipe, started when it is first asked, and again after it was stopped.

    Args:
        command: what to run.
        env: its variables.
        memory: bytes that it may have resident.
        log: where its error output goes.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str], memory: float, log: Path) -> None:
        self.command, self.env, self.memory, self.log = list(command), dict(env), memory, log
        self.process: subprocess.Popen[str] | None = None
        self._stack: dict[str, Any] = {}

    def ask(self, do: str, limit: float = _GRACE, **arguments: Any) -> dict[str, Any]:
        """What the worker answers.

        Raises:
            StoppedError: it took longer than ``limit`` seconds or too much memory, or died.
            AnswerError: it answered with an exception.
        """
        process = self._running()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            process.stdin.flush()
        except BrokenPipeError as error:
            raise self._stopped(f"its process ended with code {process.wait()}") from error
        reply: dict[str, Any] = json.loads(self._reply(process, limit))
        if "error" in reply:
            raise AnswerError(reply["error"])
        return reply

    def hold(self, **stack: Any) -> None:
        """Have the worker hold this stack, unless it does already."""
        if self.process is None or self._stack != stack:
            self.ask("stack", **stack)
            self._stack = stack

    def close(self) -> None:
        """End the process, if there is one."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
        self.process, self._stack = None, {}

    def _running(self) -> subprocess.Popen[str]:
        if self.process is None:
            with self.log.open("a") as log:
                self.process = subprocess.Popen(
                    self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=self.env
                )
        return self.process

    def _reply(self, process: subprocess.Popen[str], limit: float) -> str:
        assert process.stdout is not None
        end = time.monotonic() + limit
        while not select.select([process.stdout], [], [], 0.1)[0]:
            if time.monotonic() > end:
                raise self._stopped(f"more than {limit:g} s")
            if self._resident(process.pid) > self.memory:
                raise self._stopped(f"more than {self.memory / 1e9:.0f} GB of memory")
        line = process.stdout.readline()
        if not line:
            raise self._stopped(f"its process ended with code {process.wait()}")
        return line

    def _stopped(self, why: str) -> StoppedError:
        self.close()
        return StoppedError(why)

    @staticmethod
    def _resident(pid: int) -> int:
        file = Path(f"/proc/{pid}/statm")
        return int(file.read_text().split()[1]) * _PAGE if file.exists() else 0
