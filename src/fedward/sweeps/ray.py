"""Cells as tasks of a Ray cluster, whose machines see the folder of the sweep under the same name."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..experiments.pool import ENDING, Counted, Failed
from ..experiments.spec import RunSpec, SpecError
from ..failures import install, sentence
from .store import CellState
from .work import Elsewhere, Jobs, OnDone, OnProgress, Outcome, rounds_in, work_on

_RETRIES = 3
"""How often a cell is begun again whose process or machine is lost; it resumes from its last checkpoint."""


@dataclass(frozen=True, kw_only=True)
class Ray:
    """A cluster, one core a cell. Checkpoints are written as they are anywhere.

    Args:
        address: of the cluster, as ``ray.init`` takes it; "local" starts one on this machine.
        workers: cores of a cluster that is started here; all if None.
    """

    address: str
    workers: int | None = None

    def work(self, jobs: Jobs, *, on_progress: OnProgress | None, on_done: OnDone) -> None:
        """See `fedward.sweeps.work.Engine`.

        Raises:
            SpecError: Ray is not installed.
        """
        try:
            import ray
        except ModuleNotFoundError as error:
            raise SpecError(f"Ray is not installed: {install('ray')}") from error

        if ray.is_initialized():
            _work(ray, jobs, on_progress, on_done)
            return
        own: dict[str, Any] = {}
        if self.address == "local":
            own = {"num_cpus": self.workers, "include_dashboard": False}
        try:
            with _answers_kept():
                ray.init(address=self.address, log_to_driver=False, **own)
            _work(ray, jobs, on_progress, on_done)
        finally:
            ray.shutdown()


@contextmanager
def _answers_kept() -> Iterator[None]:
    """What answers signals that ask to end is the same afterwards: Ray's answer to one kills cells in the middle."""
    before = {number: signal.getsignal(number) for number in ENDING}
    yield
    if threading.current_thread() is threading.main_thread():
        for number, answer in before.items():
            if answer is not None:
                signal.signal(number, answer)


def _work(ray: Any, jobs: Jobs, on_progress: OnProgress | None, on_done: OnDone) -> None:
    task = ray.remote(num_cpus=1, max_retries=_RETRIES)(_one)
    running = {task.remote(spec, place.resolve(), key): place for place, (spec, _, key) in jobs.items()}
    far = None if on_progress is None else Counted(rounds_in, jobs)
    try:
        while running:
            ready, _ = ray.wait(list(running), num_returns=1, timeout=0.5)
            for reference in ready:
                on_done(running.pop(reference), _outcome(ray, reference))
            if far is not None and on_progress is not None:
                on_progress(far.now(jobs.keys() - running.values()))
    except BaseException:
        for reference in running:
            ray.cancel(reference)  # as Ctrl-C is: the last round is saved
        if running:
            ray.wait(list(running), num_returns=len(running), timeout=60)
        raise


def _one(spec: RunSpec, place: Path, key: str) -> CellState | Elsewhere:
    """In a process of the cluster."""
    torch.set_num_threads(1)
    # Ray cancels by an interrupt, which is ignored in whatever a job in a shell's background has started.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return work_on(spec, place, key)


def _outcome(ray: Any, reference: Any) -> Outcome:
    try:
        outcome: CellState | Elsewhere = ray.get(reference)
    except ray.exceptions.RayError as error:
        return Failed(why=f"lost by the cluster: {sentence(error)}; what it had saved is there")
    return outcome
