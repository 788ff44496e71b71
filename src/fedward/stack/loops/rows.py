"""Loops over the entries of a block, written for numba to compile; `compiled` does it.

Rows come flat: row i starts at entry ``i * stride`` of a contiguous array. Where only order or sign matters, numbers
come as the whole numbers that their bits are: magnitudes are in the order of their bits, and of two whole numbers the
smaller one is a single instruction. Inner loops go along neighbouring columns without a branch, so that they become
vector instructions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Bits = NDArray[np.integer]
Wide = NDArray[np.float64]

LANES = 64  # words of packed signs that are filled side by side
ROOM = 1 << 14  # columns whose packed signs are compared at a time
ODD, PAIRS = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333)
FOURS, BYTES = np.uint64(0x0F0F0F0F0F0F0F0F), np.uint64(0x0101010101010101)  # masks to count the bits of a word


def sq_norms(flat: Floats, stride: int, n: int, width: int, out: Wide) -> None:
    """Squared norms of the rows: (n,)."""
    for i in range(n):
        row = flat[i * stride : i * stride + width]
        total = 0.0
        for j in range(width):
            value = np.float64(row[j])
            total += value * value
        out[i] = total


def dots(flat: Floats, stride: int, n: int, width: int, others: Floats, step: int, out: Wide) -> None:
    """Inner products with the rows of another flat array: (n, k)."""
    for i in range(n):
        row = flat[i * stride : i * stride + width]
        for k in range(out.shape[1]):
            other = others[k * step : k * step + width]
            total = 0.0
            for j in range(width):
                total += np.float64(row[j]) * np.float64(other[j])
            out[i, k] = total


def gram(flat: Floats, stride: int, n: int, width: int, out: Wide) -> None:
    """Inner products of all rows, on and below the diagonal, 4 x 4 at a time: (n, n).

    The 16 sums of 4 rows with 4 stay in registers: 8 numbers are read for 16 products, and not 32.
    """
    tall = (n + 3) // 4 * 4  # rows of zeros make it a multiple of 4
    room = 256  # columns of all rows, in float64, that stay in the second-level cache
    tile = np.zeros((tall, room))
    total = np.zeros((tall, tall))
    for place in range(0, width, room):
        here = min(room, width - place)
        for i in range(n):
            row = flat[i * stride + place : i * stride + place + here]
            to = tile[i]
            for j in range(here):
                to[j] = row[j]
            for j in range(here, room):  # so that the loop below has a fixed length
                to[j] = 0
        for a in range(0, tall, 4):
            a0, a1, a2, a3 = tile[a], tile[a + 1], tile[a + 2], tile[a + 3]
            for b in range(0, a + 4, 4):
                b0, b1, b2, b3 = tile[b], tile[b + 1], tile[b + 2], tile[b + 3]
                s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = 0.0
                s20 = s21 = s22 = s23 = s30 = s31 = s32 = s33 = 0.0
                for j in range(room):
                    x0, x1, x2, x3 = a0[j], a1[j], a2[j], a3[j]
                    y0, y1, y2, y3 = b0[j], b1[j], b2[j], b3[j]
                    s00, s01, s02, s03 = s00 + x0 * y0, s01 + x0 * y1, s02 + x0 * y2, s03 + x0 * y3
                    s10, s11, s12, s13 = s10 + x1 * y0, s11 + x1 * y1, s12 + x1 * y2, s13 + x1 * y3
                    s20, s21, s22, s23 = s20 + x2 * y0, s21 + x2 * y1, s22 + x2 * y2, s23 + x2 * y3
                    s30, s31, s32, s33 = s30 + x3 * y0, s31 + x3 * y1, s32 + x3 * y2, s33 + x3 * y3
                sums = ((s00, s01, s02, s03), (s10, s11, s12, s13), (s20, s21, s22, s23), (s30, s31, s32, s33))
                for k in range(4):
                    for m in range(4):
                        total[a + k, b + m] += sums[k][m]
    for a in range(n):
        for b in range(a + 1):
            out[a, b] = out[b, a] = total[a, b]


def sign_counts(flat: Floats, stride: int, n: int, width: int, chosen: Floats, out: Wide) -> None:
    """Positive, zero and negative entries of each row, in columns with a 1 and not a 0, and its squared norm: (n, 4).

    Going over all columns takes less time than picking a tenth of them; squares are summed while they are in cache.
    """
    room = 1 << 12  # columns, which single precision counts exactly, and which stay in the first-level cache
    none = flat.dtype.type(0)
    out[:] = 0
    for place in range(0, width, room):
        part = chosen[place : min(place + room, width)]
        size = 0.0
        for j in range(len(part)):
            size += part[j]
        for i in range(n):
            row = flat[i * stride + place : i * stride + place + len(part)]
            positive = negative = none
            for j in range(len(part)):
                positive += part[j] if row[j] > 0 else none
                negative += part[j] if row[j] < 0 else none
            squares = 0.0
            for j in range(len(part)):
                value = np.float64(row[j])
                squares += value * value
            out[i, 0] += positive
            out[i, 1] += size - positive - negative
            out[i, 2] += negative
            out[i, 3] += squares


def concordance(bits: Bits, stride: int, n: int, width: int, largest: np.unsignedinteger, out: Wide) -> None:
    """Columns in which two rows have the same sign less those in which they have opposite ones: (n, n).

    Signs are packed, one bit for "negative" and one for "not zero", so that a word of each says it for 64 columns.
    Which column has which bit does not matter as long as it is the same in all rows.
    """
    size = bits.itemsize * 8
    group = size * LANES  # columns whose signs fill LANES words: one bit of each word at a time
    negative = np.empty((n, ROOM // 64), np.uint64)
    nonzero = np.empty((n, ROOM // 64), np.uint64)
    minuses = negative.view(bits.dtype)  # the same memory: filled in words of the rows' size, compared in longer ones
    somes = nonzero.view(bits.dtype)
    out[:] = 0  # whole numbers, which float64 holds exactly
    rest = np.zeros(group, bits.dtype)
    for place in range(0, width, ROOM):
        groups = (min(ROOM, width - place) + group - 1) // group
        for i in range(n):
            for g in range(groups):
                start = i * stride + place + g * group
                source = bits[start : start + min(group, width - place - g * group)]
                if len(source) < group:  # the last columns, and zeros, which neither agree nor oppose
                    for j in range(len(source)):
                        rest[j] = source[j]
                    for j in range(len(source), group):
                        rest[j] = 0
                    source = rest
                minus = minuses[i, g * LANES : (g + 1) * LANES]
                some = somes[i, g * LANES : (g + 1) * LANES]
                for j in range(LANES):
                    minus[j] = 0
                    some[j] = 0
                for k in range(size):
                    column = source[k * LANES : (k + 1) * LANES]
                    for j in range(LANES):
                        minus[j] = (minus[j] << 1) | (column[j] > largest)
                        some[j] = (some[j] << 1) | ((column[j] & largest) != 0)
        words = groups * group // 64
        for a in range(n):
            minus_a = negative[a, :words]
            some_a = nonzero[a, :words]
            for b in range(a + 1):
                minus_b = negative[b, :words]
                some_b = nonzero[b, :words]
                agree = oppose = np.uint64(0)
                for w in range(words):
                    both = some_a[w] & some_b[w]
                    differ = both & (minus_a[w] ^ minus_b[w])
                    # How many bits of a word are 1: a formula that compilers know to be one instruction.
                    both -= (both >> np.uint64(1)) & ODD
                    both = (both & PAIRS) + ((both >> np.uint64(2)) & PAIRS)
                    agree += (((both + (both >> np.uint64(4))) & FOURS) * BYTES) >> np.uint64(56)
                    differ -= (differ >> np.uint64(1)) & ODD
                    differ = (differ & PAIRS) + ((differ >> np.uint64(2)) & PAIRS)
                    oppose += (((differ + (differ >> np.uint64(4))) & FOURS) * BYTES) >> np.uint64(56)
                out[a, b] += np.int64(agree) - 2 * np.int64(oppose)
    for a in range(n):
        for b in range(a + 1):
            out[b, a] = out[a, b]


def magnitude_counts(
    bits: Bits, stride: int, n: int, width: int, largest: np.unsignedinteger, shift: np.unsignedinteger, out: Bits
) -> None:
    """How many magnitudes of each row have the leading bits that the place in ``out`` says: (2, n, bins) to add up.

    Two counts, so that an increment does not wait for the one before it.
    """
    room = 1024
    bins = np.empty(room, np.uint16)
    for i in range(n):
        even = out[0, i]
        odd = out[1, i]
        for place in range(0, width, room):
            here = min(room, width - place)
            source = bits[i * stride + place : i * stride + place + here]
            for j in range(here):
                bins[j] = (source[j] & largest) >> shift
            for j in range(0, here - 1, 2):
                even[bins[j]] += 1
                odd[bins[j + 1]] += 1
            if here % 2 == 1:
                even[bins[here - 1]] += 1


def matching(
    bits: Bits,
    stride: int,
    n: int,
    width: int,
    largest: np.unsignedinteger,
    shift: np.unsignedinteger,
    prefix: Bits,
    values: Bits,
    counts: Bits,
) -> None:
    """The magnitudes whose leading bits are the prefix of their row, and how many of them each row has: (n,).

    Every magnitude is written to the next free place, which is taken only if the magnitude is wanted and overwritten
    by the next one if not. Unlike an "if", this has no branch that a processor would have to guess.
    """
    room = 2048
    found = np.empty(room + 1, bits.dtype)  # one more: what is not wanted is written behind all that are
    end = 0
    for i in range(n):
        wanted = prefix[i]
        start = end
        for place in range(0, width, room):
            row = bits[i * stride + place : i * stride + min(place + room, width)]
            here = 0
            for j in range(len(row)):
                value = row[j] & largest
                found[here] = value
                here += (value >> shift) == wanted
            for j in range(here):
                values[end + j] = found[j]
            end += here
        counts[i] = end - start
