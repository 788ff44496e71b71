"""What a run is: all that its results depend on, by its arguments, for checkpoints to tell runs apart."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor

from ..data.dataset import Dataset, FederatedData, Split
from ..data.lazy import Lazy
from ..registry.component import Component
from .backends import Loop

UNCOUNTED = frozenset({"threads"})
"""Arguments of a simulation that change nothing in its results."""
LATER: Mapping[str, Any] = {"forge": "rows", "batch norm": "mean", "precision": "float32"}
"""What checkpoints have no word of that were written before there was a choice, with what every run was then."""
UNTOLD = frozenset({"shard sizes", "samples", "layout", "buffers"})
"""What earlier checkpoints have no word of, and nobody can know of them: it is taken to be as it is now."""


def identity_of(arguments: Mapping[str, object]) -> dict[str, Any]:
    """What identifies a run with these arguments, as plain values by name.

    Raises:
        TypeError: an argument of a kind that nothing is known about.
    """
    found: dict[str, Any] = {}
    for name, value in arguments.items():
        told = identified(value)
        found.update(told if isinstance(told, dict) else {name.replace("_", " "): told})
    return found


@singledispatch
def identified(value: object) -> Any:
    """What tells a value from others of its kind: a plain value, or several by name where it has several sides."""
    raise TypeError(f"no checkpoint can tell {value!r} from others of its kind: say how in fedward.sim.identity")


@identified.register
def _(value: bool | int | float | str | None) -> Any:
    return value


@identified.register
def _(value: Component) -> str:
    return repr(value)


@identified.register(frozenset)
def _(value: frozenset[int]) -> list[int]:
    return sorted(value)


@identified.register
def _(value: torch.device) -> str:
    return value.type


@identified.register
def _(value: Split) -> str:
    return _checksum(_telling(value), value.labels)


@identified.register
def _(value: FederatedData) -> dict[str, str]:
    train, test = value.dataset.train, value.dataset.test
    sizes = [len(shard) for shard in value.shards]
    return {
        "data": f"{value.dataset.name}, {len(train)} + {len(test)} samples, {checksum_of(value.dataset)}",
        "samples": f"{_form(train.inputs)} + {_form(test.inputs)}",
        "shards": f"{value.n} clients, {_checksum(*value.shards)}",
        # The checksum is of the shards joined together, so that where they are cut is another thing to tell.
        "shard sizes": f"{min(sizes)} to {max(sizes)} samples, {_checksum(torch.tensor(sizes))}",
    }


@identified.register
def _(value: Loop) -> dict[str, str]:
    # Frozen parameters are in no row, and yet everything depends on them; buffers likewise, whatever they hold.
    module = value.local.module
    frozen = [p.detach() for p in module.parameters() if not p.requires_grad]
    trained = [f"{name} {_form(p)} {p.requires_grad}" for name, p in module.named_parameters()]
    return {
        "model": value.description,
        "initial parameters": _checksum(value.initial(), *frozen),
        "layout": _text_checksum([*trained, *(f"{name} {_form(b)}" for name, b in module.named_buffers())]),
        "buffers": _checksum(value.local.initial_buffers, *value.counters),
    }


def checksum_of(dataset: Dataset) -> str:
    """What tells data from others: all samples that are in memory, and all labels."""
    train, test = dataset.train, dataset.test
    return _checksum(_telling(train), train.labels, _telling(test), test.labels)


def _telling(split: Split) -> Tensor:
    """What tells its samples from others: all of them, if they are in memory."""
    return split.inputs.telling() if isinstance(split.inputs, Lazy) else split.inputs


def _form(tensor: Tensor | Lazy) -> str:
    """Shape and type: ``(60, 5) float32``."""
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def _checksum(*tensors: Tensor) -> str:
    """Of all their bytes, joined together: neither shapes nor types, nor where one ends and the next begins."""
    crc = 0
    for tensor in tensors:
        # As bytes, since NumPy has no bfloat16.
        crc = zlib.crc32(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data, crc)
    return f"{crc:08x}"


def _text_checksum(lines: Iterable[str]) -> str:
    crc = zlib.crc32("\n".join(lines).encode())
    return f"{crc:08x}"
