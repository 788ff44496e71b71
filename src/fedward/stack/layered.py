"""A stack layer by layer: what rows are in each, and rows mixed anew in each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .election import Floors
from .updates import Parts, Updates, View


def layer_bounds(updates: Updates) -> list[tuple[int, int]]:
    """The first column of each layer that has any, and one past its last; one layer where the stack knows of none."""
    if updates.layout is None:
        return [(0, updates.d)]
    return [(columns.start, columns.stop) for _, columns in updates.layout.slices() if columns.stop > columns.start]


def layer_features(
    updates: Updates, layers: Sequence[tuple[int, int]], floors: Floors | None = None
) -> tuple[Tensor, Tensor]:
    """Norms and sign balances of the rows in each layer: (n, layers) each; one pass over the data.

    The balance is the sum of the signs over the number of entries that are not zero, 0 if all are. Entries that are
    not above their row's floor count as zeros.
    """
    squares = torch.zeros(updates.n, len(layers), dtype=torch.float64)
    signs = torch.zeros_like(squares)
    counts = torch.zeros_like(squares)
    for block in updates.blocks():
        sparse = block.rows if floors is None else torch.where(floors.kept(block.rows), block.rows, 0)
        for k, (start, stop) in enumerate(layers):
            part = sparse[:, max(start - block.place, 0) : max(stop - block.place, 0)]
            if part.shape[1] == 0:
                continue
            squares[:, k] += torch.linalg.vector_norm(part, dim=1, dtype=torch.float64).square().cpu()
            signs[:, k] += part.sign().sum(1).cpu()
            counts[:, k] += (part != 0).sum(1).cpu()
    squares, signs, counts = updates.share.total(squares, signs, counts)
    return squares.sqrt(), signs / counts.clamp_min(1)


class LayerMixed(View):
    """One row: in each layer, the rows mixed with the layer's own weights.

    Args:
        layers: the first column of each and one past the last, next to one another.
        weights: (n, layers).
    """

    def __init__(self, base: Updates, layers: Sequence[tuple[int, int]], weights: Tensor) -> None:
        super().__init__(base, 1)
        self.layers = layers
        self.weights = weights

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        block = self.base.read(start, stop)
        start, stop = start + self.share.first, stop + self.share.first
        out = torch.empty(1, stop - start, dtype=torch.float64, device=block.device)
        for (first, last), weights in zip(self.layers, self.weights.T, strict=True):
            part = slice(max(first - start, 0), max(min(last, stop) - start, 0))
            out[0, part] = weights.to(out) @ block[:, part].double()
        return out

    def to_clients(self, weights: Tensor) -> Tensor:
        return self.base.to_clients(weights * (self.weights > 0).any(1))

    def parts(self, full: bool = False) -> Parts:
        return self.own_parts()
