"""The loops compiled by numba, where there is numba, and threads to run them side by side.

They are for blocks in a processor's memory that are large enough to be worth it. Everything has a formulation in
torch as well, which is used for other blocks, and tells what a loop does. A compiled loop uses the thread that calls
it and none besides, so that blocks are what is shared out.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from . import columnloops, loops

T = TypeVar("T")
R = TypeVar("R")
K = TypeVar("K", bound=Callable[..., Tensor])
Loop = Callable[..., None]

# Entries of a block from which a loop is worth a look at numba, which takes half a second to import.
WORTH = 1 << 18
BLOCKS = 8
"""Blocks that a loop takes at a time: it has tiles of its own, and few calls are better than many."""
_DTYPES = {torch.float32: (np.uint32, np.int32, 0x7FFFFFFF), torch.float64: (np.uint64, np.int64, 0x7FFFFFFFFFFFFFFF)}
# What may be rounded in any order, so that a sum over a row becomes several, one for each place in a register.
_IN_ANY_ORDER = {loops.sq_norms, loops.dots, loops.gram, loops.sign_counts, columnloops.weighted_sum}


def available(entries: int, device: torch.device) -> bool:
    """Whether loops are to be used for blocks of so many entries."""
    return entries >= WORTH and device.type == "cpu" and _numba() is not None


def usable(block: Tensor) -> bool:
    """Whether loops are to be used for this block."""
    return block.dtype in _DTYPES and available(block.numel(), block.device)


def in_loops(most_rows: int) -> Callable[[K], K]:
    """Mark a kernel over columns as one that calls loops if there are at most so many rows."""

    def mark(kernel: K) -> K:
        kernel.most_rows = most_rows  # type: ignore[attr-defined]
        return kernel

    return mark


def calls_loops(kernel: object, n: int) -> bool:
    """Whether a kernel over columns of n entries calls loops."""
    return n <= getattr(getattr(kernel, "func", kernel), "most_rows", 0)  # `functools.partial` has a func


class Rows:
    """A block as loops take it: a flat array, in which a row starts every ``stride`` entries."""

    def __init__(self, block: Tensor) -> None:
        block = block.detach()
        self.n, self.width = block.shape
        if block.stride(1) != 1:
            block = block.contiguous()
        self.stride = block.stride(0) if self.n > 1 else self.width
        self.flat = block.as_strided(((self.n - 1) * self.stride + self.width,), (1,)).numpy()
        self.shape = self.stride, self.n, self.width
        # Whole numbers of the same size, and that of all bits but the sign.
        self.unsigned, self.signed, self.largest = _DTYPES[block.dtype]


def run(loop: Loop, *arguments: Any) -> None:
    """Call a loop, compiled."""
    compiled = _compiled(loop, arguments[0].dtype)  # that of the rows: all else has the same type in every call
    if compiled.overloads:
        compiled(*arguments)
        return
    with _alone(compiled):  # the first process compiles, the others wait and read what it has written
        compiled(*arguments)


@lru_cache(maxsize=1)
def _numba() -> Any:
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        return None
    try:
        import numba
    except ImportError:  # not installed, or not with this NumPy
        return None
    return numba


@cache
def _compiled(loop: Loop, dtype: np.dtype) -> Any:
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    if loop in _IN_ANY_ORDER:
        options["fastmath"] = {"reassoc", "contract"}
    try:
        return _numba().njit(cache=True, **options)(loop)
    except RuntimeError:  # no place to write: compiled anew in every process
        return _numba().njit(**options)(loop)


@contextmanager
def _alone(compiled: Any) -> Iterator[None]:
    """Until the end, no other process that shares the cache of compiled loops gets here."""
    place = compiled.stats.cache_path
    try:
        import fcntl

        Path(place).mkdir(parents=True, exist_ok=True)
        lock = open(Path(place) / "fedward.lock", "a")  # noqa: SIM115
    except (ImportError, OSError, TypeError):
        yield
        return
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def side_by_side(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Results of the work, in order, done by as many threads as torch has; items are made by the calling thread."""
    threads = torch.get_num_threads()
    if threads == 1:
        yield from map(work, items)
        return
    pool, ahead = _pool(os.getpid(), threads), deque[Future[R]]()
    for item in items:
        ahead.append(pool.submit(work, item))
        if len(ahead) > threads:
            yield ahead.popleft().result()
    while ahead:
        yield ahead.popleft().result()


@lru_cache(maxsize=1)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads of this very process: a child that was forked has none of its parent's."""
    return ThreadPoolExecutor(threads, thread_name_prefix="fedward")
