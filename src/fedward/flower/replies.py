"""Flower's messages, examined one at a time: whatever is wrong with one, it is dropped and the others count."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from io import BytesIO
from math import prod
from typing import Any

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, Message
from flwr.serverapp import Grid
from torch import Tensor

from .answers import Drop, Fault, Reply, ReplyError, check_examples, shown
from .model import SentModel

RECORD = "fedward-name"
"""The ConfigRecord of a reply that says who sends it, under "name"."""
_STYPE = "numpy.ndarray"
"""How Flower serialises arrays; of no other way its strategies can make numbers."""
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def screen(
    replies: Iterable[Message],
    asked: Sequence[int],
    model: SentModel | None,
    examples: str | None = None,
) -> tuple[list[Reply], list[Drop]]:
    """Sort sound replies from the others, both in the order of node ids.

    Args:
        replies: what came back.
        asked: ids of the nodes that were sent a message; those that nothing came from are missing.
        model: what arrays are held against; None in evaluation, where replies have none.
        examples: the metric that must be a positive number, where it is trusted.
    """
    expected = set(asked)
    sound: dict[int, Reply] = {}
    drops: dict[int, Drop] = {}
    for message in replies:
        node = message.metadata.src_node_id
        if node not in expected:
            # The error that stands for a node that is gone does not come under its id: it is missing, below.
            if not message.has_error():
                drops[node] = Drop(node=node, fault=Fault.NOT_ASKED, detail="sent a reply without having been asked")
            continue
        try:
            if node in sound or node in drops:
                # Which of two replies is the node's own cannot be told.
                raise ReplyError(Fault.SECOND_REPLY, "sent more than one reply")
            sound[node] = _examined(message, model, examples)
        except ReplyError as error:
            sound.pop(node, None)
            drops[node] = Drop(node=node, fault=error.fault, detail=error.detail)
    for node in expected - sound.keys() - drops.keys():
        drops[node] = Drop(node=node, fault=Fault.MISSING, detail="no reply")
    return [sound[node] for node in sorted(sound)], [drops[node] for node in sorted(drops)]


def _examined(message: Message, model: SentModel | None, examples: str | None) -> Reply:
    if message.has_error():
        raise ReplyError(Fault.ERROR, f"code {message.error.code}: {shown(message.error.reason)}")
    content = message.content
    arrays = list(content.array_records.values())
    metrics = list(content.metric_records.values())
    if model is not None and len(arrays) != 1:
        raise ReplyError(Fault.WRONG_RECORDS, f"{len(arrays)} ArrayRecords where 1 is due")
    if len(metrics) != 1:
        raise ReplyError(Fault.WRONG_RECORDS, f"{len(metrics)} MetricRecords where 1 is due")
    if examples is not None:
        check_examples(metrics[0], examples)
    tensors: list[Tensor] = []
    buffers: list[Tensor] = []
    if model is not None:
        tensors, buffers = _read(arrays[0], model)
    named = content.config_records.get(RECORD)
    return Reply(
        node=message.metadata.src_node_id,
        content=content,
        metrics=dict(metrics[0]),
        tensors=tensors,
        buffers=buffers,
        claim=None if named is None else named.get("name", ""),
    )


def online(grid: Grid) -> dict[int, str]:
    """The nodes that are online, with the names that the SuperLink has registered them by, empty for none."""
    if not hasattr(grid, "get_nodes"):  # which not every version of Flower has
        return dict.fromkeys(grid.get_node_ids(), "")
    return {int(info.node_id): str(getattr(info, "name", "") or "") for info in grid.get_nodes()}


def _read(record: ArrayRecord, model: SentModel) -> tuple[list[Tensor], list[Tensor]]:
    """What a rule weighs in a reply, and its running statistics; counters must be there and fit, no more."""
    lacking = model.types.keys() - record.keys()
    extra = record.keys() - model.types.keys()
    if lacking or extra:
        raise ReplyError(Fault.WRONG_KEYS, f"lacks {shown(sorted(lacking))} and adds {shown(sorted(extra))}")
    found = {name: _array(name, record[name], *model.types[name]) for name in model.types}
    return [found[name] for name in model.layout.names], [found[name] for name in model.layout.buffers]


def _array(name: str, array: Array, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Tensor:
    """The array, on the bytes that came.

    What its header says is held against the model before anything is allocated: a few bytes can claim to be a terabyte.
    What stands beside the bytes must say the same, for strategies go by either.
    """
    try:
        buffer = BytesIO(array.data)
        found, fortran, kind = _HEADERS[np.lib.format.read_magic(buffer)](buffer)
        start = buffer.tell()
    except Exception as error:  # whatever a header that is none makes its parser stumble over
        raise ReplyError(Fault.UNREADABLE, f"{name} is not a NumPy array ({type(error).__name__})") from None
    if tuple(found) != shape:
        raise ReplyError(Fault.WRONG_SHAPE, f"{name} has shape {shown(found)} where {shape} is due")
    if kind != dtype:
        raise ReplyError(Fault.WRONG_DTYPE, f"{name} is {shown(kind)} where {dtype} is due")
    if array.stype != _STYPE:
        raise ReplyError(Fault.UNREADABLE, f"{name} is serialised as {shown(array.stype)} where {_STYPE} is due")
    if tuple(array.shape) != shape:
        raise ReplyError(Fault.WRONG_SHAPE, f"{name} is said to have shape {shown(array.shape)} where {shape} is due")
    if array.dtype != str(dtype):
        raise ReplyError(Fault.WRONG_DTYPE, f"{name} is said to be {shown(array.dtype)} where {dtype} is due")
    size = prod(shape)
    if len(array.data) - start != size * dtype.itemsize:
        raise ReplyError(
            Fault.UNREADABLE, f"{name} has {len(array.data) - start} bytes where {size * dtype.itemsize} are due"
        )
    values = np.frombuffer(array.data, dtype, size, start) if size else np.empty(0, dtype)
    if not values.flags.aligned:
        values = values.copy()
    with warnings.catch_warnings():  # read-only is fine: replies are never written to
        warnings.filterwarnings("ignore", message=".*not writable.*", category=UserWarning)
        return torch.from_numpy(values.reshape(shape, order="F" if fortran else "C"))
