"""Carrying runs out: one here, or a grid of them on all cores."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import fmean

import torch

from ..sim import Record
from .spec import RunSpec
from .store import RunFolder


@dataclass(frozen=True)
class Summary:
    """What came of a run."""

    folder: str
    rule: str
    attack: str
    rounds: int
    best_accuracy: float | None
    final_accuracy: float | None
    byzantine_accepted: float | None
    honest_accepted: float | None
    seconds_per_round: float
    skipped: int

    @classmethod
    def of(cls, spec: RunSpec, folder: Path, records: Sequence[Record]) -> Summary:
        """Best and last accuracy, and accepted rates averaged over all rounds."""
        config = spec.resolved()
        accuracies = [r.accuracy for r in records if r.accuracy is not None]
        return cls(
            folder=str(folder),
            rule=config["rule"],
            attack=config["attack"],
            rounds=len(records),
            best_accuracy=max(accuracies, default=None),
            final_accuracy=accuracies[-1] if accuracies else None,
            byzantine_accepted=_mean([r.byzantine_accepted for r in records]),
            honest_accepted=_mean([r.honest_accepted for r in records]),
            seconds_per_round=fmean(sum(r.seconds.values()) for r in records),
            skipped=sum(r.skipped is not None for r in records),
        )


def execute(spec: RunSpec, path: Path, *, on_record: Callable[[Record], None] | None = None) -> Summary:
    """Run a specification in a folder, or go on with it there.

    Args:
        spec: what to run.
        path: the run's folder; an unfinished run of the same specification in it is gone on from.
        on_record: called after each round.

    Raises:
        CheckpointError: the folder holds a run of another specification; it is left as it is.
        DataError: data files are missing or damaged.
    """
    folder = RunFolder(path)
    simulation = spec.simulation()
    run = simulation.run(spec.rounds, evaluate_every=spec.evaluate_every, checkpoint=folder.checkpoint)
    with closing(run) as rounds:  # however this ends, the last round is saved by then
        first = next(rounds, None)  # here an old checkpoint is refused, before anything in the folder has changed
        folder.describe(spec, simulation)
        folder.write_records(simulation.records)
        if first is not None:
            _tell(on_record, first)
            with folder.records.open("a", encoding="utf-8") as file:
                for record in rounds:
                    folder.append(file, record)
                    _tell(on_record, record)
    return Summary.of(spec, path, simulation.records)


def run_grid(
    jobs: Mapping[Path, RunSpec],
    *,
    workers: int | None = None,
    on_progress: Callable[[Mapping[Path, int]], None] | None = None,
) -> dict[Path, Summary]:
    """Run many specifications, one process a core with one thread each.

    Args:
        jobs: specifications by folder.
        workers: processes; all cores if None.
        on_progress: called twice a second with the rounds completed in each folder.

    Raises:
        Exception: what the first failing run raised; the others end after their current round and can be resumed.
    """
    context = multiprocessing.get_context("spawn")
    count = min(workers or _cores(), len(jobs))
    done: dict[Path, Summary] = {}
    stop = context.Event()
    with ProcessPoolExecutor(count, mp_context=context, initializer=_set_up, initargs=(stop,)) as pool:
        futures: dict[Future[Summary], Path] = {pool.submit(_work, spec, path): path for path, spec in jobs.items()}
        waiting = set(futures)
        try:
            while waiting:
                finished, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in finished:
                    done[futures[future]] = future.result()
                if on_progress is not None:
                    on_progress({path: _rounds_in(path) for path in jobs})
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return {path: done[path] for path in jobs}


class StoppedError(Exception):
    """A run ended because the grid did; its last round is saved."""


_stop: Event | None = None  # of a worker process


def _set_up(stop: Event) -> None:
    """Make a worker: one thread, and only the parent answers Ctrl-C, which reaches every process of a terminal."""
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def _work(spec: RunSpec, path: Path) -> Summary:
    def go_on(record: Record | None = None) -> None:
        if _stop is not None and _stop.is_set():
            raise StoppedError

    go_on()
    return execute(spec, path, on_record=go_on)


def _cores() -> int:
    """The cores that this process may use; not every system tells, then all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _rounds_in(path: Path) -> int:
    try:
        return RunFolder(path).records.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def _tell(listener: Callable[[Record], None] | None, record: Record) -> None:
    if listener is not None:
        listener(record)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return fmean(known) if known else None
