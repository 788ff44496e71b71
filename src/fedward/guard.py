"""Guards: what is remembered is finite and nobody else's, and decisions are the same, wherever they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor

_AUTOCAST = tuple(kind for kind in ("cpu", "cuda", "xpu", "mps") if torch.amp.is_autocast_available(kind))
_MOST = 2.0**108  # a million of these still add up to a float32
_MOST_WIDE = 2.0**460  # and the squares of a million rows of these to a float64


def most(dtype: torch.dtype) -> float:
    """The largest number that a memory of this dtype holds: sums of many such, and their squares, stay finite."""
    return min(_MOST_WIDE if dtype == torch.float64 else _MOST, torch.finfo(dtype).max)


def finite_copy(values: Tensor) -> Tensor:
    """A copy for a memory to hold: NaN is 0 there, and nothing lies beyond `most`.

    What went wrong in one round would go wrong in every later one otherwise. The copy shares nothing with the tensor,
    which the caller may write to.
    """
    limit = most(values.dtype)
    return values.nan_to_num(nan=0.0, posinf=limit, neginf=-limit).clamp_(-limit, limit)


@contextmanager
def neutral() -> Iterator[None]:
    """Without autocast, which rounds products of float32 rows to bfloat16 or float16, or a default device.

    Both are there for networks. A decision on client updates does not change with the region that it is asked for in,
    and what it is made from (`norms`, `gram`) is on the CPU whatever device the rows are on.
    """
    with ExitStack() as stack:
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for kind in _AUTOCAST:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield
