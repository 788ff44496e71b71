"""Many pieces of work at once: one process a core, one thread each, and Ctrl-C that loses nothing."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing.synchronize import Event
from threading import Thread
from typing import Any, TypeVar

import torch

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


class StoppedError(Exception):
    """A piece of work ended because the whole did; what it had saved is there."""


def carry_out(
    work: Callable[..., R],
    jobs: Mapping[K, tuple[Any, ...]],
    *,
    workers: int | None = None,
    on_tick: Callable[[], None] | None = None,
    on_done: Callable[[K, R], None] | None = None,
) -> dict[K, R]:
    """Do ``work(*arguments)`` for every job, in processes of their own.

    Args:
        work: a function of a module; it calls `go_on` whenever it can be left.
        jobs: arguments by key; outcomes come back by the same keys.
        workers: processes; all cores if None.
        on_tick: called twice a second.
        on_done: called with each key and what came of it, as soon as it is there.

    Raises:
        Exception: what the first failing job raised; the others end when they next call `go_on`.
    """
    context = multiprocessing.get_context("spawn")
    count = min(workers or cores(), len(jobs))
    done: dict[K, R] = {}
    stop = context.Event()
    with ProcessPoolExecutor(count, mp_context=context, initializer=_set_up, initargs=(stop,)) as pool:
        futures: dict[Future[R], K] = {pool.submit(work, *arguments): key for key, arguments in jobs.items()}
        waiting = set(futures)
        try:
            while waiting:
                finished, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in finished:
                    key = futures[future]
                    done[key] = future.result()
                    if on_done is not None:
                        on_done(key, done[key])
                if on_tick is not None:
                    on_tick()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return {key: done[key] for key in jobs}


def go_on() -> None:
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
