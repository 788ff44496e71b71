"""Reading the MATLAB files that SVHN was published in."""

from __future__ import annotations

import io
import struct
import zlib
from math import prod

import numpy as np

from .content import Files, FormatError, Readable, content_of, room
from .stored import Stored

_HEAD = 128  # bytes before the first variable
_MATRIX, _PACKED = 14, 15
_BYTES = {"uint8": 1, "int8": 1, "uint16": 2, "int16": 2, "uint32": 4, "int32": 4, "int64": 8, "uint64": 8, "double": 8}
"""Kinds of variables that are read, and what one of their numbers takes: cells, text and structures are not."""


def read_mat(files: Files) -> tuple[Stored, Stored]:
    """Two files of images ``X``, (32, 32, 3, N), and labels ``y``, (N, 1), in which 10 stands for the digit 0."""
    train, test = (_mat(file) for file in files.values())
    return train, test


def _mat(file: Readable) -> Stored:
    from scipy import io as scipy_io  # takes a while to load

    try:
        content = io.BytesIO(_unpacked(bytes(content_of(file)), file))
        for name, shape, kind in scipy_io.whosmat(content):
            if name in ("X", "y") and not prod(shape) * _BYTES.get(kind, 1 << 40) <= 8 * len(content.getbuffer()):
                raise FormatError(f"expected numbers, found {name} of {kind} {shape}", file)
        content.seek(0)
        held = scipy_io.loadmat(content, variable_names=("X", "y"))
    except FormatError:
        raise
    except Exception as error:  # damaged ones raise whatever their bytes happen to mean
        raise FormatError(f"expected a MATLAB file, found something else: {error!r:.120}", file) from error
    images, labels = held.get("X"), held.get("y")
    if images is None or labels is None:
        raise FormatError("expected X and y in it, found neither or one alone", file)
    if images.ndim != 4 or images.dtype != np.uint8 or labels.dtype.kind not in "iu":
        found = f"{images.dtype} {images.shape} and {labels.dtype}"
        raise FormatError(f"expected bytes (H, W, 3, N) and whole numbers, found {found}", file)
    labels = labels.reshape(-1).astype(np.int64)
    labels[labels == 10] = 0
    return Stored(samples=np.ascontiguousarray(images.transpose(3, 2, 0, 1)), labels=labels, files=(file, file))


def _unpacked(content: bytes, file: Readable) -> bytes:
    """The same file with no variable packed: SciPy unpacks whatever a few bytes claim to become.

    Raises:
        FormatError: it would become far more than it is.
    """
    if 0 in content[:4]:  # as before MATLAB 5, with nothing packed
        return content
    order = {b"IM": "<", b"MI": ">"}.get(content[126:_HEAD])
    if order is None:
        raise FormatError("expected a MATLAB file, found something else", file)
    parts, place, left = [content[:_HEAD]], _HEAD, room(len(content))
    while place + 8 <= len(content):
        kind, size = struct.unpack_from(f"{order}2I", content, place)
        part = content[place : place + 8 + size]
        if kind == _PACKED:
            unpacker = zlib.decompressobj()
            part = unpacker.decompress(part[8:], left + 1)
            if len(part) > left:
                raise FormatError(f"expected at most {room(len(content)):,} bytes of variables, found more", file)
            left -= len(part)
        elif kind != _MATRIX:
            raise FormatError(f"expected variables, found an element of type {kind}", file)
        parts.append(part)
        place += 8 + size
    return b"".join(parts)
