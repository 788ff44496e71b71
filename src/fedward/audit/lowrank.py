"""`LowRank`: rows that are products of factors, whose inner products cost the square of their ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ..stack import Gram, Layout, SqNorms, Statistic
from ..stack.entries import Flat
from ..stack.reference import Agreed
from ..stack.sources import RowSource
from .adapters import Adapter, Factors

# Entries of a plain tensor in memory at a time, of one client's and of all clients'.
_AT_A_TIME, _OF_ALL = 1 << 20, 1 << 26
# Ranks of adapters whose products with as many others are in memory at a time.
_RANKS = 1 << 12


class LowRank(RowSource):
    """Rows that are LoRA adapters: in each layer s B A, flattened; tensors that are trained whole after these.

    Norms and inner products, which nearly all rules decide by, come from products of r x r numbers:
    <B_i A_i, B_j A_j> = sum of (B_i^T B_j) * (A_i A_j^T), entry by entry. Signs and medians need the entries, which are
    multiplied out a block of columns at a time. With a base rows are the differences from it.

    Args:
        adapters: of the clients that agree, in the order of ``agreed``.
        base: the adapter that all started from.
    """

    def __init__(
        self,
        adapters: Sequence[Adapter],
        agreed: Agreed,
        layout: Layout,
        base: Adapter | None,
        block: int | None = None,
    ) -> None:
        super().__init__(
            n=len(adapters),
            d=layout.d,
            dtype=torch.float32,
            device=torch.device("cpu"),
            ids=tuple(agreed.clients),
            block=block,
        )
        self.adapters = tuple(adapters)
        self.base = base
        self.layout, self.agreed = layout, agreed
        self._edges = [0, *np.cumsum([columns.stop - columns.start for _, columns in layout.slices()]).tolist()]
        self._all = [*adapters, *([] if base is None else [base])]
        self._plain = {
            name: [Flat(adapter.plain[name]) for adapter in self._all]
            for name in layout.names
            if name in adapters[0].plain
        }
        self._finite = torch.tensor([adapter.is_finite() for adapter in adapters])

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        chosen = list(range(self.n)) if rows is None else rows.tolist()
        self._entries_read += (stop - start) * len(chosen)
        block = torch.empty(len(chosen), stop - start, dtype=torch.float64)
        assert self.layout is not None
        for name, (a, b) in zip(self.layout.names, pairwise(self._edges), strict=True):
            if a >= stop or b <= start:
                continue
            first, last = max(start - a, 0), min(stop, b) - a
            part = block[:, max(a - start, 0) : min(b, stop) - start]
            for row, i in zip(part, chosen, strict=True):
                row.copy_(self._entries(name, i, first, last))
            if self.base is not None:
                part -= self._entries(name, self.n, first, last)
        return block

    def sent_finite(self, row: int) -> bool:
        return bool(self._finite[row])

    def base_entries(self, name: str) -> Tensor:
        """All entries of one layer of the base."""
        assert self.layout is not None
        at = self.layout.names.index(name)
        return self._entries(name, self.n, 0, self._edges[at + 1] - self._edges[at])

    def nonfinite(self, row: int) -> list[str]:
        """Names of a client's tensors with NaN or Inf."""
        return self.adapters[row].nonfinite()

    def _entries(self, name: str, i: int, start: int, stop: int) -> Tensor:
        """Entries of one layer of one adapter."""
        if name in self._plain:
            return self._plain[name][i].part(start, stop).double()
        factors = self._all[i].layers[name]
        width = factors.A.shape[1]
        top, bottom = start // width, -(-stop // width)
        product = (factors.B[top:bottom].double() * factors.scale) @ factors.A.double()
        return product.reshape(-1)[start - top * width : stop - top * width]

    def _derive(self, statistic: Statistic) -> Tensor | None:
        if statistic == Gram():
            return self._gram()
        return self.compute(Gram())[0].diagonal().clone() if statistic == SqNorms() else None

    def _gram(self) -> Tensor:
        """Inner products of the rows, layer by layer from factors."""
        total = torch.zeros(len(self._all), len(self._all), dtype=torch.float64)
        assert self.layout is not None
        for layer in self.layout.names:
            total += self._layer_gram(layer)
        gram = total if self.base is None else _from_last(total)
        # A row with NaN is one of its own; its products with others are no numbers, those of the others are.
        gram[~self._finite] = torch.nan
        gram[:, ~self._finite] = torch.nan
        return gram

    def _layer_gram(self, layer: str) -> Tensor:
        """Inner products within one layer, of the base below the clients too, if there is one."""
        if layer in self._plain:
            return self._plain_gram(self._plain[layer])
        factors = [adapter.layers[layer] for adapter in self._all]
        finite = [*self._finite.tolist(), True]
        n = len(factors)
        total = torch.zeros(n, n, dtype=torch.float64)
        pieces = _pieces([f.rank for f in factors])
        for k, piece in enumerate(pieces):
            one = _Stacked.of(factors[piece], finite[piece])
            for other in pieces[k:]:
                products = one.products(one if other == piece else _Stacked.of(factors[other], finite[other]))
                total[piece, other] = products
                if other != piece:
                    total[other, piece] = products.T
        return total

    def _plain_gram(self, rows: Sequence[Flat]) -> Tensor:
        size = rows[0].values.numel()
        finite = [*self._finite.tolist(), True]
        total = torch.zeros(len(rows), len(rows), dtype=torch.float64)
        step = max(min(_AT_A_TIME, _OF_ALL // len(rows)), 1)
        for start in range(0, size, step):
            stop = min(start + step, size)
            block = torch.stack([_double(row.part(start, stop), ok) for row, ok in zip(rows, finite, strict=False)])
            total += block @ block.T
        return total


@dataclass(frozen=True, kw_only=True)
class _Stacked:
    """Factors of some adapters in one layer, side by side in float64, and whose each rank is."""

    A: Tensor
    B: Tensor
    owner: Tensor
    n: int

    @classmethod
    def of(cls, factors: Sequence[Factors], finite: Sequence[bool]) -> _Stacked:
        both = list(zip(factors, finite, strict=False))
        return cls(
            A=torch.cat([_double(f.A, ok) for f, ok in both]),
            B=torch.cat([_double(f.B, ok) * f.scale for f, ok in both], 1),
            owner=torch.cat([torch.full((f.rank,), i) for i, f in enumerate(factors)]),
            n=len(factors),
        )

    def products(self, other: _Stacked) -> Tensor:
        """Inner products of these adapters' rows with those of others: (n, their n)."""
        products = (self.B.T @ other.B).mul_(self.A @ other.A.T)
        by_row = torch.zeros(self.n, len(other.owner), dtype=torch.float64).index_add_(0, self.owner, products)
        return torch.zeros(self.n, other.n, dtype=torch.float64).index_add_(1, other.owner, by_row)


def _pieces(ranks: Sequence[int]) -> list[slice]:
    """Neighbours with at most `_RANKS` ranks together, or one that has more: all of them, in order."""
    edges, held = [0], 0
    for place, rank in enumerate(ranks):
        if place > edges[-1] and held + rank > _RANKS:
            edges.append(place)
            held = 0
        held += rank
    return [slice(first, last) for first, last in pairwise([*edges, len(ranks)])]


def _from_last(gram: Tensor) -> Tensor:
    """Inner products of all rows but the last minus that: <x - b, y - b> = <x, y> - <x, b> - <b, y> + <b, b>."""
    to_base = gram[:-1, -1]
    return gram[:-1, :-1] - to_base[:, None] - to_base + gram[-1, -1]


def _double(factor: Tensor, finite: bool) -> Tensor:
    """In float64; zeros of a client whose numbers are none, so that they meet nobody else's."""
    return factor.double() if finite else torch.zeros(factor.shape, dtype=torch.float64)
