"""Mods for a ClientApp: what a defence needs the client to do.

``ClientApp(mods=[name_mod(), momentum_mod(beta=0.9)])``. What they change is training replies alone (a name is told in
evaluations as well), and what they remember is in ``context.state``, which is empty again after a node was restarted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message
from flwr.clientapp.typing import ClientAppCallable, Mod

from ..stack.layout import Buffers
from .model import SentModel
from .names import PARTITION
from .replies import RECORD

_MOMENTUM = "fedward-momentum"
Update = dict[str, np.ndarray]
"""What training changed, by name."""


def momentum_mod(beta: float = 0.9, *, buffers: Buffers = "auto") -> Mod:
    """Worker momentum: a node sends a moving average of its updates instead of the last one.

    m = beta m + (1 - beta) (w - w0), where w0 is the model that came and w what training made of it; in a node's first
    round, and in the first after it was restarted, m = w - w0. The node sends w0 + m; running statistics and integer
    arrays as training left them. Honest rows come closer together, which distances need. Karimireddy, He & Jaggi,
    "Learning from history for Byzantine robust optimization", ICML 2021, algorithm 1, on updates where the paper
    has gradients.

    Args:
        beta: at least 0 and below 1; 0 changes nothing.
        buffers: which arrays are running statistics, as the strategy is told.

    Raises:
        ValueError: another beta.
    """
    if not 0 <= beta < 1:
        raise ValueError(f"0 <= beta < 1 is needed, got {beta}")

    def mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        def averaged(delta: Update, running: Update) -> Update:
            before = _recall(context, delta)
            new = delta if before is None else {k: beta * before[k] + (1 - beta) * delta[k] for k in delta}
            new = {k: np.asarray(v, dtype=delta[k].dtype) for k, v in new.items()}
            context.state[_MOMENTUM] = ArrayRecord({k: Array(v) for k, v in new.items()})
            return new

        return changed_update(message, context, call_next, averaged, buffers=buffers)

    return mod


def name_mod(name: str | Callable[[Context], str] | None = None) -> Mod:
    """A mod that has a node say who it is: ``ClientApp(mods=[name_mod()])``.

    Node ids are drawn anew in every simulation, and whenever a node registers; audits and rules that remember clients
    go by the name instead. It travels in a ConfigRecord of its own beside the reply's records, of training and of
    evaluation.

    Args:
        name: the name; a function of the node's context; or None for what the node's configuration says: its ``name``
            (``flower-supernode --node-config 'name="clinic-a"'``), else its ``partition-id``, as "partition-3". A node
            that has neither says nothing, and is called by its id.
    """

    def mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        reply = call_next(message, context)
        if reply.has_error() or not (training(message) or _of_kind(message, "evaluate")):
            return reply
        own = name(context) if callable(name) else name
        told = _configured(context.node_config) if own is None else own
        if told is not None:
            reply.content[RECORD] = ConfigRecord({"name": told})
        return reply

    return mod


def changed_update(
    message: Message,
    context: Context,
    call_next: ClientAppCallable,
    change: Callable[[Update, Update], Mapping[str, np.ndarray]],
    buffers: Buffers = "auto",
) -> Message:
    """Let the app train, then send model + change in the place of what it made.

    ``change`` is given what training changed, by name: arrays that a rule weighs, and running statistics. Arrays that
    it does not return, and integers, are sent as training left them. Other messages than for training, and errors, pass
    as they are.
    """
    if not training(message):
        return call_next(message, context)
    sent_out = SentModel(only_arrays(message), buffers, integers="counters")
    model = {k: sent_out.tensors[k].numpy() for k in (*sent_out.layout.names, *sent_out.layout.buffers)}
    reply = call_next(message, context)
    if reply.has_error():
        return reply
    record = only_arrays(reply)
    sent = {k: array.numpy() for k, array in record.items()}
    moved = {k: w - model[k] for k, w in sent.items() if k in model}
    running = {k: moved.pop(k) for k in sent_out.layout.buffers if k in moved}
    for name, value in change(moved, running).items():
        record[name] = Array(np.asarray(model[name] + value, dtype=sent[name].dtype))
    return reply


def training(message: Message) -> bool:
    """Whether the message asks for training: "train", or "train." and a name."""
    return _of_kind(message, "train")


def _of_kind(message: Message, kind: str) -> bool:
    return message.metadata.message_type.partition(".")[0] == kind


def only_arrays(message: Message) -> ArrayRecord:
    """The one ArrayRecord of a message.

    Raises:
        ValueError: there is none, or there are several.
    """
    records = list(message.content.array_records.values())
    if len(records) != 1:
        raise ValueError(f"fedward's mods take messages with one ArrayRecord, got {len(records)}")
    return records[0]


def _configured(config: Mapping[str, Any]) -> str | None:
    """The name that a node's configuration has."""
    if "name" in config:
        return str(config["name"])
    return f"partition-{config[PARTITION]}" if PARTITION in config else None


def _recall(context: Context, like: Mapping[str, np.ndarray]) -> dict[str, np.ndarray] | None:
    """What this node remembers of arrays like these; None if nothing, or of another model."""
    record = cast(Any, context.state.get(_MOMENTUM))
    if not isinstance(record, ArrayRecord):
        return None
    remembered = {k: array.numpy() for k, array in record.items()}
    same = {k: v.shape for k, v in remembered.items()} == {k: v.shape for k, v in like.items()}
    return remembered if same else None
