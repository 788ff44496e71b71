"""The kernels over columns, compiled by numba: the network's steps on columns that stay in the first-level cache.

A few columns at a time are copied next to each other, sorted as far as needed, and averaged while they are still
there: memory is read once and little is written. Without numba `kernels` takes whole rows of a block instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

_WIDTH = 32  # columns at a time: two 512-bit registers of float32 a row
_DTYPES = (torch.float32, torch.float64)
_TILE = 1 << 19  # bytes of all rows that are fetched at a time: memory streams, and they fit in the second-level cache
_LEAST = 1 << 15  # columns for a thread of their own


def available(block: Tensor) -> bool:
    """Whether this block can be handed to `mean_of_ranks` and `mean_of_closest`."""
    return block.device.type == "cpu" and block.dtype in _DTYPES and find_spec("numba") is not None


def mean_of_ranks(block: Tensor, network: tuple[tuple[int, int], ...], ranks: range) -> Tensor:
    """Mean of the values of each column at successive ranks: (n, b) to (b,), in the block's dtype."""
    return _run(block, network, ranks, 0)


def mean_of_closest(block: Tensor, network: tuple[tuple[int, int], ...], ranks: range, count: int) -> Tensor:
    """Mean of the ``count`` values of each column that are closest to the mean of those at the ranks; ties go low."""
    return _run(block, network, ranks, count)


def _run(block: Tensor, network: tuple[tuple[int, int], ...], ranks: range, count: int) -> Tensor:
    out = torch.empty(block.shape[1], dtype=block.dtype)
    values, results, steps = block.detach().numpy(), out.numpy(), _steps(network)
    work = _compiled()
    threads = max(min(torch.get_num_threads(), len(results) // _LEAST), 1)
    edges = [len(results) * k // threads // _WIDTH * _WIDTH for k in range(threads)] + [len(results)]

    def part(k: int) -> None:
        lo, hi = edges[k], edges[k + 1]
        work(values[:, lo:hi], steps, ranks.start, len(ranks), count, results[lo:hi])

    if threads == 1:
        part(0)
    else:
        list(_pool(os.getpid(), threads).map(part, range(threads)))
    return out


@lru_cache(maxsize=64)
def _steps(network: tuple[tuple[int, int], ...]) -> np.ndarray:
    return np.array(network, dtype=np.int64).reshape(-1, 2)


@lru_cache(maxsize=1)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Threads of this very process: a child that was forked has none of its parent's."""
    return ThreadPoolExecutor(threads, thread_name_prefix="fedward-columns")


@lru_cache(maxsize=1)
def _compiled() -> Callable[..., None]:
    import numba

    options: dict[str, Any] = {"nogil": True, "fastmath": {"nnan", "nsz"}, "error_model": "numpy"}
    try:
        compiled: Callable[..., None] = numba.njit(cache=True, **options)(_columns)
    except RuntimeError:  # no place to write: compiled anew in every process
        compiled = numba.njit(**options)(_columns)
    return compiled


def _columns(
    values: np.ndarray, network: np.ndarray, first: int, many: int, count: int, out: np.ndarray
) -> None:  # pragma: no cover  # compiled
    """The mean of ``many`` ranks of each column, or of the ``count`` values closest to that mean, if that is not 0."""
    n, width = values.shape
    buffer = np.empty((n, _WIDTH), values.dtype)
    centre, total = np.empty(_WIDTH), np.empty(_WIDTH)
    start = np.empty(_WIDTH, np.int64)
    room = max(_TILE // (n * values.itemsize) // _WIDTH, 1) * _WIDTH
    tile = np.zeros((n, room), values.dtype)
    for place in range(0, width, _WIDTH):
        here, inside = min(_WIDTH, width - place), place % room
        if inside == 0:
            long = min(room, width - place)
            for i in range(n):
                for j in range(long):
                    tile[i, j] = values[i, place + j]
        for i in range(n):
            for j in range(_WIDTH):
                buffer[i, j] = tile[i, inside + j]
        for step in range(len(network)):
            low, high = buffer[network[step, 0]], buffer[network[step, 1]]
            for j in range(_WIDTH):
                a, b = low[j], high[j]
                low[j], high[j] = min(a, b), max(a, b)
        centre[:] = 0
        for i in range(first, first + many):
            for j in range(_WIDTH):
                centre[j] += buffer[i, j]
        for j in range(_WIDTH):
            centre[j] /= many
        if count > 0:
            # The closest values are neighbours: how far their window moves up, see `kernels._closest`.
            start[:] = 0
            for i in range(n - count):
                for j in range(_WIDTH):
                    start[j] += buffer[i + count, j] - centre[j] < centre[j] - buffer[i, j]
            for j in range(_WIDTH):
                total[j] = 0
                for i in range(start[j], start[j] + count):
                    total[j] += buffer[i, j]
                centre[j] = total[j] / count
        for j in range(here):
            out[place + j] = centre[j]
