"""Order statistics along the rows: the entry of a given rank in each row's magnitudes, exact, without sorting a row.

Non-negative floating-point numbers are ordered as their bits are, so a histogram of leading bits says in which
bin the wanted rank lies. Histograms are sums over column blocks: the first one, of 11 bits, comes in the same pass
as all other statistics. Then the few entries of the wanted bins are read and ranked; where they are not few (a row
whose entries are nearly all alike), more bits are counted first. No row is ever copied as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from .blocks import Block
from .loops import FlatRows, Pair, run
from .loops import rows as over_rows
from .pairs import row_slices
from .shares import ColumnShare
from .stats import Partial, Statistic
from .updates import Updates

_FIRST = 11  # bits of the first histogram: all of float64's exponent, float32's and 3 bits of the fraction
_NEXT = 10
# Bins with more entries than this, and more than a sixteenth of the row, are counted further before they are read.
_FEW = 4096


@dataclass(frozen=True, kw_only=True)
class MagnitudeCounts(Statistic):
    """How many entries of each row have a magnitude with given leading 11 bits, sign apart: (n, 2048)."""

    name: ClassVar[str] = "magnitudes"

    def partials(self, d: int, device: torch.device) -> Partial:
        return _leading_counts

    def in_loops(self, n: int) -> bool:
        return _leading_counts.in_loops(n)


def _leading_counts_in_a_loop(block: Block) -> Tensor:
    rows = FlatRows(block.rows)
    counts = np.zeros((2, rows.n, 1 << _FIRST), np.uint32)
    largest = rows.unsigned(rows.largest)
    shift = rows.unsigned(rows.largest.bit_length() - _FIRST)
    run(over_rows.magnitude_counts, rows.flat.view(rows.unsigned), *rows.shape, largest, shift, counts)
    return torch.from_numpy(counts.sum(0, dtype=np.float64))


def _leading_counts_in_torch(block: Block) -> Tensor:
    bits, width = _bits(block.rows)
    counts = torch.zeros(len(bits), 1 << _FIRST, dtype=torch.int32, device=bits.device)
    bins = (bits >> (width - _FIRST)).long()
    return counts.scatter_add_(1, bins, counts.new_ones(1).expand_as(bins)).double()


_leading_counts = Pair(loop=_leading_counts_in_a_loop, torch=_leading_counts_in_torch)


def _bits(rows: Tensor) -> tuple[Tensor, int]:
    """Magnitudes as whole numbers of the same order, and how many bits they have."""
    if rows.dtype == torch.float32:
        return rows.view(torch.int32) & 0x7FFFFFFF, 31
    return rows.double().view(torch.int64) & 0x7FFFFFFFFFFFFFFF, 63


def magnitude_bits(rows: Tensor) -> Tensor:
    """Magnitudes as whole numbers of the same order, in the bits of the rows' own dtype or of float64."""
    return _bits(rows)[0]


def _floats(bits: Tensor, width: int) -> Tensor:
    """The magnitudes that `_bits` made whole numbers of, in float64."""
    return (bits.int().view(torch.float32) if width == 31 else bits.view(torch.float64)).double()


