"""Compiled or not: the one place that decides, for each block and for each pass over a stack.

What is worth a loop is a `Pair`: the loop, and the same in torch, which tells what the loop does. Whoever wants it
calls the pair. Loops are for blocks in a processor's memory that are large enough to be worth it, torch for all others.

A compiled loop uses the thread that calls it and none besides, so a pass by loops shares out blocks (`side_by_side`);
torch shares out the work within a block.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache, partial, update_wrapper
from typing import Concatenate, Generic, ParamSpec, TypeVar

import torch
from torch import Tensor

from ..blocks import Block
from .compiled import compilable, numba

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")
B = TypeVar("B", bound=Tensor | Block)

BLOCKS = 8
"""Blocks that a loop takes at a time: it has tiles of its own, and few calls are better than many."""

# Entries of a block from which a loop is worth a look at numba, which takes half a second to import.
_worth = 1 << 18


@contextmanager
def loops_from(entries: int | None) -> Iterator[None]:
    """Within this context loops are for blocks of at least so many entries; for none at all if None.

    For tests, which hold loops against torch. It applies to all threads, so it is no setting for users.
    """
    global _worth
    before = _worth
    _worth = sys.maxsize if entries is None else entries
    try:
        yield
    finally:
        _worth = before


def available(entries: int, device: torch.device) -> bool:
    """Whether loops are for blocks of so many entries on this device."""
    return entries >= _worth and device.type == "cpu" and numba() is not None


class Looping:
    """A kernel, or anything else that is called with blocks, that says whether it calls loops."""

    def in_loops(self, n: int) -> bool:
        """Whether it does for blocks of n rows, where loops are available."""
        return False


def in_loops(work: object, n: int) -> bool:
    """Whether a kernel calls loops for blocks of n rows: not if it is no `Looping`; a partial one as its function."""
    if isinstance(work, partial):
        work = work.func
    return isinstance(work, Looping) and work.in_loops(n)


class Pair(Looping, Generic[B, P, R]):
    """One operation on a block, in two formulations: by a loop, and in torch.

    Args:
        loop: calls the loop.
        torch: takes any block.
        most_rows: more are not for the loop.
        least_columns: fewer are not for the loop.
    """

    def __init__(
        self,
        *,
        loop: Callable[Concatenate[B, P], R],
        torch: Callable[Concatenate[B, P], R],
        most_rows: int = sys.maxsize,
        least_columns: int = 0,
    ) -> None:
        self.loop = loop
        self.torch = torch
        self.most_rows = most_rows
        self.least_columns = least_columns

    def __call__(self, block: B, *args: P.args, **kwargs: P.kwargs) -> R:
        """What the formulation that suits the block makes of it."""
        formulation = self.loop if self.takes(block) else self.torch
        return formulation(block, *args, **kwargs)

    def takes(self, block: B) -> bool:
        """Whether a block goes through the loop."""
        rows = block.rows if isinstance(block, Block) else block
        n, width = rows.shape
        if n > self.most_rows or width < self.least_columns or not compilable(rows.dtype):
            return False
        return available(n * width, rows.device)

    def in_loops(self, n: int) -> bool:
        return n <= self.most_rows


class MadeOf(Looping, Generic[P]):
    """A kernel that calls others: it calls loops if all of these do."""

    def __init__(self, kernel: Callable[Concatenate[Tensor, P], Tensor], beneath: tuple[object, ...]) -> None:
        self.kernel = kernel
        self.beneath = beneath
        update_wrapper(self, kernel)

    def __call__(self, block: Tensor, *args: P.args, **kwargs: P.kwargs) -> Tensor:
        """What the kernel makes of the block."""
        return self.kernel(block, *args, **kwargs)

    def in_loops(self, n: int) -> bool:
        return all(in_loops(kernel, n) for kernel in self.beneath)


def made_of(*beneath: object) -> Callable[[Callable[Concatenate[Tensor, P], Tensor]], MadeOf[P]]:
    """Decorate a kernel over columns with the kernels that it calls, so that it has their loops and their threads.

    ``beneath`` are all that take time in it; they are called with no more rows than it gets.
    """
    return lambda kernel: MadeOf(kernel, beneath)


def side_by_side(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Results of the work, in order, done by as many threads as torch has; items are made by the calling thread."""
    threads = torch.get_num_threads()
    if threads == 1:
        yield from map(work, items)
        return
    pool = _pool(os.getpid(), threads)
    ahead = deque[Future[R]]()
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
