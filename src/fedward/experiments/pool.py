"""Many pieces of work at once: one process a core, one thread each, and Ctrl-C that loses nothing.

A piece of work that fails costs nobody else anything: its outcome is a `Failed` that says why. One whose process is
killed is begun once more in a new process, and nobody else notices.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import traceback
from collections import Counter, deque
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from threading import Event, Thread
from typing import Any, Generic, TypeVar

import torch

from ..failures import sentence

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")

ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that ask a program to end: Ctrl-C, `kill`, and a terminal that is closed."""
_BEGUN = b"begun"
"""What a worker says of a job when there is something that it would lose."""
_TRIES = 2
"""How often a piece of work is begun whose process is killed."""


class StoppedError(Exception):
    """A piece of work ended because the whole did; what it had saved is there."""


@dataclass(frozen=True, kw_only=True)
class Failed:
    """The outcome of a piece of work that failed.

    Attributes:
        why: in a sentence.
        trace: the traceback, as text; empty where there is none.
    """

    why: str
    trace: str = ""


class Counted(Generic[K]):
    """How far pieces of work have come: one that has ended is looked at once more, and never again.

    Args:
        look: how far the piece of a key has come.
        keys: of all pieces.
    """

    def __init__(self, look: Callable[[K], int], keys: Collection[K]) -> None:
        self._look = look
        self._far = dict.fromkeys(keys, 0)
        self._going = set(keys)

    def now(self, ended: Collection[K]) -> dict[K, int]:
        """How far each is, by key, when these have ended."""
        self._far.update({key: self._look(key) for key in self._far if key in self._going})
        self._going.difference_update(ended)
        return dict(self._far)


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
        progress: how far the job of a key has come, as far as can be seen from this process; asked if anybody listens.
        on_progress: called twice a second with the progress of all jobs, by key.
        on_done: called with each key and what came of it, as soon as it is there.
    """
    crew = _Crew(work, jobs, workers or cores())
    done: dict[K, R | Failed] = {}
    far = None if progress is None or on_progress is None else Counted(progress, jobs)
    try:
        while len(done) < len(jobs):
            crew.put_to_work()
            for key, outcome in crew.finished(timeout=0.5):
                done[key] = outcome
                if on_done is not None:
                    on_done(key, outcome)
            if far is not None and on_progress is not None:
                on_progress(far.now(done))
    except BaseException:
        crew.stop()
        raise
    crew.leave()
    return {key: done[key] for key in jobs}


@dataclass(kw_only=True)
class _Worker(Generic[K]):
    """A process, the way to it, what it is at, None if at nothing, and whether that has more than begun to load."""

    process: multiprocessing.process.BaseProcess
    connection: Connection
    key: K | None
    begun: bool = False


class _Crew(Generic[K, R]):
    """Processes, and what is left to do."""

    def __init__(self, work: Callable[..., R], jobs: Mapping[K, tuple[Any, ...]], most: int) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._work = work
        self._jobs = jobs
        self._most = most
        self._waiting = deque(jobs)
        self._tries: Counter[K] = Counter()
        self._workers: list[_Worker[K]] = []

    def put_to_work(self) -> None:
        """Give work to whoever has none, and to new workers as long as there may be more."""
        for worker in self._workers:
            if worker.key is None and self._waiting:
                self._give(worker, self._waiting.popleft())
        while self._waiting and len(self._workers) < self._most:
            self._give(self._hired(), self._waiting.popleft())

    def finished(self, timeout: float) -> Iterator[tuple[K, R | Failed]]:
        """What is done by now, or by the end of some seconds."""
        at_work = {worker.connection: worker for worker in self._workers if worker.key is not None}
        for ready in multiprocessing.connection.wait(list(at_work), timeout):
            assert isinstance(ready, Connection)
            worker = at_work[ready]
            key = worker.key
            assert key is not None
            try:
                said = worker.connection.recv_bytes()
                if said == _BEGUN:
                    worker.begun = True
                    continue
                outcome: R | Failed = pickle.loads(said)
            except (EOFError, OSError):
                self._workers.remove(worker)
                worker.connection.close()
                worker.process.join()
                if self._tries[key] < _TRIES:
                    self._waiting.appendleft(key)
                    continue
                outcome = Failed(
                    why="its process was ended from outside, perhaps because memory ran out; what it had saved is there"
                )
            else:
                worker.key = None
            yield key, outcome

    def stop(self) -> None:
        """End all as soon as they can be left; another Ctrl-C ends them at once.

        Whoever still loads libraries or data, which may take a minute, has nothing to lose and is not waited for.
        """
        try:
            for worker in self._workers:
                if not worker.begun and not worker.connection.poll():
                    worker.process.kill()
            self.leave()
        except BaseException:
            for worker in self._workers:
                worker.process.kill()
            raise

    def leave(self) -> None:
        """There is no more to do, which a closed connection says: wait until all have left."""
        for worker in self._workers:
            worker.connection.close()
        for worker in self._workers:
            worker.process.join()

    def _hired(self) -> _Worker[K]:
        with _uninterrupted():  # the worker inherits it: it answers no Ctrl-C, even while it is starting
            ours, theirs = self._context.Pipe()
            process = self._context.Process(target=_serve, args=(theirs, self._work))
            process.start()
            theirs.close()  # so that it is seen when the worker is gone
            worker: _Worker[K] = _Worker(process=process, connection=ours, key=None)
            self._workers.append(worker)
        return worker

    def _give(self, worker: _Worker[K], key: K) -> None:
        worker.key = key
        worker.begun = False
        self._tries[key] += 1
        with suppress(BrokenPipeError, ConnectionResetError):  # it is gone, which is seen when it is waited for
            worker.connection.send(self._jobs[key])


def _serve(connection: Connection, work: Callable[..., Any]) -> None:
    """In a worker: do what is sent, until nothing more comes."""
    _set_up(connection)
    while True:
        try:
            arguments = connection.recv_bytes()
            _told.clear()
            connection.send_bytes(_packed(_attempted(work, arguments)))
        except (EOFError, OSError, StoppedError):
            return


def _packed(outcome: object) -> bytes:
    try:
        return pickle.dumps(outcome)
    except Exception as error:
        return pickle.dumps(Failed(why=sentence(error), trace=traceback.format_exc()))


def _attempted(work: Callable[..., R], arguments: bytes) -> R | Failed:
    """In a worker. An error becomes text there, for not every exception survives the way to another process."""
    try:
        return work(*pickle.loads(arguments))
    except StoppedError:
        raise
    except Exception as error:
        return Failed(why=sentence(error), trace=traceback.format_exc())


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Signals that ask to end wait until this is over, where the system can make them wait."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # which lets signals through again when it starts, so not below
    before = signal.pthread_sigmask(signal.SIG_BLOCK, set(ENDING))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def stop_if_asked() -> None:
    """Raise StoppedError if this is a worker process that is to end; nothing elsewhere.

    The first call of a job says that from now on there is something to save. A worker that has not come so far is
    killed when all are to end.

    As long as a worker works nothing is sent to it: what can be read then is that the connection has been closed. (A
    lock that is shared among processes would be lost with a worker that is killed while it holds it.)
    """
    if _parent is None:
        return
    if _parent.poll():
        raise StoppedError
    if not _told.is_set():
        _told.set()
        _parent.send_bytes(_BEGUN)


_parent: Connection | None = None  # of a worker process, the way to the one that has the work
_told = Event()  # whether that one knows that the job has begun


def _set_up(connection: Connection) -> None:
    """Make a worker: one thread, and only the parent is asked to end; Ctrl-C reaches every process of a terminal."""
    global _parent
    _parent = connection
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    torch.set_num_threads(1)


def _end_with(parent: Any) -> None:
    """End this worker when its parent has been killed: nobody would tell it to, and it might write beside a new one."""
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


def cores_of(wanted: int | None) -> int:
    """How many of the cores to use: more than there are would only stand in each other's way."""
    return min(wanted or cores(), cores())


def cores() -> int:
    """The cores that this process may use; not every system tells, then all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
