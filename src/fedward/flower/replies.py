"""Flower's messages, examined one at a time: whatever is wrong with one, it is dropped and the others count."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from io import BytesIO
from math import prod
from typing import Any, TypeVar

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from torch import Tensor

from ..stack.layout import is_counter
from ..stack.prefixes import prefix_before
from .answers import Drop, Fault, Reply, ReplyError, check_examples, raised, shown
from .model import SentModel
from .names import name_in

RECORD = "fedward-name"
"""The ConfigRecord of a reply that says who sends it, under "name"."""
_STYPE = "numpy.ndarray"
"""How Flower serialises arrays; of no other way its strategies can make numbers."""
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_Record = TypeVar("_Record", ArrayRecord, MetricRecord)


@dataclass(frozen=True, kw_only=True)
class Names:
    """Which records of a reply count, where it has several; of one alone the name does not matter."""

    arrays: str = "arrays"
    metrics: str = "metrics"


def screen(
    replies: Iterable[Message],
    asked: Sequence[int],
    model: SentModel | None,
    examples: str | None = None,
    names: Names | None = None,
) -> tuple[list[Reply], list[Drop]]:
    """Sort sound replies from the others, both in the order of node ids.

    Arrays that more than half of the replies leave out stay local in this round: everybody counts as if the server's
    own had come.

    Args:
        replies: what came back.
        asked: ids of the nodes that were sent a message; those that nothing came from are missing.
        model: what arrays are held against; None in evaluation, where replies have none.
        examples: the metric that must be a positive number, where it is trusted.
        names: of the records that count.
    """
    expected = set(asked)
    names = Names() if names is None else names
    found: dict[int, _Records] = {}
    drops: dict[int, Drop] = {}
    said: dict[int, str] = {}
    for message in replies:
        node = message.metadata.src_node_id
        if node not in expected:
            # The error that stands for a node that is gone does not come under its id: it is missing, below.
            if not message.has_error():
                drops[node] = Drop(node=node, fault=Fault.NOT_ASKED, detail="sent a reply without having been asked")
            continue
        try:
            if node in found or node in drops:
                # Which of two replies is the node's own cannot be told, nor is its name.
                said.pop(node, None)
                raise ReplyError(Fault.SECOND_REPLY, "sent more than one reply")
            said[node] = _name_in(message, names)  # whatever becomes of the reply, people want to know whose it is
            found[node] = _records(message, model, examples, names)
        except ReplyError as error:
            found.pop(node, None)
            drops[node] = Drop(node=node, fault=error.fault, detail=error.detail)
    local = frozenset[str]() if model is None else _left_out([parts.arrays for parts in found.values()], model)
    sound: dict[int, Reply] = {}
    for node, parts in found.items():
        try:
            sound[node] = _read(node, parts, model, local)
        except ReplyError as error:
            drops[node] = Drop(node=node, fault=error.fault, detail=error.detail)
    for node in expected - sound.keys() - drops.keys():
        drops[node] = Drop(node=node, fault=Fault.MISSING, detail="no reply")
    named = [replace(drop, name=said.get(node, "")) for node, drop in sorted(drops.items())]
    return [sound[node] for node in sorted(sound)], named


def fitted(message: Message, reply: Reply, model: SentModel) -> Message:
    """The message with arrays of the model's types, and the server's own where they stay local: for other strategies.

    The very message, if that is how it came.
    """
    if not (reply.casts or reply.local):
        return message
    names = (*model.layout.names, *model.layout.buffers)
    tensors = dict(zip(names, (*reply.tensors, *reply.buffers), strict=True))
    whole = {name: Array(tensors.get(name, own).numpy()) for name, own in model.tensors.items()}
    other = copy.copy(message)
    other.content = RecordDict({**message.content, reply.record: ArrayRecord(whole)})
    return other


@dataclass(frozen=True, eq=False, kw_only=True)
class _Records:
    """What counts of one reply, its arrays not looked at yet."""

    content: RecordDict
    name: str
    arrays: ArrayRecord
    metrics: MetricRecord
    claim: object


def _records(message: Message, model: SentModel | None, examples: str | None, names: Names) -> _Records:
    if message.has_error():
        raise ReplyError(Fault.ERROR, f"code {message.error.code}: {raised(message.error.reason or '')}")
    content = message.content
    name, arrays = "", ArrayRecord()
    if model is not None:
        name, arrays = _one("ArrayRecord", content.array_records, names.arrays, "arrayrecord_key")
    _, metrics = _one("MetricRecord", content.metric_records, names.metrics, "metricrecord_key")
    if examples is not None:
        check_examples(metrics, examples)
    return _Records(content=content, name=name, arrays=arrays, metrics=metrics, claim=_claim_in(content))


def _claim_in(content: RecordDict) -> object:
    """What a reply says under "name" in the record for names; None if it has no such record."""
    named = content.config_records.get(RECORD)
    return None if named is None else named.get("name", "")


def _name_in(message: Message, names: Names) -> str:
    """What a node calls itself in a reply, whatever else is in it; empty if that is no name, or there is none."""
    if message.has_error():
        return ""
    try:
        _, metrics = _one("MetricRecord", message.content.metric_records, names.metrics, "metricrecord_key")
    except ReplyError:
        metrics = MetricRecord()
    return name_in(_claim_in(message.content), metrics)


def online(grid: Grid) -> dict[int, str]:
    """The nodes that are online, with the names that the SuperLink has registered them by, empty for none."""
    if not hasattr(grid, "get_nodes"):  # which not every version of Flower has
        return dict.fromkeys(grid.get_node_ids(), "")
    return {int(info.node_id): str(getattr(info, "name", "") or "") for info in grid.get_nodes()}


def _one(kind: str, records: Mapping[str, _Record], name: str, key: str) -> tuple[str, _Record]:
    """The one record of this kind, or of several the one of this name."""
    if len(records) == 1:
        return next(iter(records.items()))
    if name in records:
        return name, records[name]
    which = f", of which none is called {name!r} ({key})" if records else ""
    raise ReplyError(Fault.WRONG_RECORDS, f"{len(records)} {kind}s where 1 is due{which}")


def _left_out(records: Sequence[ArrayRecord], model: SentModel) -> frozenset[str]:
    """Arrays that more than half leave out, as long as there is something left that a rule could weigh."""
    known = [record for record in records if not record.keys() - model.types.keys()]
    local = frozenset(name for name in model.types if 2 * sum(name not in record for record in known) > len(known))
    return local if set(model.layout.names) - local else frozenset()


def _read(node: int, parts: _Records, model: SentModel | None, local: frozenset[str]) -> Reply:
    """What a rule weighs in a reply, and its running statistics; counters must be there and fit, no more."""
    if model is None:
        return Reply(node=node, content=parts.content, metrics=dict(parts.metrics), claim=parts.claim)
    lacking = model.types.keys() - parts.arrays.keys() - local
    extra = parts.arrays.keys() - model.types.keys()
    if lacking or extra:
        raise ReplyError(Fault.WRONG_KEYS, _other_names(parts.arrays.keys(), model.types.keys(), lacking, extra))
    found: dict[str, Tensor] = {}
    casts: set[tuple[str, str]] = set()
    for name, own in model.tensors.items():
        if name in local:
            found[name] = own
            continue
        found[name], sent = _array(name, parts.arrays[name], own, *model.types[name])
        if sent is not None:
            casts.add((sent, str(model.types[name][0])))
    return Reply(
        node=node,
        content=parts.content,
        metrics=dict(parts.metrics),
        tensors=[found[name] for name in model.layout.names],
        buffers=[found[name] for name in model.layout.buffers],
        record=parts.name,
        casts=frozenset(casts),
        local=local,
        claim=parts.claim,
    )


def _differing(lacking: Iterable[str], extra: Iterable[str]) -> str:
    """Which names a reply lacks and adds, as far as it does either."""
    found = {"lacks": sorted(lacking), "adds": sorted(extra)}
    return " and ".join(f"{verb} {shown(names)}" for verb, names in found.items() if names)


def _other_names(sent: Set[str], due: Set[str], lacking: Set[str], extra: Set[str]) -> str:
    """In what the names of a reply's arrays are not the model's; a prefix is what a wrapper of the model put there."""
    if more := prefix_before(sent, due):
        return f"has {shown(more)!r} before each name, and the server's model has not"
    if less := prefix_before(due, sent):
        return f"lacks {shown(less)!r} before each name, which the server's model has"
    return _differing(lacking, extra)


def array_of(data: bytes, stype: str) -> Array:
    """An array of which nothing came but the bytes, with what their header says; with nothing, if it cannot be read."""
    try:
        shape, _, kind, _ = _header(data)
    except Exception:  # whoever looks into it meets the same, and says so
        return Array(dtype="", shape=(), stype=stype, data=data)
    return Array(dtype=str(kind), shape=shape, stype=stype, data=data)


def _header(data: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, Fortran's order, dtype and where the entries begin; a header that is none raises whatever it likes."""
    buffer = BytesIO(data)
    shape, fortran, kind = _HEADERS[np.lib.format.read_magic(buffer)](buffer)
    return tuple(shape), fortran, kind, buffer.tell()