def magnitude_of_rank(updates: Updates, rank: int) -> tuple[Tensor, Tensor]:
    """The magnitude of the given rank, counted from 0 upwards, in each row, and how many entries are at most that.

    Exact in the dtype of the rows. Reads the data once if `MagnitudeCounts` is known, and once more for every 10
    bits that a sixteenth of a row has in common beyond the leading 11.

    Returns:
        values (n,) float64 and counts (n,) int64.
    """
    counts = updates.compute(MagnitudeCounts())[0]
    width = _width(updates)
    known = 0
    prefix = torch.zeros(updates.n, dtype=torch.int64)
    below = torch.zeros(updates.n, dtype=torch.int64)  # entries that are less than the bin
    step = _FIRST
    while True:
        bins, before, inside = _bins_of(counts, rank - below)
        below = below + before
        prefix = (prefix << step) | bins
        known += step
        if known == width:
            return _floats(prefix, width), below + inside
        if int(inside.max()) <= max(_FEW, updates.d // 16):
            return _read(updates, prefix, width - known, ranks=rank - below, below=below)
        step = min(_NEXT, width - known)
        counts = _count(updates, prefix, width - known, step)


def _bins_of(counts: Tensor, ranks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The bin in which each row's rank is, and how many entries of the row are in those before and in it: (n,) each."""
    found = []
    for rows in row_slices(*counts.shape):
        some = counts[rows].long()
        upto = some.cumsum(1)  # entries in this bin and those before
        bins = (upto <= ranks[rows, None]).sum(1, keepdim=True)
        inside = some.gather(1, bins)
        found.append(torch.cat([bins, upto.gather(1, bins) - inside, inside], 1))
    bins, before, inside = torch.cat(found).unbind(1)
    return bins, before, inside


def _width(updates: Updates) -> int:
    return _bits(updates.read(0, 0))[1]


def _count(updates: Updates, prefix: Tensor, shift: int, step: int) -> Tensor:
    """Counts of the next ``step`` bits among the entries whose leading bits are the prefix: (n, 2^step)."""
    counts = torch.zeros(updates.n << step, dtype=torch.int64)
    for block in updates.blocks():
        bits, _ = _bits(block.rows)
        row, column = ((bits >> shift) == prefix.to(bits)[:, None]).nonzero(as_tuple=True)
        digits = (bits[row, column] >> (shift - step)).long() & ((1 << step) - 1)
        counts += torch.bincount((row << step) + digits, minlength=len(counts)).cpu()
    (whole,) = updates.share.total(counts.double())
    return whole.reshape(updates.n, -1)


def _read(updates: Updates, prefix: Tensor, shift: int, *, ranks: Tensor, below: Tensor) -> tuple[Tensor, Tensor]:
    """Rank the entries whose leading bits are the prefix."""
    found: list[list[Tensor]] = [[] for _ in range(updates.n)]
    loops = _matching.in_loops(updates.n)
    for _, (entries, counts) in updates.sweep(lambda block: _matching(block.rows, prefix, shift), loops):
        for pieces, piece in zip(found, torch.split(entries, counts), strict=True):
            pieces.append(piece)
    chosen = [entries.numpy() for entries in _brought_together([torch.cat(pieces) for pieces in found], updates.share)]
    values = np.array([np.partition(entries, rank)[rank] for entries, rank in zip(chosen, ranks.tolist(), strict=True)])
    at_most = [int((entries <= value).sum()) for entries, value in zip(chosen, values, strict=True)]
    return _floats(torch.from_numpy(values), _width(updates)), below + torch.tensor(at_most)


def _brought_together(entries: list[Tensor], share: ColumnShare) -> list[Tensor]:
    """The entries of each row that all processes have found, from those of one."""
    counts = share.joined(torch.tensor([[len(found)] for found in entries]))  # (rows, processes)
    pieces = torch.split(share.joined(torch.cat(entries)), counts.T.flatten().tolist())
    return [torch.cat(pieces[row :: len(entries)]) for row in range(len(entries))]


def _matching_in_a_loop(block: Tensor, prefix: Tensor, shift: int) -> tuple[Tensor, list[int]]:
    rows = FlatRows(block)
    counts = np.empty(rows.n, np.int64)
    found = np.empty(block.numel(), rows.unsigned)
    wanted = prefix.numpy().astype(rows.unsigned)
    run(
        over_rows.matching, rows.flat.view(rows.unsigned), *rows.shape,
        rows.unsigned(rows.largest), rows.unsigned(shift), wanted, found, counts,
    )  # fmt: skip
    return torch.from_numpy(found[: counts.sum()].view(rows.signed).copy()), counts.tolist()


def _matching_in_torch(block: Tensor, prefix: Tensor, shift: int) -> tuple[Tensor, list[int]]:
    bits, _ = _bits(block)
    mask = (bits >> shift) == prefix.to(bits)[:, None]
    return bits[mask].cpu(), mask.sum(1).tolist()


_matching = Pair(loop=_matching_in_a_loop, torch=_matching_in_torch)
"""The magnitudes of a block, as whole numbers, whose leading bits are the prefix, and how many each row has."""
