"""Many pieces of work at once: one process a core, one thread each, and Ctrl-C that loses nothing.

A piece of work that fails costs nobody else anything: its outcome is a `Failed` that says why.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from threading import Thread
from typing import Any, TypeVar

import torch

from ..failures import sentence

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


class StoppedError(Exception):
    """A piece of work ended because the whole did; what it had saved is there."""


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The outcome of a piece of work that failed."""

    why: str


def run_jobs(
    work: Callable[..., R],
    jobs: Mapping[K, tuple[Any, ...]],
    *,
    workers: int | None = None,
    progress: Callable[[K], int] | None = None,
    on_progress: Callable[[Mapping[K, int]], None] | None = None,
    on_done: Callable[[K, R | Failed], None] | None = None,
) -> dict[K, R | Failed]:
    """Do ``work(*arguments)`` for every job, one process a core with one thread each; one that fails stops no other.

    Args:
        work: a function of a module; it calls `stop_if_asked` whenever it can be left.
        jobs: arguments by key; outcomes come back by the same keys.
        workers: processes; all cores if None.
        progress: how far the job of a key has come, as far as can be seen from this process.
        on_progress: called twice a second with the progress of all jobs, by key.
        on_done: called with each key and what came of it, as soon as it is there.
    """
    context = multiprocessing.get_context("spawn")
    count = min(workers or cores(), len(jobs))
    done: dict[K, R | Failed] = {}
    stop = context.Event()
    with ProcessPoolExecutor(count, mp_context=context, initializer=_set_up, initargs=(stop,)) as pool:
        with _uninterrupted():  # workers inherit it: not one of them answers Ctrl-C, even while it is starting
            futures: dict[Future[R | Failed], K] = {
                pool.submit(_attempted, work, arguments): key for key, arguments in jobs.items()
            }
        waiting = set(futures)
        try:
            while waiting:
                finished, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in finished:
                    key = futures[future]
                    done[key] = _outcome(future)
                    if on_done is not None:
                        on_done(key, done[key])
                if progress is not None and on_progress is not None:
                    on_progress({key: progress(key) for key in jobs})
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return {key: done[key] for key in jobs}


def _attempted(work: Callable[..., R], arguments: tuple[Any, ...]) -> R | Failed:
    """In a worker. An error becomes text there, for not every exception survives the way to another process."""
    try:
        return work(*arguments)
    except StoppedError:
        raise
    except Exception as error:
        return Failed(why=sentence(error))


def _outcome(future: Future[R | Failed]) -> R | Failed:
    try:
        return future.result()
    except BrokenProcessPool:
        return Failed(
            why="its process was ended from outside, perhaps because memory ran out; what it had saved is there"
        )


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C waits until this is over, where the system can make it wait."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def stop_if_asked() -> None:
    """Raise StoppedError if this is a worker process that is to end; nothing elsewhere."""
    if _stop is not None and _stop.is_set():
        raise StoppedError


_stop: Event | None = None  # of a worker process


def _set_up(stop: Event) -> None:
    """Make a worker: one thread, and only the parent answers Ctrl-C, which reaches every process of a terminal."""
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    torch.set_num_threads(1)


def _end_with(parent: Any) -> None:
    """End this worker when its parent has been killed: nobody would tell it to, and it might write beside a new one."""
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


def cores() -> int:
    """The cores that this process may use; not every system tells, then all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
