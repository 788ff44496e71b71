"""Kernels over columns: order statistics by sorting networks, each column on its own.

A network's steps are few enough for a block to stay in cache meanwhile, and only those that part the wanted ranks from
the others are made. By a loop or in torch, results are the same to the bit: sums are in one order, in float64. Not so
those of `weighted_sum`, whose terms are added in any order, in float64, and rounded once.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from .loops import FlatRows, Pair, columns, made_of, run
from .networks import MOST_COMPILED, MOST_IN_TORCH, Network, dividing_network, merge_exchange

# Values whose distances differ by a smaller share of themselves are equally far: rounding does not choose between them.
TIE = columns.TIE


# --- pairs of a loop and the same in torch ------------------------------------------------------------------


def _mean_of_ranks_in_a_loop(block: Tensor, ranks: range) -> Tensor:
    return _rank_means(block, dividing_network(len(block), ranks), ranks)


def _mean_of_ranks_in_torch(block: Tensor, ranks: range) -> Tensor:
    ranked = _ranked(block, dividing_network(len(block), ranks), ranks)
    return _mean(ranked).to(block.dtype)


def _mean_of_closest_in_a_loop(block: Tensor, ranks: range, count: int) -> Tensor:
    return _rank_means(block, merge_exchange(len(block)), ranks, count)


def _mean_of_closest_in_torch(block: Tensor, ranks: range, count: int) -> Tensor:
    ranked = torch.stack(_ranked(block, merge_exchange(len(block)), range(len(block))))
    middle = _mean(list(ranked[ranks.start : ranks.stop]))
    return _closest(ranked, middle, count)


def _median_magnitude_in_a_loop(block: Tensor, factors: Tensor, *, lower: bool) -> Tensor:
    ranks = _middle(len(block), lower=lower)
    return _rank_means(block, dividing_network(len(block), ranks), ranks, factors=factors)


def _median_magnitude_in_torch(block: Tensor, factors: Tensor, *, lower: bool) -> Tensor:
    magnitudes = (block * factors.to(block)[:, None]).abs()
    return _mean_of_ranks_in_torch(magnitudes, _middle(len(block), lower=lower))


def _weighted_sum_in_a_loop(block: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    taken = FlatRows(block)
    out = torch.empty(taken.width, dtype=block.dtype)
    run(columns.weighted_sum, taken.flat, *taken.shape, rows.numpy(), weights.numpy(), out.numpy())
    return out


def _weighted_sum_in_torch(block: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    some = block if len(rows) == len(block) else block[rows.to(block.device)]
    return weights.to(block.device) @ some.double()


mean_of_ranks = Pair(loop=_mean_of_ranks_in_a_loop, torch=_mean_of_ranks_in_torch, most_rows=MOST_COMPILED)
"""Mean of the values of each column at successive ranks: (n, b) to (b,)."""

mean_of_closest = Pair(loop=_mean_of_closest_in_a_loop, torch=_mean_of_closest_in_torch, most_rows=MOST_COMPILED)
"""Mean of the ``count`` values of each column that are closest to the mean of those at the ranks: (n, b) to (b,)."""

median_magnitude = Pair(loop=_median_magnitude_in_a_loop, torch=_median_magnitude_in_torch, most_rows=MOST_COMPILED)
"""Median, or lower median, of the magnitudes of each column of diag(factors) @ block: (n, b) to (b,)."""

weighted_sum = Pair(loop=_weighted_sum_in_a_loop, torch=_weighted_sum_in_torch)
"""The sum of the block's rows at the given indices, each times its weight, in float64: (n, b) to (b,)."""


# --- kernels ------------------------------------------------------------------------------------------------


@made_of(mean_of_ranks)
def median(block: Tensor) -> Tensor:
    """Middle value of each column, or the mean of the two middle values: (n, b) to (b,)."""
    return mean_of_ranks(block, _middle(len(block)))


@made_of(mean_of_ranks)
def trimmed_mean(block: Tensor, f: int) -> Tensor:
    """Mean of each column without its f smallest and f largest values: (n, b) to (b,); n > 2f."""
    return mean_of_ranks(block, range(f, len(block) - f))


@made_of(mean_of_closest)
def mean_around_median(block: Tensor, count: int) -> Tensor:
    """Mean of the ``count`` values of each column that are closest to its median: (n, b) to (b,).

    Of two values at the same distance the smaller one counts first.
    """
    return mean_of_closest(block, _middle(len(block)), count)


@made_of(mean_of_closest)
def mean_around_trimmed_mean(block: Tensor, f: int) -> Tensor:
    """Mean of the n - f values of each column that are closest to its f-trimmed mean: (n, b) to (b,); n > 2f.

    Of two values at the same distance the smaller one counts first.
    """
    n = len(block)
    return mean_of_closest(block, range(f, n - f), n - f)


def only_row(block: Tensor) -> Tensor:
    """The one row that there is: (1, b) to (b,)."""
    return block[0]


def total(rows: Iterable[Tensor]) -> Tensor:
    """The sum of rows, from the first to the last, in float64."""
    first, *others = rows
    so_far = first.double() + 0.0  # a copy, and no negative zero
    for row in others:
        so_far += row
    return so_far


# --- helpers ------------------------------------------------------------------------------------------------


def _middle(n: int, *, lower: bool = False) -> range:
    """The ranks of the middle value, or of the two; of the lower of these alone."""
    first = (n - 1) // 2
    return range(first, first + 1) if lower else range(first, n // 2 + 1)


def _mean(rows: list[Tensor]) -> Tensor:
    return total(rows) / len(rows)


def _rank_means(block: Tensor, network: Network, ranks: range, count: int = 0, factors: Tensor | None = None) -> Tensor:
    """See `columns.rank_means`."""
    rows = FlatRows(block)
    out = torch.empty(rows.width, dtype=block.dtype)
    scales = np.empty(0, rows.flat.dtype) if factors is None else factors.to(block).numpy()
    run(
        columns.rank_means, rows.flat, rows.flat.view(rows.signed), *rows.shape, scales,
        rows.signed(rows.largest), _steps(network), ranks.start, len(ranks), count, out.numpy(),
    )  # fmt: skip
    return out


@lru_cache(maxsize=64)
def _steps(network: Network) -> np.ndarray:
    return np.array(network, dtype=np.int64).reshape(-1, 2)


def _ranked(block: Tensor, network: Network, ranks: range) -> list[Tensor]:
    """What the network makes of the rows of the block, at the given ranks."""
    if not network:
        return list(block[ranks.start : ranks.stop])
    if block.device.type != "cpu" or len(block) > MOST_IN_TORCH:
        return list(block.sort(0).values[ranks.start : ranks.stop])
    rows = list(block.unbind(0))
    for a, b in network:
        lower = torch.minimum(rows[a], rows[b])
        rows[b] = torch.maximum(rows[a], rows[b])
        rows[a] = lower
    return [rows[rank] for rank in ranks]


def _closest(ranked: Tensor, middle: Tensor, count: int) -> Tensor:
    """Mean of the ``count`` values of each sorted column that are closest to a value between its ends."""
    # In a sorted column the closest values are neighbours. Their window moves up as long as the value it would take
    # in is strictly closer than the one it would let go; once it is not, it never is again.
    low = ranked[: len(ranked) - count].double()
    high = ranked[count:].double()
    moves = high - middle < middle - low - (TIE * low.abs() + TIE * high.abs())
    start = moves.sum(0)
    rows = start[None] + torch.arange(count, device=ranked.device)[:, None]
    return _mean(list(ranked.gather(0, rows))).to(ranked.dtype)
