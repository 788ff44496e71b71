"""Kernels over columns that elect a sign and average the entries that have it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from . import columnloops, compiled, kernels
from .ranks import magnitude_bits
from .stats import Block, SignConcordance
from .updates import Updates

_PIECE = 1 << 18  # entries that are ranked, elected and averaged before the next ones: they stay in cache


@dataclass(frozen=True, eq=False)
class Floors:
    """Magnitudes that the entries of each row must exceed, or reach where ``inclusive``: (n,) each."""

    values: Tensor
    inclusive: Tensor

    def bits(self, rows: Tensor) -> Tensor:
        """The whole numbers that the bits of a magnitude must exceed, in the dtype of the rows."""
        return magnitude_bits(self.values.to(rows)) - self.inclusive.to(rows.device).int()

    def kept(self, rows: Tensor) -> Tensor:
        """Which entries do: (n, b) bool."""
        return magnitude_bits(rows) > self.bits(rows)[:, None]


@dataclass(frozen=True, eq=False)
class ElectedMean:
    """The mean, in each column, of the reduced entries v that have the sign that the column elects: (n, b) to (b,).

    An entry is scaled by its row's factor, clamped to the median magnitude of its column, and kept where the raw
    magnitude is above its row's floor. Sums go from the first row to the last, in float64.

    Args:
        n: rows; one more below them is the server's own, which has the share ``momentum`` in the output.
        factors: of the rows, for the clamp's bound and for v.
        unscaled: v is made of the raw rows after all.
        clamp: whether to clamp, and whether to the median or to the lower median.
        floors: None keeps all.
        votes: of the rows: whole numbers, sgn(sum_k votes_k sgn(x_k)); "mass" is sgn(sum_k v_k); None lets all signs
            pass. ``by_kept``: of the signs of v instead of x.
        shared: whether to divide by the number of entries that agree; by n if not.
    """

    n: int
    factors: Tensor
    floors: Floors | None
    votes: Tensor | Literal["mass"] | None
    unscaled: bool = False
    clamp: Literal["median", "lower", None] = None
    by_kept: bool = False
    shared: bool = True
    momentum: float = 0.0
    most_rows: ClassVar[int] = kernels.MAX_COMPILED

    def __call__(self, block: Tensor) -> Tensor:
        if not compiled.usable(block) or self.n > self.most_rows or block.shape[1] < columnloops.WIDE:
            return self._one(block, self._merged)
        pieces = block.tensor_split(max(block.numel() // _PIECE, 1), 1)
        return torch.cat([self._one(piece, self._looped) for piece in pieces])

    def _one(self, block: Tensor, merge: Callable[[Tensor], Tensor]) -> Tensor:
        output = merge(block[: self.n])
        return output if len(block) == self.n else torch.lerp(output, block[-1].to(output), self.momentum)

    def reduced(self, rows: Tensor) -> Tensor:
        """The entries v, in torch: (n, b)."""
        source = rows if self.unscaled else rows * self.factors.to(rows)[:, None]
        if self.clamp is not None:
            source = source.sign() * torch.minimum(source.abs(), self._bounds(rows, loops=kernels.usable(rows)))
        return source if self.floors is None else torch.where(self.floors.kept(rows), source, 0)

    def concordance(self, updates: Updates) -> Tensor:
        """sum_j sgn(v_aj) sgn(v_bj) for each pair of rows: (n, n). Reads the data once."""
        add = SignConcordance().partials(updates.d, updates.device)
        terms = (add(Block(block.start, self.reduced(block.rows))) for block in updates.blocks())
        return sum(terms, torch.zeros(self.n, self.n, dtype=torch.float64, device=updates.device)).cpu()

    def _bounds(self, rows: Tensor, *, loops: bool) -> Tensor:
        return kernels.median_magnitude(rows, self.factors, lower=self.clamp == "lower", loops=loops)

    def _merged(self, rows: Tensor) -> Tensor:
        v = self.reduced(rows)
        signs = self._elected(rows, v)
        aligned = v if signs is None else torch.where(v * signs > 0, v, 0)
        count = (aligned != 0).sum(0).clamp_min(1) if self.shared else self.n
        return (kernels.total(aligned) / count).to(rows.dtype)

    def _elected(self, rows: Tensor, v: Tensor) -> Tensor | None:
        if isinstance(self.votes, Tensor):
            voters = v if self.by_kept else rows
            return (self.votes.to(rows) @ voters.sign()).sign()  # whole numbers below 2^24: exact
        if self.votes == "mass":
            # What cancels but for rounding is a tie.
            total, size = kernels.total(v), kernels.total(v.abs())
            return torch.where(total.abs() > 1e-12 * size, total.sign(), 0.0).to(v)
        return None

    def _looped(self, rows: Tensor) -> Tensor:
        taken, out = compiled.Rows(rows), torch.empty(rows.shape[1], dtype=rows.dtype)
        factors = torch.ones_like(self.factors) if self.unscaled else self.factors
        bounds = rows.new_empty(0) if self.clamp is None else self._bounds(rows, loops=True)
        floors = torch.full((self.n,), -1) if self.floors is None else self.floors.bits(rows)
        votes = self.votes.to(rows) if isinstance(self.votes, Tensor) else rows.new_zeros(self.n)
        mode = 0 if self.votes is None else 3 if isinstance(self.votes, str) else 2 if self.by_kept else 1
        compiled.run(
            columnloops.elected_means, taken.flat, taken.flat.view(taken.signed), *taken.shape,
            factors.to(rows).numpy(), bounds.numpy(), floors.numpy().astype(taken.signed),
            taken.signed(taken.largest), votes.numpy(), mode, self.shared, out.numpy(),
        )  # fmt: skip
        return out
