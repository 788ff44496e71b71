"""Cells as tasks of a Ray cluster, whose machines see the folder of the sweep under the same name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..experiments.pool import Failed
from ..experiments.spec import RunSpec, SpecError
from ..failures import sentence
from .store import CellState
from .work import Elsewhere, Jobs, Outcome, rounds_in, work_on

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

    def work(
        self,
        jobs: Jobs,
        *,
        on_progress: Callable[[Mapping[Path, int]], None] | None,
        on_done: Callable[[Path, Outcome], None],
    ) -> None:
        """See `fedward.sweeps.work.Engine`.

        Raises:
            SpecError: Ray is not installed.
        """
        try:
            import ray
        except ModuleNotFoundError as error:
            raise SpecError("Ray is not installed; install it with: pip install 'fedward[ray]'") from error

        started = not ray.is_initialized()
        own: dict[str, Any] = {}
        if self.address == "local":
            own = {"num_cpus": self.workers, "include_dashboard": False}
        try:
            if started:
                ray.init(address=self.address, log_to_driver=False, **own)
            _work(ray, jobs, on_progress, on_done)
        finally:
            if started:
                ray.shutdown()


def _work(
    ray: Any,
    jobs: Jobs,
    on_progress: Callable[[Mapping[Path, int]], None] | None,
    on_done: Callable[[Path, Outcome], None],
) -> None:
    task = ray.remote(num_cpus=1, max_retries=_RETRIES)(_one)
    running = {task.remote(spec, place.resolve(), key): place for place, (spec, _, key) in jobs.items()}
    try:
        while running:
            ready, _ = ray.wait(list(running), num_returns=1, timeout=0.5)
            for reference in ready:
                on_done(running.pop(reference), _outcome(ray, reference))
            if on_progress is not None:
                on_progress({place: rounds_in(place) for place in jobs})
    except BaseException:
        for reference in running:
            ray.cancel(reference)  # as Ctrl-C is: the last round is saved
        if running:
            ray.wait(list(running), num_returns=len(running), timeout=60)
        raise


def _one(spec: RunSpec, place: Path, key: str) -> CellState | Elsewhere:
    """In a process of the cluster."""
    torch.set_num_threads(1)
    return work_on(spec, place, key)


def _outcome(ray: Any, reference: Any) -> Outcome:
    try:
        outcome: CellState | Elsewhere = ray.get(reference)
    except ray.exceptions.RayError as error:
        return Failed(why=f"lost by the cluster: {sentence(error)}; what it had saved is there")
    return outcome
