"""Loops compiled by numba, and what they take.

The file that numba keeps of a compiled loop lies beside the loop's own, so that it is compiled once on a machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...disk import open_to_append
from . import columns, rows

LoopCode = Callable[..., None]

# For each type of rows that loops are compiled for: the whole numbers of its size, and that of all bits but the sign.
_NUMBERS = {
    torch.float32: (np.uint32, np.int32, 0x7FFFFFFF),
    torch.float64: (np.uint64, np.int64, 0x7FFFFFFFFFFFFFFF),
}
# The terms of these sums may be added in any order. Only then can a compiler keep several partial sums of a row, one in
# each place of a vector register; elsewhere the order is fixed, and results are the same as torch's to the bit.
_IN_ANY_ORDER = {rows.sq_norms, rows.dots, rows.gram, rows.sign_counts, columns.weighted_sum}


class FlatRows:
    """A block as loops take it: a flat array, in which a row starts every ``stride`` entries."""

    def __init__(self, block: Tensor) -> None:
        block = block.detach()
        self.n, self.width = block.shape
        if block.stride(1) != 1:
            block = block.contiguous()
        self.stride = block.stride(0) if self.n > 1 else self.width
        self.flat = block.as_strided(((self.n - 1) * self.stride + self.width,), (1,)).numpy()
        self.shape = self.stride, self.n, self.width
        self.unsigned, self.signed, self.largest = _NUMBERS[block.dtype]


def compilable(dtype: torch.dtype) -> bool:
    """Whether loops take rows of this type."""
    return dtype in _NUMBERS


@lru_cache(maxsize=1)
def numba() -> Any:
    """The package, which takes half a second to import; None where loops cannot be compiled."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        return None
    try:
        import numba
    except ImportError:  # not installed, or not with this NumPy
        return None
    return numba


def run(loop: LoopCode, *arguments: Any) -> None:
    """Call a loop, compiled."""
    compiled = compile_loop(loop, arguments[0].dtype)  # that of the rows: all else has the same type in every call
    if compiled.overloads:
        compiled(*arguments)
        return
    with _alone(compiled):  # the first process compiles, the others wait and read what it has written
        compiled(*arguments)


@cache
def compile_loop(loop: LoopCode, dtype: np.dtype) -> Any:
    """What numba makes of a loop, for rows of this type."""
    # Without the interpreter's lock, so that other threads can run. Division by 0 gives Inf as elsewhere, and no error.
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    if loop in _IN_ANY_ORDER:
        options["fastmath"] = {"reassoc", "contract"}
    try:
        return numba().njit(cache=True, **options)(loop)
    except RuntimeError:  # no place to write: compiled anew in every process
        return numba().njit(**options)(loop)


@contextmanager
def _alone(compiled: Any) -> Iterator[None]:
    """Until the end, no other process that shares the cache of compiled loops gets here."""
    place = compiled.stats.cache_path
    try:
        import fcntl

        Path(place).mkdir(parents=True, exist_ok=True)
        lock = open_to_append(Path(place) / "fedward.lock")
    except (ImportError, OSError, TypeError):
        yield
        return
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
