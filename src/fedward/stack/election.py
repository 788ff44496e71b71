"""Kernels over columns that elect a sign and average the entries that have it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .kernels import median_magnitude, total
from .loops import FlatRows, Looping, Pair, columns, run
from .networks import MOST_COMPILED
from .ranks import magnitude_bits

_PIECE = 1 << 18  # entries that are ranked, elected and averaged before the next ones: they stay in cache


@dataclass(frozen=True, eq=False, kw_only=True)
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


@dataclass(frozen=True, eq=False, kw_only=True)
class ElectedMean(Looping):
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

    def __call__(self, block: Tensor) -> Tensor:
        output = _elected_mean(block[: self.n], self)
        return output if len(block) == self.n else torch.lerp(output, block[-1].to(output), self.momentum)

    def in_loops(self, n: int) -> bool:
        return _elected_mean.in_loops(self.n)

    def reduced(self, rows: Tensor) -> Tensor:
        """The entries v, in torch: (n, b)."""
        source = rows if self.unscaled else rows * self.factors.to(rows)[:, None]
        if self.clamp is not None:
            source = source.sign() * torch.minimum(source.abs(), median_magnitude(rows, self.factors, lower=self.lower))
        return source if self.floors is None else torch.where(self.floors.kept(rows), source, 0)

    @property
    def lower(self) -> bool:
        """Whether the clamp is to the lower median."""
        return self.clamp == "lower"

    def elected(self, rows: Tensor, v: Tensor) -> Tensor | None:
        """The sign of each column, in torch: (b,); None if all signs pass."""
        if isinstance(self.votes, Tensor):
            voters = v if self.by_kept else rows
            return (self.votes.to(rows) @ voters.sign()).sign()  # whole numbers below 2^24: exact
        if self.votes == "mass":
            # What cancels but for rounding is a tie.
            balance = total(v)
            size = total(v.abs())
            return torch.where(balance.abs() > 1e-12 * size, balance.sign(), 0.0).to(v)
        return None


def _elected_mean_in_a_loop(rows: Tensor, election: ElectedMean) -> Tensor:
    # A piece is ranked for the clamp, elected and averaged before the next one, while it is in cache.
    pieces = rows.tensor_split(max(rows.numel() // _PIECE, 1), 1)
    return torch.cat([_looped(piece, election) for piece in pieces])


def _looped(rows: Tensor, election: ElectedMean) -> Tensor:
    """See `columns.elected_means`."""
    taken = FlatRows(rows)
    out = torch.empty(taken.width, dtype=rows.dtype)
    factors = torch.ones_like(election.factors) if election.unscaled else election.factors
    bounds = rows.new_empty(0)
    if election.clamp is not None:
        bounds = median_magnitude.loop(rows, election.factors, lower=election.lower)
    floors = torch.full((taken.n,), -1)
    if election.floors is not None:
        floors = election.floors.bits(rows)
    votes = rows.new_zeros(taken.n)
    if isinstance(election.votes, Tensor):
        votes = election.votes.to(rows)
    run(
        columns.elected_means, taken.flat, taken.flat.view(taken.signed), *taken.shape,
        factors.to(rows).numpy(), bounds.numpy(), floors.numpy().astype(taken.signed),
        taken.signed(taken.largest), votes.numpy(), _voters(election), election.shared, out.numpy(),
    )  # fmt: skip
    return out


def _voters(election: ElectedMean) -> int:
    """Who votes, as `columns.elected_means` has it."""
    if election.votes is None:
        return columns.NOBODY
    if isinstance(election.votes, str):
        return columns.MASS
    return columns.REDUCED_ROWS if election.by_kept else columns.ROWS


def _elected_mean_in_torch(rows: Tensor, election: ElectedMean) -> Tensor:
    v = election.reduced(rows)
    signs = election.elected(rows, v)
    aligned = v if signs is None else torch.where(v * signs > 0, v, 0)
    count = (aligned != 0).sum(0).clamp_min(1) if election.shared else election.n
    return (total(aligned) / count).to(rows.dtype)


_elected_mean = Pair(
    loop=_elected_mean_in_a_loop, torch=_elected_mean_in_torch, most_rows=MOST_COMPILED, least_columns=columns.WIDE
)
