"""Reading the IDX files in which MNIST was first published, gzipped or not."""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

CHUNK = 1 << 20  # bytes read at a time


class IdxError(ValueError):
    """Not an IDX file, or not a whole one; says what was expected and what was found."""


def digest(content: bytearray) -> str:
    """SHA-256, as hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def read(file: Path | Traversable, limit: float = math.inf) -> tuple[bytearray, str]:
    """The content, decompressed as far as possible, and what stopped that, if anything."""
    raw = file.read_bytes()
    # By the first bytes, not by the name: some browsers unpack a file and leave the name.
    if not raw.startswith(b"\x1f\x8b"):
        return bytearray(raw), ""
    content = bytearray()
    stream = gzip.GzipFile(fileobj=io.BytesIO(raw))
    try:
        # read1, because read of a truncated file is an error that loses what came before.
        while len(content) <= limit and (chunk := stream.read1(CHUNK)):
            content += chunk
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        return content, f" (damaged gzip file of {len(raw):,} bytes: {error})"
    return content, ""


def read_idx(file: Path | Traversable, dims: int) -> np.ndarray:
    """An IDX file of unsigned bytes: a magic number, `dims` sizes (all big-endian 32-bit), the bytes.

    Raises:
        IdxError: that is not what the file holds.
    """
    content, trouble = read(file)
    start = 4 + 4 * dims
    magic = 0x0800 + dims
    if len(content) < start:
        raise IdxError(f"expected at least {start} bytes, found {len(content)}{trouble}")
    found, *shape = struct.unpack_from(f">{1 + dims}I", content)
    if found != magic:
        raise IdxError(f"expected the magic number {magic}, found {found}{trouble}")
    size = start + math.prod(shape)
    sizes = " x ".join(map(str, shape))
    if trouble or len(content) != size:
        expected = f"{size:,} bytes (a header and {sizes})"
        raise IdxError(f"expected {expected}, found {len(content):,}{trouble}")
    if size == start:
        raise IdxError(f"expected data, found none ({sizes})")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
