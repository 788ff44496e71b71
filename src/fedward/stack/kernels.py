"""Kernels over columns: order statistics by sorting networks, each column on its own.

A sorting network is a fixed list of compare-exchange steps, so it runs as whole-row minima and maxima over a block
that stays in cache, and only the steps that part the wanted ranks from the others are kept: 329 of 395 for the median
of 50, 190 for its mean without the smallest and the largest. Compiled or not, results are the same to the bit: sums are
in one order, in float64.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from . import columnloops, compiled

Network = tuple[tuple[int, int], ...]

# Values whose distances differ by a smaller share of themselves are equally far: rounding does not choose between them.
TIE = columnloops.TIE

# Beyond this many rows the network's n log^2 n steps cost more than torch.sort's n log n.
_MAX_NETWORK = 192
MAX_COMPILED = 1024
"""The same for the compiled network."""


@compiled.in_loops(MAX_COMPILED)
def median(block: Tensor) -> Tensor:
    """Middle value of each column, or the mean of the two middle values: (n, b) to (b,)."""
    return _mean_of_ranks(block, _middle(len(block)))


@compiled.in_loops(MAX_COMPILED)
def lower_median(block: Tensor) -> Tensor:
    """Middle value of each column, or the lower of the two middle values: (n, b) to (b,)."""
    middle = (len(block) - 1) // 2
    return _mean_of_ranks(block, range(middle, middle + 1))


def median_magnitude(block: Tensor, factors: Tensor, *, lower: bool, loops: bool) -> Tensor:
    """Median, or lower median, of the magnitudes of each column of diag(factors) @ block: (n, b) to (b,)."""
    middle = _middle(len(block))
    ranks = range(middle.start, middle.start + 1) if lower else middle
    network = _dividing_network(len(block), ranks)
    if loops:
        return _compiled(block, network, ranks, factors=factors)
    return _mean(_ranked((block * factors.to(block)[:, None]).abs(), network, ranks)).to(block.dtype)


@compiled.in_loops(MAX_COMPILED)
def trimmed_mean(block: Tensor, f: int) -> Tensor:
    """Mean of each column without its f smallest and f largest values: (n, b) to (b,); n > 2f."""
    if f == 0 and usable(block):
        return _compiled(block, (), range(len(block)))
    return _mean_of_ranks(block, range(f, len(block) - f)) if f else _mean(list(block)).to(block.dtype)


@compiled.in_loops(MAX_COMPILED)
def mean_around_median(block: Tensor, count: int) -> Tensor:
    """Mean of the ``count`` values of each column that are closest to its median: (n, b) to (b,).

    Of two values at the same distance the smaller one counts first.
    """
    return _mean_of_closest(block, _middle(len(block)), count)


@compiled.in_loops(MAX_COMPILED)
def mean_around_trimmed_mean(block: Tensor, f: int) -> Tensor:
    """Mean of the n - f values of each column that are closest to its f-trimmed mean: (n, b) to (b,); n > 2f.

    Of two values at the same distance the smaller one counts first.
    """
    n = len(block)
    return _mean_of_closest(block, range(f, n - f), n - f)


def _middle(n: int) -> range:
    return range((n - 1) // 2, n // 2 + 1)


def _mean_of_ranks(block: Tensor, ranks: range) -> Tensor:
    """Mean of the values of each column at successive ranks."""
    network = _dividing_network(len(block), ranks)
    if usable(block):
        return _compiled(block, network, ranks)
    return _mean(_ranked(block, network, ranks)).to(block.dtype)


def _mean_of_closest(block: Tensor, ranks: range, count: int) -> Tensor:
    """Mean of the ``count`` values of each column that are closest to the mean of those at the ranks."""
    network = _merge_exchange(len(block))
    if usable(block):
        return _compiled(block, network, ranks, count)
    ranked = torch.stack(_ranked(block, network, range(len(block))))
    return _closest(ranked, _mean(list(ranked[ranks.start : ranks.stop])), count)


def usable(block: Tensor) -> bool:
    """Whether a block is ranked by the compiled network."""
    return len(block) <= MAX_COMPILED and compiled.usable(block)


def _compiled(block: Tensor, network: Network, ranks: range, count: int = 0, factors: Tensor | None = None) -> Tensor:
    rows, out = compiled.Rows(block), torch.empty(block.shape[1], dtype=block.dtype)
    scales = np.empty(0, rows.flat.dtype) if factors is None else factors.to(block).numpy()
    compiled.run(
        columnloops.rank_means, rows.flat, rows.flat.view(rows.signed), *rows.shape, scales,
        rows.signed(rows.largest), _steps(network), ranks.start, len(ranks), count, out.numpy(),
    )  # fmt: skip
    return out


@lru_cache(maxsize=64)
def _steps(network: Network) -> np.ndarray:
    return np.array(network, dtype=np.int64).reshape(-1, 2)


def weighted_sum(block: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """The sum of the block's rows at the given indices, each times its weight, in float64: (n, b) to (b,)."""
    if compiled.usable(block):
        taken, out = compiled.Rows(block), torch.empty(block.shape[1], dtype=block.dtype)
        compiled.run(columnloops.weighted_sum, taken.flat, *taken.shape, rows.numpy(), weights.numpy(), out.numpy())
        return out
    some = block if len(rows) == len(block) else block[rows.to(block.device)]
    return weights.to(block.device) @ some.double()


