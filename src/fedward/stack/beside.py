"""`output_beside_norms`: an output that is known to be wanted, in the very pass that looks for rows with NaN or Inf."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .blocks import Block
from .kernels import weighted_sum
from .loops import in_loops
from .pairs import Products
from .sources import RowSource
from .stats import Partial, Reader, SqNorms, Statistic
from .updates import Kernel, Updates


class UnreadError(Exception):
    """Somebody wanted to know something of rows that nobody has read."""


class Unread(RowSource):
    """A stack of which all is known but the rows: what is decided on it is decided whatever they are."""

    def __init__(self, updates: Updates) -> None:
        super().__init__(
            n=updates.n,
            d=updates.d,
            dtype=updates.dtype,
            device=updates.device,
            ids=updates.ids,
            block=updates.block_columns,
        )
        self.layout, self.agreed = updates.layout, updates.agreed

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        raise UnreadError


@dataclass(frozen=True, kw_only=True, eq=False)
class _Beside(Statistic):
    """Squared norms of the rows, and some work with each block that they are computed of."""

    work: Callable[[Block], None]
    name: ClassVar[str] = "norms and an output"

    def partials(self, d: int, device: torch.device) -> Partial:
        norms = SqNorms().partials(d, device)

        def both(block: Block) -> Tensor | Products:
            self.work(block)
            return norms(block)

        return both

    def in_loops(self, n: int) -> bool:
        return SqNorms().in_loops(n)

    def contains(self) -> Mapping[Statistic, Reader]:
        return {SqNorms(): lambda total: total}


def output_beside_norms(updates: RowSource, weights: Tensor | None, kernel: Kernel | None) -> Tensor | None:
    """What `Updates.combine` or `Updates.columns` return, to the last bit, and `SqNorms`, which is known then: (d,).

    None where it would take another pass than these do: rows of weight 0 are not read, and blocks of another size are
    summed in another order.
    """
    if weights is not None and not bool((weights != 0).all()):
        return None
    work = _sum_of(weights) if kernel is None else kernel
    if SqNorms().in_loops(updates.n) != (kernel is None or in_loops(kernel, updates.n)):
        return None
    out = torch.empty(updates.d, dtype=updates.dtype, device=updates.device)

    def put(block: Block) -> None:
        out[block.start : block.stop] = work(block.rows)

    beside = _Beside(work=put)
    updates.compute(beside)
    updates.forget(beside)
    return out


def _sum_of(weights: Tensor | None) -> Kernel:
    assert weights is not None  # a plan has weights or a kernel
    rows, used = torch.arange(len(weights)), weights.double()
    return lambda block: weighted_sum(block, rows, used)
