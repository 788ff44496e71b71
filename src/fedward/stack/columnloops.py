"""Loops over the columns of a block, written for numba to compile like those of `loops`: ranks and elections.

A few columns at a time are sorted as far as needed and averaged while they are in the first-level cache. Sums go from
the first row or rank to the last, in float64, as in `kernels` and `election`: the results are the same to the bit.
"""

from __future__ import annotations

import numpy as np

from .loops import Bits, Floats, Wide

STRIP = 64  # columns that are sorted at a time: n of them stay in the first-level cache
TILE = 1 << 18  # bytes of all rows that are fetched at a time: memory streams, and they stay in the second-level cache
LINE = 16  # entries that keep the rows of a tile from competing for the same lines of the cache


def rank_means(
    flat: Floats,
    bits: Bits,
    stride: int,
    n: int,
    width: int,
    factors: Floats,
    largest: np.signedinteger,
    shift: np.signedinteger,
    steps: Bits,
    first: int,
    many: int,
    count: int,
    out: Floats,
) -> None:
    """Mean of each column's values at ``many`` ranks from the first on, or of the ``count`` values closest to that mean.

    With factors, of the magnitudes of the rows times these. ``largest`` is the whole number of all bits but the sign,
    ``shift`` the number of those; ``steps`` is the sorting network.
    """
    room = max(TILE // (n * flat.itemsize) // STRIP, 1) * STRIP
    values = np.zeros((n, room + LINE), flat.dtype)
    tile = values.view(bits.dtype)
    centre, total, start = np.empty(STRIP), np.empty(STRIP), np.empty(STRIP, np.int64)
    for place in range(0, width, room):
        here = min(room, width - place)
        for i in range(n):
            if len(factors) > 0:
                row, to = flat[i * stride + place : i * stride + place + here], values[i]
                factor = factors[i]
                for j in range(here):
                    to[j] = abs(row[j] * factor)
            else:
                # Numbers in the order of whole numbers: those of the negative ones are turned round.
                source, ranked = bits[i * stride + place : i * stride + place + here], tile[i]
                for j in range(here):
                    ranked[j] = source[j] ^ ((source[j] >> shift) & largest)
        for inside in range(0, here, STRIP):
            for step in range(len(steps)):
                low = tile[steps[step, 0], inside : inside + STRIP]
                high = tile[steps[step, 1], inside : inside + STRIP]
                for j in range(STRIP):
                    a, b = low[j], high[j]
                    low[j] = min(a, b)
                    high[j] = max(a, b)
            if len(factors) == 0:
                for i in range(n if count > 0 else first + many):
                    if count > 0 or i >= first:
                        ranked = tile[i, inside : inside + STRIP]
                        for j in range(STRIP):
                            ranked[j] = ranked[j] ^ ((ranked[j] >> shift) & largest)
            centre[:] = 0
            for i in range(first, first + many):
                value = values[i, inside : inside + STRIP]
                for j in range(STRIP):
                    centre[j] += value[j]
            for j in range(STRIP):
                centre[j] /= many
            if count > 0:
                # The closest values are neighbours: how far their window moves up, see `kernels._closest`.
                start[:] = 0
                for i in range(n - count):
                    low, high = values[i, inside : inside + STRIP], values[i + count, inside : inside + STRIP]
                    for j in range(STRIP):
                        start[j] += np.float64(high[j]) - centre[j] < centre[j] - np.float64(low[j])
                total[:] = 0
                for i in range(n):
                    value = values[i, inside : inside + STRIP]
                    for j in range(STRIP):
                        total[j] += np.float64(value[j]) if start[j] <= i < start[j] + count else 0.0
                for j in range(STRIP):
                    centre[j] = total[j] / count
            result = out[place + inside : place + min(inside + STRIP, here)]
            for j in range(len(result)):
                result[j] = centre[j]


def elected_means(
    flat: Floats,
    bits: Bits,
    stride: int,
    n: int,
    width: int,
    factors: Floats,
    bounds: Floats,
    above: Bits,
    largest: np.signedinteger,
    votes: Wide,
    mode: int,
    shared: bool,
    out: Floats,
) -> None:
    """Mean of the reduced entries that have the sign their column elects; see `election.ElectedMean`.

    Args:
        bounds: of the magnitudes, by column; empty if there are none.
        above: the whole number that a raw magnitude's bits must exceed for the entry to be kept.
        votes: of the rows.
        mode: who votes: 0 nobody, 1 the rows, 2 the reduced rows, 3 the mass of these.
        shared: whether the mean is over those that agree, not over all rows.
    """
    kept = np.zeros((n, STRIP), flat.dtype)
    vote, size, total = np.empty(STRIP), np.empty(STRIP), np.empty(STRIP)
    count = np.empty(STRIP, np.int64)
    zero = flat.dtype.type(0)
    for place in range(0, width, STRIP):
        here = min(STRIP, width - place)
        vote[:], size[:], total[:], count[:] = 0, 0, 0, 0
        for i in range(n):
            start = i * stride + place
            row, raw = flat[start : start + here], bits[start : start + here]
            value, factor, least, weight = kept[i], factors[i], above[i], votes[i]
            if len(bounds) > 0:
                bound = bounds[place : place + here]
                for j in range(here):
                    size_here = min(abs(row[j] * factor), bound[j])
                    signed = size_here if row[j] > 0 else -size_here
                    value[j] = signed if (raw[j] & largest) > least else zero
            else:
                for j in range(here):
                    value[j] = row[j] * factor if (raw[j] & largest) > least else zero
            if mode == 1:
                for j in range(here):
                    vote[j] += weight * (np.float64(row[j] > 0) - np.float64(row[j] < 0))
            elif mode == 2:
                for j in range(here):
                    vote[j] += weight * (np.float64(value[j] > 0) - np.float64(value[j] < 0))
            elif mode == 3:
                for j in range(here):
                    vote[j] += np.float64(value[j])
                    size[j] += abs(np.float64(value[j]))
        if mode == 3:
            for j in range(here):  # what cancels but for rounding is a tie
                vote[j] = vote[j] if abs(vote[j]) > 1e-12 * size[j] else 0.0
        for i in range(n):
            value = kept[i]
            for j in range(here):
                agrees = (value[j] > 0) & ((vote[j] > 0) | (mode == 0))
                agrees |= (value[j] < 0) & ((vote[j] < 0) | (mode == 0))
                total[j] += np.float64(value[j]) if agrees else 0.0
                count[j] += agrees
        result = out[place : place + here]
        for j in range(here):
            result[j] = total[j] / (max(count[j], 1) if shared else n)
