"""Weights as they were sent, seen as differences from a base: `Origin`, and `FromBase`, a stack seen from one."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from . import kernels
from .entries import Flat
from .reference import ROW, STATE_DICT, WHOLE, Sent
from .sources import RowsLostError, RowSource
from .stats import SqNorms

Centre = Literal["mean-of-clients", "median-of-clients"]
"""A base made of the clients' own rows, for whoever has none."""
CENTRES = get_args(Centre)
"""The names of these bases."""

# Entries that are added at a time: a float64 copy of a whole model need not be in memory.
_AT_A_TIME = 1 << 22


class Origin:
    """What all clients started from, a row in pieces.

    Args:
        pieces: the base, tensor by tensor in the order of the columns.
        dtype: of the weights, in which outputs are.
    """

    def __init__(self, pieces: Sequence[Tensor], dtype: torch.dtype) -> None:
        self.pieces = tuple(pieces)
        self.dtype = dtype
        self._flat = [Flat(piece) for piece in pieces]
        self._edges = [0, *np.cumsum([piece.numel() for piece in pieces]).tolist()]

    @property
    def d(self) -> int:
        """Number of columns."""
        return int(self._edges[-1])

    @property
    def difference_dtype(self) -> torch.dtype:
        """The type for differences: never half precision, whose rounding would be added to the base."""
        return torch.float64 if self.dtype == torch.float64 else torch.float32

    def part(self, start: int, stop: int, device: torch.device) -> Tensor:
        """Columns ``start`` to ``stop`` in float64, on one device, whichever its pieces are on: (stop - start,)."""
        found = [
            flat.part(max(start - a, 0), min(stop, b) - a).to(device, torch.float64)
            for flat, (a, b) in zip(self._flat, pairwise(self._edges), strict=True)
            if a < stop and b > start
        ]
        return torch.cat(found) if found else torch.empty(0, dtype=torch.float64, device=device)

    def left_out(self, block: Tensor, start: int) -> Tensor:
        """A block of weights from column ``start`` on, as differences in float64."""
        return block.double() - self.part(start, start + block.shape[1], block.device)

    def added(self, output: Tensor, first: int = 0) -> Tensor:
        """An aggregate of differences, from column ``first`` on, as weights: the base plus it, rounded once."""
        width = len(output)
        whole = torch.empty(width, dtype=self.dtype, device=output.device)
        for start in range(0, width, _AT_A_TIME):
            stop = min(start + _AT_A_TIME, width)
            base = self.part(first + start, first + stop, output.device)
            whole[start:stop] = base + output[start:stop].double()
        return whole


class FromBase(RowSource):
    """Rows that are weights, minus the base that all of them started from: what rules are about.

    Distances and angles of weights say nothing of clients: nearly all of them is what the clients had in common.
    Differences are taken in float64 as columns are read; neither weights nor differences are copied.
    """

    def __init__(self, rows: RowSource, origin: Origin) -> None:
        if origin.d != rows.d:
            raise ValueError(f"the base has {origin.d} columns, rows have {rows.d}; they must agree")
        super().__init__(
            n=rows.n,
            d=rows.d,
            dtype=origin.difference_dtype,
            device=rows.device,
            ids=rows.ids,
            block=rows.block_columns,
        )
        self.rows = rows
        self.origin = origin
        self.layout, self.agreed = rows.layout, rows.agreed
        self._watch(origin.pieces)

    def check_unwritten(self) -> None:
        super().check_unwritten()
        with self._own_rows():
            self.rows.check_unwritten()

    @property
    def dear(self) -> bool:
        return self.rows.dear

    @property
    def lost(self) -> Mapping[Hashable, str]:
        return self.rows.lost

    @contextmanager
    def _own_rows(self) -> Iterator[None]:
        """Rows that are lost are this stack's, whose views know of no stack beneath it."""
        try:
            yield
        except RowsLostError as error:
            raise RowsLostError(str(error), self, error.rows) from None

    @property
    def columns_read(self) -> float:
        return self.rows.columns_read

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        with self._own_rows():
            return self.origin.left_out(self.rows.read(start, stop, rows), start)

    def sent_finite(self, row: int) -> bool:
        return self.rows.sent_finite(row)

    def placed(self, output: Tensor, first: int = 0) -> Tensor:
        return self.origin.added(output, first)


def origin_of(stack: RowSource, base: Sent | Centre) -> Origin:
    """What the server had, or a centre of the clients' finite rows, as what the stack's rows are seen from.

    Raises:
        ValueError: the base has NaN or Inf, or no client's row is finite.
    """
    if isinstance(base, Sent):
        columns = _columns(stack, base)
        for name, tensor in columns.items():
            if not Flat(tensor).isfinite():
                raise ValueError(f"the base has NaN or Inf in {name}; give the model that clients started from")
        return Origin(list(columns.values()), stack.dtype)
    finite = stack.compute(SqNorms())[0].isfinite().nonzero().flatten()
    if len(finite) == 0:
        raise ValueError(f"{base} needs a client whose row is finite, got none; give a base")
    rows = stack.take(finite)
    if base == "mean-of-clients":
        centre = rows.combine(torch.full((rows.n,), 1 / rows.n, dtype=torch.float64))
    else:
        centre = rows.columns(kernels.median)
    return Origin([centre], stack.dtype)


def _columns(stack: RowSource, base: Sent) -> Mapping[str, Tensor]:
    """The base's tensors that have columns, in the order of the rows' columns."""
    if base.form == STATE_DICT and stack.layout is not None:
        return {name: base.tensors[name] for name in stack.layout.names}
    if base.form == ROW:
        return {"its row": base.tensors[WHOLE]}
    return {f"layer {key}": tensor for key, tensor in base.tensors.items()}
