"""Names and shapes of a model's tensors, which of them have columns, and where each lies in a flat row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Literal

import torch
from torch import Tensor, nn

Buffers = Literal["auto"] | Iterable[str] | nn.Module | None
"""Which tensors are running statistics: those that PyTorch calls so, these names too, a module's buffers too, none."""
Integers = Literal["refuse", "counters"]
"""What becomes of integer tensors that are no counters."""

_RUNNING = frozenset({"running_mean", "running_var"})
_VARIANCES = {"running_mean": "running_var", "moving_mean": "moving_variance"}
"""What the variance is called that belongs to a running mean."""
_COUNTERS = frozenset({"num_batches_tracked"})


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Which columns of the stack belong to which named tensor, and which tensors have no columns.

    Only what training moves by gradients has columns. Running statistics of normalisation layers are most of such a
    model's norm, and counters of batches would distort every distance, so both are kept aside: no rule sees them.

    Attributes:
        names: tensors with columns, in order.
        shapes, dtypes: of those.
        buffers: floating-point tensors without columns: running statistics.
        counters: integer and boolean tensors.
        order: all of these as the state dict has them.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[torch.dtype, ...]
    buffers: tuple[str, ...] = ()
    counters: tuple[str, ...] = ()
    order: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        tensors: Mapping[str, Tensor],
        *,
        buffers: Buffers = "auto",
        integers: Integers = "refuse",
        by_name: bool = False,
    ) -> Layout:
        """Read the layout off one state dict.

        Args:
            tensors: by name.
            buffers: "auto", tensors whose name ends in running_mean or running_var; names, or a module, whose buffers
                are meant: these as well; None, every floating-point tensor has columns.
            integers: "refuse" integer tensors that are no counters (of one entry without dimensions, or called
                num_batches_tracked), which may be quantised weights; or take them for "counters".
            by_name: columns are in the order of names, whatever that of the tensors is.

        Raises:
            TypeError: an integer tensor that is no counter, or tensors that are neither real nor whole numbers.
            ValueError: ``buffers`` names a tensor that is not there, or one of the arguments is none of the above.
        """
        if integers not in ("refuse", "counters"):
            raise ValueError(f"integers is 'refuse' or 'counters', got {integers!r}")
        aside = _set_aside(buffers, tensors)
        floats = {name: t for name, t in tensors.items() if t.is_floating_point()}
        rows = {name: t for name, t in floats.items() if name not in aside}
        if by_name:
            rows = {name: rows[name] for name in sorted(rows, key=str)}
        others = {name: t for name, t in tensors.items() if name not in floats}
        for name, t in others.items():
            if t.is_complex() or t.is_quantized:
                raise TypeError(f"{name} is {t.dtype}: {remedy(t)}")
            if integers == "refuse" and name not in aside and not is_counter(name, t):
                raise TypeError(f"{name} is {t.dtype} of shape {tuple(t.shape)}: {remedy(t)}")
        return cls(
            names=tuple(rows),
            shapes=tuple(tuple(t.shape) for t in rows.values()),
            dtypes=tuple(t.dtype for t in rows.values()),
            buffers=tuple(name for name in floats if name in aside),
            counters=tuple(others),
            order=tuple(tensors),
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


def is_counter(name: object, tensor: Tensor) -> bool:
    """Whether an integer tensor counts something: one entry without dimensions, or BatchNorm's batches."""
    return tensor.ndim == 0 or _last(name) in _COUNTERS


def is_variance(name: object) -> bool:
    """Whether a running statistic is a variance, which is never negative."""
    return _last(name) in _VARIANCES.values()


def variance_beside(name: str) -> str | None:
    """What the variance of the same layer is called, of a running mean; None of anything else."""
    last = _last(name)
    return name.removesuffix(last) + _VARIANCES[last] if last in _VARIANCES else None


def remedy(tensor: Tensor) -> str:
    """What to do with a tensor that is no update as it is."""
    if tensor.is_complex():
        return "updates are real numbers; send torch.view_as_real(...) of it"
    if tensor.is_quantized:
        return "updates are floating point; send its dequantize()"
    return (
        "integers are no updates; dequantise it first, scale * (q - zero_point), or pass integers='counters' "
        "if it is no weight: clients' lower median is taken then"
    )


def _set_aside(buffers: Buffers, tensors: Mapping[str, Tensor]) -> set[str]:
    """The names of tensors that have no columns whatever they hold."""
    if buffers is None:
        return set()
    running = {name for name in tensors if _last(name) in _RUNNING}
    if isinstance(buffers, nn.Module):
        return running | {name for name, _ in buffers.named_buffers()}
    if isinstance(buffers, str):
        if buffers != "auto":
            raise ValueError(f"buffers is 'auto', a list of names, a module or None, got {buffers!r}")
        return running
    named = set(buffers)
    if unknown := named - tensors.keys():
        raise ValueError(
            f"buffers names {', '.join(sorted(map(repr, unknown)))}, which is none of the tensors: "
            f"{', '.join(map(str, tensors))}"
        )
    return running | named


def _last(name: object) -> str:
    return str(name).replace("/", ".").rpartition(".")[2]
