"""The server's model as a rule sees it, whichever framework sent it out, and how it moves."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from ..stack import Layout
from ..stack.layout import Buffers, Integers, is_variance


class ServerModel:
    """The server's model as it was sent out, which every reply is held against.

    Args:
        tensors: the model, by name.
        buffers, integers: see `Layout.of`; integer arrays stay as the server has them.

    Attributes:
        tensors: all arrays, by name.
        layout: which of them a rule weighs, which are running statistics and which count something.
        types: dtype and shape of every array.

    Raises:
        TypeError: an integer array that may be a quantised weight.
        ValueError: there is nothing that a rule could weigh, or ``buffers`` names arrays that are not there.
    """

    def __init__(self, tensors: Mapping[str, Tensor], buffers: Buffers = "auto", integers: Integers = "refuse") -> None:
        self.tensors = dict(tensors)
        self.layout = Layout.of(self.tensors, buffers=buffers, integers=integers)
        self.types = {name: (_numpy_dtype(t), tuple(t.shape)) for name, t in self.tensors.items()}
        if not self.layout.d:
            raise ValueError(
                f"the model has nothing that a rule could weigh: {len(self.layout.buffers)} running statistics, "
                f"{len(self.layout.counters)} integer arrays, no floating-point entries besides"
            )

    @property
    def row(self) -> list[Tensor]:
        """The tensors that a rule weighs, in the order of the layout."""
        return [self.tensors[name] for name in self.layout.names]

    def moved(self, output: Tensor) -> dict[str, Tensor] | None:
        """The model plus an aggregate of updates, (d,); None where that is not finite. All else stays as it is."""
        steps = self.layout.unflatten(output)
        moved = {name: t + steps[name] if name in steps else t for name, t in self.tensors.items()}
        return moved if all(bool(moved[name].isfinite().all()) for name in steps) else None

    def settled(
        self, made: Mapping[str, np.ndarray], running: Mapping[str, Tensor], local: Collection[str] = ()
    ) -> dict[str, np.ndarray]:
        """Arrays that an optimiser made, as a model that clients can load.

        In the dtypes that the model had; counters, and running statistics that are not given, are the server's own.

        Args:
            made: what the optimiser made of the model.
            running: statistics after the round, by name, which no optimiser adapts.
            local: arrays that nodes keep to themselves: the server's own.
        """
        settled = {}
        for name, own in self.tensors.items():
            if name in local:
                settled[name] = own.numpy()
            elif name in running:
                settled[name] = running[name].numpy()
            elif name in self.layout.buffers or not own.is_floating_point():
                settled[name] = own.numpy()
            else:
                value = made[name].astype(self.types[name][0], copy=False)
                value = np.maximum(value, 0) if is_variance(name) else value
                settled[name] = np.ascontiguousarray(value).reshape(self.types[name][1])
        return settled


def finite(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether all floating-point entries are."""
    return all(bool(np.isfinite(v).all()) for v in arrays.values() if v.dtype.kind == "f")


def fixed(buffers: Buffers) -> str | list[str] | None:
    """Running statistics as text or names, to hold a checkpoint against: a generator of names is used up only once."""
    if buffers is None or isinstance(buffers, str):
        return buffers
    return sorted(name for name, _ in buffers.named_buffers()) if isinstance(buffers, nn.Module) else sorted(buffers)


def _numpy_dtype(tensor: Tensor) -> np.dtype[Any]:
    return np.dtype(str(tensor.dtype).removeprefix("torch."))