def total(rows: Iterable[Tensor]) -> Tensor:
    """The sum of rows, from the first to the last, in float64."""
    first, *others = rows
    so_far = first.double() + 0.0  # a copy, and no negative zero
    for row in others:
        so_far += row
    return so_far


def _mean(rows: list[Tensor]) -> Tensor:
    return total(rows) / len(rows)


def _closest(ranked: Tensor, middle: Tensor, count: int) -> Tensor:
    """Mean of the ``count`` values of each sorted column that are closest to a value between its ends."""
    # In a sorted column the closest values are neighbours. Their window moves up as long as the value it would take
    # in is strictly closer than the one it would let go; once it is not, it never is again.
    low, high = ranked[: len(ranked) - count].double(), ranked[count:].double()
    moves = high - middle < middle - low - (TIE * low.abs() + TIE * high.abs())
    start = moves.sum(0)
    rows = start[None] + torch.arange(count, device=ranked.device)[:, None]
    return _mean(list(ranked.gather(0, rows))).to(ranked.dtype)


def _ranked(block: Tensor, network: Network, ranks: range) -> list[Tensor]:
    """What the network, or more than it, makes of the rows of the block, at the given ranks."""
    if block.device.type != "cpu" or len(block) > _MAX_NETWORK:
        return list(block.sort(0).values[ranks.start : ranks.stop])
    rows = list(block.unbind(0))
    for a, b in network:
        rows[a], rows[b] = torch.minimum(rows[a], rows[b]), torch.maximum(rows[a], rows[b])
    return [rows[r] for r in ranks]


@lru_cache(maxsize=64)
def _dividing_network(n: int, ranks: range) -> Network:
    """The steps of a sorting network that bring the values of these successive ranks to their places, in any order.

    From the last step back: one between two places that nothing tells apart later is left out. Places below the ranks
    are not told apart at the end, nor are those among them or above; the two places of a step are by that step.
    """
    if n > _MAX_NETWORK:  # sums are to be the same as after sorting
        return _merge_exchange(n)
    parts = [0] * ranks.start + [1] * len(ranks) + [2] * (n - ranks.stop)
    kept = []
    for a, b in reversed(_merge_exchange(n)):
        if parts[a] != parts[b]:
            kept.append((a, b))
            parts[a] = parts[b] = 2 + len(kept)
    return tuple(reversed(kept))


@lru_cache(maxsize=64)
def _merge_exchange(n: int) -> Network:
    """Batcher's merge exchange (Knuth, The Art of Computer Programming 3, algorithm 5.2.2M): pairs (low, high)."""
    steps = []
    top = 1 << max(n - 1, 1).bit_length() - 1
    p = top
    while p > 0:
        q, r, distance = top, 0, p
        while True:
            steps += [(i, i + distance) for i in range(n - distance) if i & p == r]
            if q == p:
                break
            distance, q, r = q - p, q // 2, p
        p //= 2
    return tuple(steps)
