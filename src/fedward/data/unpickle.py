"""Reading pickles that hold arrays and nothing that could run."""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np

from ..failures import tamed
from .content import FormatError, Readable, content_of


def _bytes(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes in the older protocols: ``_codecs.encode(text, "latin1")``."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"it wants bytes in {encoding}")
    return text.encode("latin1")


class _Type:
    """The type of an array, as a pickle tells it: of numbers alone."""

    def __init__(self, name: object, *rest: object) -> None:
        if isinstance(name, bytes):
            name = name.decode("latin1")
        if not isinstance(name, str) or not _NUMBERS.fullmatch(name):
            raise pickle.UnpicklingError(f"it wants an array of {name!r:.40}")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
        if order not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError("it has a type that is none")
        self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """An array, as a pickle tells it: NumPy itself is told only what is known to be sound, or it might crash."""

    array: np.ndarray

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise pickle.UnpicklingError("it has an array that is none")
        _, shape, kind, by_column, held = state
        self.fill(held, kind, shape, "F" if by_column else "C")

    def fill(self, held: Any, kind: Any, shape: Any, order: Any) -> _Array:
        """Take the bytes of an array."""
        if isinstance(held, str):
            held = held.encode("latin1")
        sizes = isinstance(shape, tuple) and all(type(size) is int and size >= 0 for size in shape)
        if not (isinstance(held, bytes | bytearray) and isinstance(kind, _Type) and sizes and len(shape) <= 32):
            raise pickle.UnpicklingError("it has an array that is none")
        if prod(shape) * kind.dtype.itemsize != len(held) or order not in ("C", "F"):
            raise pickle.UnpicklingError(f"it has an array of shape {shape!r:.40} in {len(held):,} bytes")
        self.array = np.frombuffer(bytes(held), kind.dtype).reshape(shape, order=order).copy()
        return self


class _Kind:
    """What a pickle calls the class of arrays: it is named and never made."""

    def __init__(self, *arguments: object) -> None:
        raise pickle.UnpicklingError("it makes an array of nothing")


def _made(*arguments: object) -> _Array:
    return _Array()


def _from_buffer(held: Any, kind: Any, shape: Any, order: Any) -> _Array:
    return _Array().fill(held, kind, shape, order)


_NUMBERS = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")
_ALLOWED: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _Kind,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _bytes,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _made for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _from_buffer for core in ("core", "_core")},
}
"""All that a pickle may name: what an array is put together from. Numbers, text and containers need no name."""


def _plain(value: Any, known: dict[int, Any], deep: int = 8) -> Any:
    """Arrays in the place of what stood for them, in containers of a few levels; each is gone through once."""
    if isinstance(value, _Array):
        return value.array
    if not deep or not isinstance(value, dict | list | tuple):
        return value
    if id(value) not in known:
        known[id(value)] = value  # which may hold itself
        if isinstance(value, dict):
            known[id(value)] = {key: _plain(each, known, deep - 1) for key, each in value.items()}
        else:
            known[id(value)] = type(value)(_plain(each, known, deep - 1) for each in value)
    return known[id(value)]


# The one in Python: that in C stumbles over crafted buffers in ways that end the process.
class _Restricted(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Nothing else is found: whatever a pickle names it can also call."""
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it wants {module}.{name}")
        return _ALLOWED[module, name]


def unpickled(file: Readable) -> Any:
    """Dictionaries, lists, numbers, text and arrays of a pickle.

    Raises:
        FormatError: no pickle, a damaged one, or one that names anything but NumPy's arrays: nothing of it is run.
    """
    content = content_of(file)
    try:
        # latin1: Python 2 wrote the bytes of arrays as text.
        return _plain(_Restricted(io.BytesIO(content), encoding="latin1").load(), {})
    except Exception as error:  # pickles are damaged in as many ways as there are instructions
        found = tamed(error) or type(error).__name__
        raise FormatError(
            f"expected a pickle of arrays, text and numbers alone, found another: {found}", file
        ) from error
