"""Loops over the columns of a block, written for numba to compile like those of `rows`: ranks and elections.

A few columns at a time are sorted as far as needed and averaged while they are in the first-level cache. Sums go from
the first row or rank to the last, in float64, as in `kernels` and `election`: the results are the same to the bit. All
but those of `weighted_sum`, which takes four rows at a time: its terms are added in any order.

Wherever an inner loop goes over neighbouring columns it has no branch: a choice is written as a value that counts or
does not (``x if condition else 0``), which a vector instruction makes for all columns of a register at once.
"""

from __future__ import annotations

import numpy as np

from .rows import Bits, Floats, Wide

STRIP = 64  # columns that are sorted at a time: n of them stay in the first-level cache
TILE = 1 << 18  # bytes of all rows that are fetched at a time: memory streams, and they stay in the second-level cache
WIDE = 256  # columns that elect at a time
TIE = 1e-12  # of values: those whose distances from a middle differ by less are equally far, see `kernels`
LINE = 16  # entries between rows of a tile: rows a power of 2 apart would compete for the same lines of the cache
# Who elects the sign of a column.
NOBODY = 0
ROWS = 1
REDUCED_ROWS = 2
MASS = 3


def rank_means(
    flat: Floats,
    bits: Bits,
    stride: int,
    n: int,
    width: int,
    factors: Floats,
    largest: np.signedinteger,
    steps: Bits,
    first: int,
    many: int,
    count: int,
    out: Floats,
) -> None:
    """The mean of each column's values at the ranks ``first`` to ``first + many - 1``: (b,).

    If ``count`` is not 0, this mean is a centre: the result is the mean of the ``count`` values closest to it.

    Args:
        factors: of the rows: their magnitudes times these are ranked; empty for the values as they are.
        largest: the whole number of all bits but the sign.
        steps: of the sorting network.
    """
    room = max(TILE // (n * flat.itemsize) // STRIP, 1) * STRIP
    tile = np.zeros((n, room + LINE), flat.dtype)
    tile_bits = tile.view(bits.dtype)
    buffer = np.zeros((n, STRIP), flat.dtype)
    ranked = buffer.view(bits.dtype)
    centre = np.empty(STRIP)
    total = np.empty(STRIP)
    start = np.empty(STRIP, np.int64)
    signed = len(factors) == 0
    zero = largest ^ largest  # in the type of the bits: a plain 0 would have them all widened
    for place in range(0, width, room):
        here = min(room, width - place)
        # Memory is read a whole tile at a time, row by row, and what follows finds it in cache.
        for i in range(n):
            row = flat[i * stride + place : i * stride + place + here]
            to = tile[i]
            if signed:
                for j in range(here):
                    to[j] = row[j]
            else:
                factor = factors[i]
                for j in range(here):
                    to[j] = abs(row[j] * factor)
        for inside in range(0, here, STRIP):
            # Compared as whole numbers, because the smaller of two is a single instruction. Negative numbers are in the
            # wrong order then: flipping all their bits but the sign turns it round.
            for i in range(n):
                source = tile_bits[i, inside : inside + STRIP]
                target = ranked[i]
                for j in range(STRIP):
                    target[j] = source[j] ^ (largest if source[j] < 0 else zero)
            for step in range(len(steps)):
                lows = ranked[steps[step, 0]]
                highs = ranked[steps[step, 1]]
                for j in range(STRIP):
                    a = lows[j]
                    b = highs[j]
                    lows[j] = min(a, b)
                    highs[j] = max(a, b)
            if signed:  # back from whole numbers, those rows that are needed
                for i in range(0 if count > 0 else first, n if count > 0 else first + many):
                    target = ranked[i]
                    for j in range(STRIP):
                        target[j] = target[j] ^ (largest if target[j] < 0 else zero)
            for j in range(STRIP):
                centre[j] = 0
                total[j] = 0
                start[j] = 0
            for i in range(first, first + many):
                value = buffer[i]
                for j in range(STRIP):
                    centre[j] += value[j]
            for j in range(STRIP):
                centre[j] /= many
            if count > 0:
                # The closest values are neighbours: how far their window moves up, see `kernels._closest`.
                for i in range(n - count):
                    low = buffer[i]
                    high = buffer[i + count]
                    for j in range(STRIP):
                        down = np.float64(low[j])
                        up = np.float64(high[j])
                        start[j] += up - centre[j] < centre[j] - down - (TIE * abs(down) + TIE * abs(up))
                for i in range(n):
                    value = buffer[i]
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
    votes: Floats,
    mode: int,
    shared: bool,
    out: Floats,
) -> None:
    """Mean of the reduced entries that have the sign their column elects; see `election.ElectedMean`.

    Args:
        bounds: of the magnitudes, by column; empty if there are none.
        above: the whole number that a raw magnitude's bits must exceed for the entry to be kept.
        votes: of the rows, whole numbers.
        mode: who votes: NOBODY, the ROWS, the REDUCED_ROWS, or the MASS of these.
        shared: whether the mean is over those that agree, not over all rows.
    """
    # Votes are whole numbers that the type of the rows holds exactly, so that twice as many float32 fit a register.
    zero = flat.dtype.type(0)
    one = flat.dtype.type(1)
    kept = np.zeros((n, WIDE), flat.dtype)
    vote = np.empty(WIDE, flat.dtype)
    sign = np.empty(WIDE, flat.dtype)
    count = np.empty(WIDE, flat.dtype)
    mass = np.empty(WIDE)
    size = np.empty(WIDE)
    total = np.empty(WIDE)
    for strip in range(0, width, WIDE):
        place = min(strip, width - WIDE)  # the last strip has some columns again: every inner loop has a fixed length
        for j in range(WIDE):
            vote[j] = zero
            count[j] = zero
            mass[j] = 0
            size[j] = 0
            total[j] = 0
        for i in range(n):
            start = i * stride + place
            row = flat[start : start + WIDE]
            raw = bits[start : start + WIDE]
            value = kept[i]
            factor = factors[i]
            least = above[i]
            weight = votes[i]
            if len(bounds) > 0:
                bound = bounds[place : place + WIDE]
                for j in range(WIDE):
                    length = min(abs(row[j] * factor), bound[j])
                    length = length if (raw[j] & largest) > least else zero
                    value[j] = length if raw[j] >= 0 else -length
            else:
                for j in range(WIDE):
                    value[j] = row[j] * factor if (raw[j] & largest) > least else zero
            if mode == ROWS:
                for j in range(WIDE):
                    vote[j] += (weight if row[j] > zero else zero) - (weight if row[j] < zero else zero)
            elif mode == REDUCED_ROWS:
                for j in range(WIDE):
                    vote[j] += (weight if value[j] > zero else zero) - (weight if value[j] < zero else zero)
            elif mode == MASS:
                for j in range(WIDE):
                    mass[j] += np.float64(value[j])
                    size[j] += abs(np.float64(value[j]))
        if mode == MASS:
            for j in range(WIDE):  # what cancels but for rounding is a tie
                vote[j] = (one if mass[j] > 0 else -one) if abs(mass[j]) > 1e-12 * size[j] else zero
        for j in range(WIDE):
            sign[j] = (one if vote[j] > zero else zero) - (one if vote[j] < zero else zero)
        for i in range(n):
            value = kept[i]
            if mode == NOBODY:
                for j in range(WIDE):
                    total[j] += np.float64(value[j])
                    count[j] += one if value[j] != zero else zero
            else:
                for j in range(WIDE):
                    agreeing = max(value[j] * sign[j], zero)
                    total[j] += np.float64(agreeing)
                    count[j] += one if agreeing > zero else zero
        result = out[place : place + WIDE]
        for j in range(WIDE):
            mean = total[j] / (max(count[j], one) if shared else n)
            result[j] = mean if mode == NOBODY else mean * sign[j]


def weighted_sum(flat: Floats, stride: int, n: int, width: int, rows: Bits, weights: Wide, out: Floats) -> None:
    """The sum of the given rows, each times its weight, in float64: (b,).

    Four rows at a time, so that the sums are read and written a quarter as often.
    """
    room = 8192  # columns whose sums stay in the first-level cache
    total = np.empty(room)
    for place in range(0, width, room):
        here = min(room, width - place)
        for j in range(here):
            total[j] = 0
        for k in range(0, len(rows) // 4 * 4, 4):
            a, b, c, d = rows[k] * stride, rows[k + 1] * stride, rows[k + 2] * stride, rows[k + 3] * stride
            first, second = flat[a + place : a + place + here], flat[b + place : b + place + here]
            third, fourth = flat[c + place : c + place + here], flat[d + place : d + place + here]
            w, x, y, z = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
            for j in range(here):
                total[j] += w * first[j] + x * second[j] + y * third[j] + z * fourth[j]
        for k in range(len(rows) // 4 * 4, len(rows)):
            a, w = rows[k] * stride, weights[k]
            last = flat[a + place : a + place + here]
            for j in range(here):
                total[j] += w * last[j]
        result = out[place : place + here]
        for j in range(here):
            result[j] = total[j]
