"""Names and shapes of a model's tensors, and where each lies in a flat row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """Which columns of the stack belong to which named tensor.

    Only floating-point entries have columns. Integer and boolean entries (BatchNorm's batch counters) would
    distort every distance, so they are kept aside under ``counters``.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[torch.dtype, ...]
    counters: tuple[str, ...] = ()

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Layout:
        """Read the layout off one state dict."""
        rows = {k: t for k, t in tensors.items() if t.is_floating_point()}
        return cls(
            names=tuple(rows),
            shapes=tuple(tuple(t.shape) for t in rows.values()),
            dtypes=tuple(t.dtype for t in rows.values()),
            counters=tuple(k for k in tensors if k not in rows),
        )

    @property
    def d(self) -> int:
        """Number of columns."""
        return sum(prod(shape) for shape in self.shapes)

    def slices(self) -> Iterator[tuple[str, slice]]:
        """Each name with its columns, in order."""
        start = 0
        for name, shape in zip(self.names, self.shapes, strict=True):
            yield name, slice(start, start + prod(shape))
            start += prod(shape)

    def unflatten(self, row: Tensor) -> dict[str, Tensor]:
        """Cut a (d,) row into its named tensors, each in its own shape and dtype."""
        return {
            name: row[columns].reshape(shape).to(dtype)
            for (name, columns), shape, dtype in zip(self.slices(), self.shapes, self.dtypes, strict=True)
        }
