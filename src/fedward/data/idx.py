"""Reading the IDX files in which MNIST was first published, gzipped or not."""

from __future__ import annotations

import math
import struct
from dataclasses import replace

import numpy as np

from .content import Files, FormatError, Readable, read
from .stored import Stored

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
"""As MNIST and Fashion-MNIST call them."""


def read_idx(file: Readable, dims: int) -> np.ndarray:
    """An IDX file of unsigned bytes: a magic number, `dims` sizes (all big-endian 32-bit), the bytes.

    Raises:
        FormatError: that is not what the file holds.
    """
    content, trouble = read(file)
    start = 4 + 4 * dims
    magic = 0x0800 + dims
    if len(content) < start:
        raise FormatError(f"expected at least {start} bytes, found {len(content)}{trouble}", file)
    found, *shape = struct.unpack_from(f">{1 + dims}I", content)
    if found != magic:
        raise FormatError(f"expected the magic number {magic}, found {found}{trouble}", file)
    size = start + math.prod(shape)
    sizes = " x ".join(map(str, shape))
    if trouble or len(content) != size:
        expected = f"{size:,} bytes (a header and {sizes})"
        raise FormatError(f"expected {expected}, found {len(content):,}{trouble}", file)
    if size == start:
        raise FormatError(f"expected data, found none ({sizes})", file)
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def read_four(files: Files) -> tuple[Stored, Stored]:
    """Training and test set of four files: training images and labels, test images and labels."""
    first, second, third, fourth = files.values()
    return _split(first, second), _split(third, fourth)


def read_upright(files: Files, *, first: int = 0) -> tuple[Stored, Stored]:
    """As `read_four`, of EMNIST's files: images lie on their side, labels count from ``first``."""
    train, test = (
        replace(part, samples=part.samples.transpose(0, 2, 1), labels=part.labels.astype(np.int64) - first)
        for part in read_four(files)
    )
    return train, test


def _split(images: Readable, labels: Readable) -> Stored:
    return Stored(samples=read_idx(images, 3), labels=read_idx(labels, 1), files=(images, labels))