def _array(
    name: str, array: Array, own: Tensor, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> tuple[Tensor, str | None]:
    """The array, on the bytes that came; converted, with the type that it had, where another real type came.

    What its header says is held against the model before anything is allocated: a few bytes can claim to be a terabyte.
    What stands beside the bytes must say the same, for strategies go by either. Of a counter, which stays as the server
    has it, any real type will do.
    """
    try:
        found, fortran, kind, start = _header(array.data)
    except Exception as error:  # whatever a header that is none makes its parser stumble over
        raise ReplyError(Fault.UNREADABLE, f"{name} is not a NumPy array ({type(error).__name__})") from None
    if tuple(found) != shape:
        raise ReplyError(Fault.WRONG_SHAPE, f"{name} has shape {shown(found)} where {shape} is due")
    counts = not own.is_floating_point() and is_counter(name, own)
    if kind != dtype and kind.kind not in ("biuf" if counts else "f" if dtype.kind == "f" else ""):
        raise ReplyError(Fault.WRONG_DTYPE, f"{name} is {shown(kind)} where {dtype} is due")
    if array.stype != _STYPE:
        raise ReplyError(Fault.UNREADABLE, f"{name} is serialised as {shown(array.stype)} where {_STYPE} is due")
    if tuple(array.shape) != shape:
        raise ReplyError(Fault.WRONG_SHAPE, f"{name} is said to have shape {shown(array.shape)} where {shape} is due")
    if array.dtype != str(kind):
        raise ReplyError(Fault.WRONG_DTYPE, f"{name} is said to be {shown(array.dtype)} where {kind} is sent")
    size = prod(shape)
    if len(array.data) - start != size * kind.itemsize:
        raise ReplyError(
            Fault.UNREADABLE, f"{name} has {len(array.data) - start} bytes where {size * kind.itemsize} are due"
        )
    values = np.frombuffer(array.data, kind, size, start) if size else np.empty(0, kind)
    if kind != dtype:
        values = own.numpy().reshape(-1) if counts else _cast(name, values, dtype)
    elif not values.flags.aligned:
        values = values.copy()
    with warnings.catch_warnings():  # read-only is fine: replies are never written to
        warnings.filterwarnings("ignore", message=".*not writable.*", category=UserWarning)
        tensor = torch.from_numpy(values.reshape(shape, order="F" if fortran else "C"))
    return tensor, None if kind == dtype else str(kind)


def _cast(name: str, values: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Floating-point entries in another type, all of them or none."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        cast = values.astype(dtype)
    if np.isfinite(values).all() and not np.isfinite(cast).all():
        raise ReplyError(Fault.OVERFLOW, f"{name} has entries of {values.dtype} that are beyond {dtype}")
    return cast
