"""What nodes sent, examined one reply at a time: whatever is wrong with one, it is dropped and the others count."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from io import BytesIO
from math import prod
from typing import Any

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from torch import Tensor

from ..stack import Layers
from .model import SentModel

MOST_EXAMPLES = 1 << 53
"""Examples that a node may claim: the sum over all nodes stays a number."""
FEWEST_EXAMPLES = 2.0**-53
"""The least: beside the most it still counts, so that a mean of what a rule has kept can be divided by it."""
_STYPE = "numpy.ndarray"
"""How Flower serialises arrays; of no other way its strategies can make numbers."""
_SHOWN = 200  # characters of a client's text in a log
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class Fault(StrEnum):
    """Why a reply never reached the rule."""

    ERROR = "error"
    MISSING = "missing"
    NOT_ASKED = "not-asked"
    SECOND_REPLY = "second-reply"
    WRONG_RECORDS = "wrong-records"
    WRONG_KEYS = "wrong-keys"
    WRONG_SHAPE = "wrong-shape"
    WRONG_DTYPE = "wrong-dtype"
    UNREADABLE = "unreadable"
    WRONG_EXAMPLES = "wrong-examples"
    WRONG_NAME = "wrong-name"
    NAME_TAKEN = "name-taken"
    NONFINITE = "nonfinite"
    UNUSED = "round-skipped"


class _ReplyError(Exception):
    """A reply to drop. It never leaves this module."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault
        self.detail = detail


@dataclass(frozen=True, kw_only=True)
class Drop:
    """A node whose reply does not count, and why."""

    node: int
    fault: Fault
    detail: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Reply:
    """A reply that is sound.

    Attributes:
        node: who sent it.
        content: what it holds, as it came.
        metrics: the entries of its one MetricRecord.
        tensors: what the rule weighs, in the order of the model's layout, read where it lies; none in evaluation.
        buffers: its running statistics, in the order of the layout's buffers.
        name: what it is called; empty if it has no name.
    """

    node: int
    content: RecordDict
    metrics: Mapping[str, Any]
    tensors: Sequence[Tensor] = ()
    buffers: Sequence[Tensor] = ()
    name: str = ""

    @property
    def client(self) -> int | str:
        """Whom a rule knows and remembers: by name, else by node id."""
        return self.name or self.node

    def examples(self, key: str) -> float:
        """How many examples the node says that it has."""
        return float(self.metrics[key])

    def finite(self) -> bool:
        """Whether what a rule would weigh is."""
        return all(bool(tensor.isfinite().all()) for tensor in self.tensors)


class Deltas(Layers):
    """Replies minus the model, subtracted block by block as they are read: no copy of any reply is made."""

    def __init__(self, replies: Sequence[Reply], model: SentModel) -> None:
        clients = [reply.client for reply in replies]
        columns = replace(model.layout, buffers=(), counters=())  # the rest of a reply is the model's own business
        super().__init__([list(reply.tensors) for reply in replies], layout=columns, ids=clients)
        self._model = Layers([model.row])

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        return super().read(start, stop, rows).sub_(self._model.read(start, stop))


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
                raise _ReplyError(Fault.SECOND_REPLY, "sent more than one reply")
            sound[node] = _examined(message, model, examples)
        except _ReplyError as error:
            sound.pop(node, None)
            drops[node] = Drop(node=node, fault=error.fault, detail=error.detail)
    for node in expected - sound.keys() - drops.keys():
        drops[node] = Drop(node=node, fault=Fault.MISSING, detail="no reply")
    return [sound[node] for node in sorted(sound)], [drops[node] for node in sorted(drops)]


def _examined(message: Message, model: SentModel | None, examples: str | None) -> Reply:
    if message.has_error():
        raise _ReplyError(Fault.ERROR, f"code {message.error.code}: {shown(message.error.reason)}")
    content = message.content
    arrays = list(content.array_records.values())
    metrics = list(content.metric_records.values())
    if model is not None and len(arrays) != 1:
        raise _ReplyError(Fault.WRONG_RECORDS, f"{len(arrays)} ArrayRecords where 1 is due")
    if len(metrics) != 1:
        raise _ReplyError(Fault.WRONG_RECORDS, f"{len(metrics)} MetricRecords where 1 is due")
    if examples is not None:
        _check_examples(metrics[0], examples)
    tensors: list[Tensor] = []
    buffers: list[Tensor] = []
    if model is not None:
        tensors, buffers = _read(arrays[0], model)
    return Reply(
        node=message.metadata.src_node_id, content=content, metrics=dict(metrics[0]), tensors=tensors, buffers=buffers
    )


def _check_examples(metrics: MetricRecord, key: str) -> None:
    value = metrics.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not FEWEST_EXAMPLES <= value <= MOST_EXAMPLES:
        raise _ReplyError(Fault.WRONG_EXAMPLES, f"{key} is {shown(value)} where a number from 2^-53 to 2^53 is due")


def _read(record: ArrayRecord, model: SentModel) -> tuple[list[Tensor], list[Tensor]]:
    """What a rule weighs in a reply, and its running statistics; counters must be there and fit, no more."""
    lacking = model.types.keys() - record.keys()
    extra = record.keys() - model.types.keys()
    if lacking or extra:
        raise _ReplyError(Fault.WRONG_KEYS, f"lacks {shown(sorted(lacking))} and adds {shown(sorted(extra))}")
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
        raise _ReplyError(Fault.UNREADABLE, f"{name} is not a NumPy array ({type(error).__name__})") from None
    if tuple(found) != shape:
        raise _ReplyError(Fault.WRONG_SHAPE, f"{name} has shape {shown(found)} where {shape} is due")
    if kind != dtype:
        raise _ReplyError(Fault.WRONG_DTYPE, f"{name} is {shown(kind)} where {dtype} is due")
    if array.stype != _STYPE:
        raise _ReplyError(Fault.UNREADABLE, f"{name} is serialised as {shown(array.stype)} where {_STYPE} is due")
    if tuple(array.shape) != shape:
        raise _ReplyError(Fault.WRONG_SHAPE, f"{name} is said to have shape {shown(array.shape)} where {shape} is due")
    if array.dtype != str(dtype):
        raise _ReplyError(Fault.WRONG_DTYPE, f"{name} is said to be {shown(array.dtype)} where {dtype} is due")
    size = prod(shape)
    if len(array.data) - start != size * dtype.itemsize:
        raise _ReplyError(
            Fault.UNREADABLE, f"{name} has {len(array.data) - start} bytes where {size * dtype.itemsize} are due"
        )
    values = np.frombuffer(array.data, dtype, size, start) if size else np.empty(0, dtype)
    if not values.flags.aligned:
        values = values.copy()
    with warnings.catch_warnings():  # read-only is fine: replies are never written to
        warnings.filterwarnings("ignore", message=".*not writable.*", category=UserWarning)
        return torch.from_numpy(values.reshape(shape, order="F" if fortran else "C"))


def nonfinite(reply: Reply) -> Drop:
    """What is wrong with a reply that is sound but for NaN or Inf."""
    return Drop(node=reply.node, fault=Fault.NONFINITE, detail="NaN or Inf")


def unused(sound: Sequence[Reply]) -> list[Drop]:
    """The nodes of a round in which the rule did not decide."""
    return [
        Drop(node=reply.node, fault=Fault.UNUSED, detail="") if reply.finite() else nonfinite(reply) for reply in sound
    ]


def shown(value: object, limit: int = _SHOWN) -> str:
    """What a client sent, as text that cannot break a log: one line, not too long."""
    text = value if isinstance(value, str) else repr(value)
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= limit else text[:limit] + "..."
