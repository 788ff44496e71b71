"""Reading CIFAR-10 and CIFAR-100 as they were published: binary and Python batches."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from .content import LARGEST, Files, FormatError, Readable, content_of
from .stored import Stored, joined
from .unpickle import unpickled

_PIXELS = 3 * 32 * 32


def read_binary(files: Files, *, labels: int) -> tuple[Stored, Stored]:
    """Training batches and, last, the test batch: records of label bytes and 3 x 32 x 32 pixels, red first.

    Args:
        files: in this order.
        labels: bytes of label in a record, of which the last is the class: 1, and 2 in CIFAR-100.
    """
    parts = [_binary(file, labels) for file in files.values()]
    return joined(parts[:-1]), parts[-1]


def _binary(file: Readable, labels: int) -> Stored:
    content = content_of(file)
    size = labels + _PIXELS
    if len(content) == 0 or len(content) % size:
        raise FormatError(f"expected records of {size:,} bytes, found {len(content):,} bytes in all", file)
    records = np.frombuffer(content, np.uint8).reshape(-1, size)
    images = records[:, labels:].reshape(-1, 3, 32, 32)
    return Stored(samples=images, labels=records[:, labels - 1], files=(file, file))


def read_python(files: Files, *, key: str) -> tuple[Stored, Stored]:
    """Training batches and, last, the test batch: pickled dictionaries of (N, 3072) bytes and a list of labels.

    Args:
        files: in this order.
        key: what the labels are called: "labels", and "fine_labels" in CIFAR-100.
    """
    parts = [_python(file, key) for file in files.values()]
    return joined(parts[:-1]), parts[-1]


def _python(file: Readable, key: str) -> Stored:
    batch = unpickled(file)
    if not isinstance(batch, Mapping):
        raise FormatError(f"expected a dictionary, found {type(batch).__name__}", file)
    named = {name.decode("latin1") if isinstance(name, bytes) else str(name): value for name, value in batch.items()}
    if not {"data", key} <= named.keys():
        raise FormatError(f"expected data and {key}, found {', '.join(named) or 'nothing'}", file)
    data = named["data"]
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != _PIXELS:
        found = f"{data.dtype} {data.shape}" if isinstance(data, np.ndarray) else type(data).__name__
        raise FormatError(f"expected data of N x {_PIXELS} bytes, found {found}", file)
    if data.nbytes > LARGEST:
        raise FormatError(f"expected at most {LARGEST:,} bytes of data, found {data.nbytes:,}", file)
    return Stored(samples=data.reshape(-1, 3, 32, 32), labels=_labels(named[key], file), files=(file, file))


def _labels(values: object, file: Readable) -> np.ndarray:
    # Lists in lists are not made arrays of: a few may hold one another so often that they fill any memory.
    flat = isinstance(values, list | tuple) and all(type(value) is int for value in values)
    if not (flat or isinstance(values, np.ndarray)):
        raise FormatError(f"expected a list of labels, found {type(values).__name__}", file)
    try:
        return np.asarray(values).reshape(-1)
    except (ValueError, OverflowError) as error:
        raise FormatError(f"expected a list of labels, found {error}", file) from error


BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
TEN_BINARY = partial(read_binary, labels=1)
TEN_PYTHON = partial(read_python, key="labels")
HUNDRED_BINARY = partial(read_binary, labels=2)
HUNDRED_PYTHON = partial(read_python, key="fine_labels")
