"""Reading pickles that hold arrays and nothing that could run."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .content import FormatError, Readable, content_of


def _bytes(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes in the older protocols: ``_codecs.encode(text, "latin1")``."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"it wants bytes in {encoding}")
    return text.encode("latin1")


# By how arrays are taken apart, since NumPy has moved these functions about.
_RECONSTRUCT: Any = np.empty(0).__reduce__()[0]
_FROM_BUFFER: Any = np.empty(0).__reduce_ex__(5)[0]
_ALLOWED: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _bytes,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _RECONSTRUCT for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _FROM_BUFFER for core in ("core", "_core")},
}
"""All that a pickle may name: what an array is put together from. Numbers, text and containers need no name."""


class _Restricted(pickle.Unpickler):
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
        return _Restricted(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:  # pickles are damaged in as many ways as there are instructions
        found = str(error) or type(error).__name__
        raise FormatError(
            f"expected a pickle of arrays, text and numbers alone, found another: {found}", file
        ) from error
