"""What Flower's own strategies take of replies that fit the model: finite ones, alike in order, names and kinds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from flwr.app import Message

from .answers import Drop, Fault, Reply, nonfinite, shown
from .metrics import kind_of
from .model import SentModel


def of(messages: Sequence[Message], nodes: Collection[int]) -> list[Message]:
    """The messages of these nodes, in the order of ids."""
    return sorted(
        (m for m in messages if m.metadata.src_node_id in nodes), key=lambda message: message.metadata.src_node_id
    )


def ordered(sound: list[Reply], drops: list[Drop], model: SentModel) -> list[Reply]:
    """Those whose arrays are in the order of the model's: Flower's wrappers pair them by place, not by name."""
    ordered = []
    for reply in sound:
        sent = list(reply.content.array_records[reply.record])
        if sent == [name for name in model.types if name in sent]:
            ordered.append(reply)
        else:
            drops.append(
                Drop(node=reply.node, fault=Fault.WRONG_KEYS, detail="its arrays are in another order than the model's")
            )
    return ordered


def finite_ones(sound: list[Reply], drops: list[Drop]) -> list[Reply]:
    """Those without NaN or Inf."""
    finite = []
    for reply in sound:
        if reply.finite():
            finite.append(reply)
        else:
            drops.append(nonfinite(reply))
    return finite


def of_usual_form(sound: list[Reply], drops: list[Drop], losses: Collection[str] = ()) -> list[Reply]:
    """Those whose records and metrics have the commonest names and kinds: Flower's strategies take no others."""
    forms = {reply.node: _form(reply, losses) for reply in sound}
    if not forms:
        return []
    usual = Counter(forms.values()).most_common(1)[0][0]
    for node, form in forms.items():
        if form != usual:
            detail = f"its records and metrics are {shown(form)}, most others' {shown(usual)}"
            drops.append(Drop(node=node, fault=Fault.WRONG_KEYS, detail=detail))
    return [reply for reply in sound if forms[reply.node] == usual]


def _form(reply: Reply, losses: Collection[str]) -> tuple[Any, ...]:
    """What a reply holds, without values: records by name and kind, metrics by name and kind."""
    records = tuple((name, type(record).__name__) for name, record in reply.content.items())
    kinds = {name: kind_of(value, is_loss=name in losses) for name, value in reply.metrics.items()}
    return records, tuple(sorted(kinds.items()))
