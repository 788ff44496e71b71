"""What comes back from nodes, whichever framework brought it: what is wrong with it, or what a rule weighs in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from torch import Tensor

from ..failures import tamed
from ..stack import Layers
from .server_model import ServerModel

MOST_EXAMPLES = 1 << 53
"""Examples that a node may claim: the sum over all nodes stays a number."""
FEWEST_EXAMPLES = 2.0**-53
"""The least: beside the most it still counts, so that a mean of what a rule has kept can be divided by it."""
NONFINITE = "NaN or Inf"
"""What is wrong with a row that is not finite, where nothing more is known."""
_SHOWN = 200  # characters of a client's text in a log
_HEAD = 60  # of the first line of a traceback
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_CLASS = re.compile(r"<class '[^']+'>")  # as Flower begins the text of an error


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
    OVERFLOW = "overflow"
    UNUSED = "round-skipped"


class ReplyError(Exception):
    """A reply to drop. It never leaves the screen."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault
        self.detail = detail


@dataclass(frozen=True, kw_only=True)
class Drop:
    """A node whose reply does not count, and why.

    Attributes:
        node: its id.
        fault: what is wrong with it.
        detail: what exactly.
        name: what it calls itself in that reply; empty if it says nothing that could be its name.
    """

    node: int
    fault: Fault
    detail: str
    name: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class Reply:
    """A reply that is sound.

    Attributes:
        node: who sent it.
        content: what it holds, as it came.
        metrics: the entries of its one MetricRecord.
        tensors: what the rule weighs, in the order of the model's layout, read where it lies; none in evaluation.
        buffers: its running statistics, in the order of the layout's buffers.
        record: the name of the record that its arrays were in.
        casts: types that were converted, each with the type that was due.
        local: arrays that stay as the server has them in this round, for most nodes keep theirs to themselves.
        claim: the name that it sent beside its records, whatever it is; None if it sent none.
        name: what it is called (`NodeNames`); empty if it has no name.
    """

    node: int
    content: Any
    metrics: Mapping[str, Any]
    tensors: Sequence[Tensor] = ()
    buffers: Sequence[Tensor] = ()
    record: str = ""
    casts: frozenset[tuple[str, str]] = frozenset()
    local: frozenset[str] = frozenset()
    claim: object = None
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

    def __init__(self, replies: Sequence[Reply], model: ServerModel) -> None:
        self.nodes = [reply.node for reply in replies]
        clients = [reply.client for reply in replies]
        columns = replace(model.layout, buffers=(), counters=())  # the rest of a reply is the model's own business
        super().__init__([list(reply.tensors) for reply in replies], layout=columns, ids=clients)
        self._model = Layers([model.row])

    def read(self, start: int, stop: int, rows: Tensor | None = None) -> Tensor:
        return super().read(start, stop, rows).sub_(self._model.read(start, stop))


def check_examples(metrics: Mapping[str, Any], key: str) -> None:
    """Raise a ReplyError for a claim that is no number of examples."""
    value = metrics.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not FEWEST_EXAMPLES <= value <= MOST_EXAMPLES:
        raise ReplyError(Fault.WRONG_EXAMPLES, f"{key} is {shown(value)} where a number from 2^-53 to 2^53 is due")


def nonfinite(reply: Reply) -> Drop:
    """What is wrong with a reply that is sound but for NaN or Inf."""
    return Drop(node=reply.node, fault=Fault.NONFINITE, detail=NONFINITE)


def unused(sound: Sequence[Reply]) -> list[Drop]:
    """The nodes of a round in which the rule did not decide."""
    return [
        Drop(node=reply.node, fault=Fault.UNUSED, detail="") if reply.finite() else nonfinite(reply) for reply in sound
    ]


def raised(text: str) -> str:
    """What an app raised, as its node tells it, in a line: of a traceback what it is of, and the error, its last line.

    Ray puts it all into the text of an error: where its process runs, in colours, and only then what was raised.
    """
    plain = _COLOURS.sub("", text)
    if len(plain) <= _SHOWN:
        return tamed(plain)
    lines = [line.strip() for line in plain.removesuffix("'>").splitlines() if line.strip()]
    if len(lines) < 2:
        return tamed(plain, _SHOWN)
    kind = _CLASS.match(lines[0])
    first = lines[0][:_HEAD] if kind is None else kind.group()
    return f"{tamed(first, _SHOWN)} ... {tamed(lines[-1], _SHOWN)}"


def shown(value: object, limit: int = _SHOWN) -> str:
    """What a client sent, as text that cannot break a log: one line, not too long, nothing in it unseen."""
    return tamed(value if isinstance(value, str) else repr(value), limit)
