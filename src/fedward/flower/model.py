"""The server's model as Flower sends it out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from flwr.app import Array, ArrayRecord
from torch import Tensor

from ..stack.layout import Buffers, Integers
from .server_model import ServerModel


class SentModel(ServerModel):
    """The server's model, from Flower's record of it.

    Args:
        arrays: the model.
        buffers, integers: see `ServerModel`, which lists what it raises as well.

    Raises:
        TypeError: an array whose entries PyTorch has no type for.
    """

    def __init__(self, arrays: ArrayRecord, buffers: Buffers = "auto", integers: Integers = "refuse") -> None:
        self.arrays = arrays
        super().__init__({name: _tensor(name, array) for name, array in arrays.items()}, buffers, integers)

    def misfit(self, arrays: ArrayRecord) -> str | None:
        """Why arrays that a strategy made cannot be the next model; None if they can."""
        try:
            made = {name: array.numpy() for name, array in arrays.items()}
        except Exception as error:  # arrays may be in any form
            return f"the strategy made a model that cannot be read: {error}"
        if {name: value.shape for name, value in made.items()} != {name: t[1] for name, t in self.types.items()}:
            return "the strategy made a model of other arrays"
        if not all(bool(np.isfinite(value).all()) for value in made.values() if value.dtype.kind == "f"):
            return "the strategy made a model that is not finite"
        return None


def record_of(arrays: Mapping[str, np.ndarray]) -> ArrayRecord:
    """Arrays as Flower sends them."""
    return ArrayRecord({name: Array(value) for name, value in arrays.items()})


def arrays_in(record: ArrayRecord) -> dict[str, np.ndarray]:
    """The arrays of a record."""
    return {name: array.numpy() for name, array in record.items()}


def _tensor(name: str, array: Array) -> Tensor:
    values = array.numpy()
    try:
        return torch.from_numpy(values)
    except (TypeError, ValueError):  # of big-endian entries, text, extended precision, ...
        raise TypeError(f"the model's {name} is an array of {values.dtype}: send one of float32 instead") from None
