"""Nodes that attack, for tests and demonstrations only: never put these mods into an app that is to learn something.

``ClientApp(mods=[hostile.update_mod(attacks.SignFlip(scale=10), when=lambda context: context.node_id in liars)])``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord
from flwr.clientapp.typing import ClientAppCallable, Mod
from torch import Tensor

from ..attacks import Attack, View
from ..core import Context as Round
from ..registry.naming import unknown
from ..registry.parameters import check_value
from ..sim.running import Forge, Statistics, forged_statistics
from ..stack import Dense, materialise
from .mods import Update, changed_update, training

When = Callable[[Context], bool]


def update_mod(attack: Attack, when: When, forge: Forge = "rows") -> Mod:
    """Send what an attack makes of the node's own update, the only one that it knows.

    Args:
        attack: one that forges rows and remembers nothing; what it would say besides goes into the metrics.
        when: which nodes attack.
        forge: "rows", what a rule weighs; "both", running statistics too, by the same factors; or "statistics" alone.

    Raises:
        ValueError: an attack that remembers earlier rounds, or another value of ``forge``.
    """
    check_value("update_mod", "forge", forge, Forge)
    if attack.traits().history:
        raise ValueError(f"{attack!r} remembers earlier rounds, which a mod does not: use it in a Simulation")

    def mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        if not when(context):
            return call_next(message, context)

        def forged(update: Update, running: Update) -> Update:
            view = View(honest=Dense(_flat(update)), own=Dense(_flat(update)), context=_round(message))
            rows = attack.forged(view)
            made = {} if forge == "statistics" else _cut_like(update, materialise(rows).to(view.own.dtype)[0])
            if forge == "rows" or not running:
                return made
            change = _flat(running)
            known = Statistics.of(view, [change[0]], [change[0]], before=torch.zeros_like(change[0]))
            return {**made, **_cut_like(running, forged_statistics(attack, view, rows, known)[0])}

        reply = changed_update(message, context, call_next, forged)
        if training(message) and reply.has_content():
            for name, value in attack.say({}, _round(message)).items():
                _metrics(reply)[name] = int(value)
        return reply

    return mod


def _flat(update: Update) -> Tensor:
    """A row of everything: (1, d)."""
    return torch.from_numpy(np.concatenate([v.reshape(-1) for v in update.values()]))[None]


def _cut_like(update: Update, row: Tensor) -> Update:
    """The row, cut into arrays like these."""
    edges = np.cumsum([v.size for v in update.values()])[:-1]
    parts = np.split(row.numpy(), edges)
    return {name: part.reshape(v.shape) for (name, v), part in zip(update.items(), parts, strict=True)}


def reply_mod(how: str, when: When) -> Mod:
    """Break the reply itself, in one of the `WAYS`.

    Raises:
        ValueError: an unknown way.
    """
    if how not in WAYS:
        raise ValueError(unknown("way to break a reply", how, WAYS, f"{__name__}.WAYS"))

    def mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        reply = call_next(message, context)
        if when(context) and training(message) and reply.has_content():
            WAYS[how](reply)
        return reply

    return mod


def _round(message: Message) -> Round:
    config = next(iter(message.content.config_records.values()), None)
    number = 0 if config is None else config.get("server-round", 0)
    return Round(round=number if isinstance(number, int) else 0)


def _arrays(reply: Message) -> ArrayRecord:
    return next(iter(reply.content.array_records.values()))


def _metrics(reply: Message) -> MetricRecord:
    return next(iter(reply.content.metric_records.values()))


def _each(change: Callable[[np.ndarray], np.ndarray], part: str = "") -> Callable[[Message], None]:
    """Change every floating-point array with this in its name."""

    def broken(reply: Message) -> None:
        record = _arrays(reply)
        for name, array in list(record.items()):
            if (values := array.numpy()).dtype.kind == "f" and part in name:
                record[name] = Array(change(values))

    return broken


def _rename(reply: Message) -> None:
    record = _arrays(reply)
    name = next(iter(record))
    record["not-" + name] = record.pop(name)


def _garbage(reply: Message) -> None:
    record = _arrays(reply)
    name, array = next(iter(record.items()))
    record[name] = Array(array.dtype, array.shape, array.stype, b"no array at all")


def _bomb(reply: Message) -> None:
    """A header of a hundred bytes that claims to be followed by a petabyte."""
    record = _arrays(reply)
    name, array = next(iter(record.items()))
    header = np.lib.format.header_data_from_array_1_0(array.numpy())
    text = str({**header, "shape": (1 << 50,)}).encode()
    data = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    record[name] = Array(array.dtype, array.shape, array.stype, data)


def _cut(reply: Message) -> None:
    record = _arrays(reply)
    name, array = next(iter(record.items()))
    record[name] = Array(array.dtype, array.shape, array.stype, array.data[:-1])


def _extra_arrays(reply: Message) -> None:
    reply.content["more-arrays"] = ArrayRecord(dict(_arrays(reply).items()))


def _extra_metrics(reply: Message) -> None:
    reply.content["more-metrics"] = MetricRecord({"loss": 0.0})


def _no_metrics(reply: Message) -> None:
    for name in list(reply.content.metric_records):
        del reply.content[name]


def _extra_metric(reply: Message) -> None:
    _metrics(reply)["never-heard-of"] = 1.0


def _set(**metrics: float) -> Callable[[Message], None]:
    def broken(reply: Message) -> None:
        for name, value in metrics.items():
            _metrics(reply)[name.replace("_", "-")] = value

    return broken


def _crash(reply: Message) -> None:
    raise RuntimeError("this node sends nothing\nbut an error")


WAYS: Mapping[str, Callable[[Message], None]] = {
    "wrong-shape": _each(lambda a: np.zeros((*a.shape, 2), a.dtype)),
    "wrong-dtype": _each(lambda a: a.astype(np.int32)),
    "wrong-keys": _rename,
    "nan": _each(lambda a: np.full_like(a, np.nan)),
    "huge": _each(lambda a: np.full_like(a, 1e30)),
    "nan-statistics": _each(lambda a: np.full_like(a, np.nan), "running_"),
    "huge-statistics": _each(lambda a: np.full_like(a, 1e30), "running_"),
    "negative-variances": _each(lambda a: np.full_like(a, -1e30), "running_var"),
    "garbage": _garbage,
    "bomb": _bomb,
    "cut": _cut,
    "extra-arrays": _extra_arrays,
    "extra-metrics": _extra_metrics,
    "extra-metric": _extra_metric,
    "no-metrics": _no_metrics,
    "many-examples": _set(num_examples=1e12),
    "no-examples": _set(num_examples=-1.0),
    "nan-loss": _set(loss=float("nan")),
    "crash": _crash,
}
"""Ways to break a reply."""
