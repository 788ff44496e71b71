"""What users hand over, in any of its forms, as a stack."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from .based import CENTRES, Centre, FromBase, Origin, origin_of
from .buffers import Policy
from .entries import UnfitError, as_tensor, widest
from .layout import Buffers, Integers, Layout
from .reference import LAYERS, ROW, STATE_DICT, WHOLE, Agreed, Ids, Sent, agree, client_names, read_entries
from .running import held_aside, impossible_statistics
from .sources import Dense, Layers, RowSource
from .updates import Updates, View
from .views import Rooted

Model = Tensor | np.ndarray | Mapping[str, Any] | Sequence[Tensor] | Sequence[np.ndarray]
"""What clients should send, by an example: a state dict, a (d,) row or a list of layers."""
Base = Model | Centre
"""What clients' weights are taken as differences from: the model they started from, or a centre of their own."""
Stack = Tensor | np.ndarray | Iterable[Any] | Mapping[Any, Any] | Updates
"""What counts as a stack of updates, see `as_updates`."""
OnBad = Literal["raise", "drop"]
"""What becomes of a client whose update is malformed: an error that names it, or a verdict while the others count."""

_FORMS = (
    "a stack is an (n, d) tensor or array, Updates, or for each client a (d,) row, a state dict or a list of layers, "
    "in a list, from an iterator or as {id: row}"
)


def as_updates(
    G: Stack,
    ids: Ids = None,
    *,
    like: Model | None = None,
    base: Base | None = None,
    buffers: Buffers = "auto",
    integers: Integers = "refuse",
    on_bad: OnBad = "raise",
    batch_norm: Policy | None = "robust",
) -> Updates:
    """Any accepted form of a stack as `Updates`, without copying it.

    Takes an (n, d) tensor or array, `Updates`, or one thing for each client, in a list, from an iterator or as a
    mapping of ids: a (d,) tensor or array, a state dict, a list of layers, or a pair of a number of examples and one
    of these. What is sparse is read as it is.

    Names, shapes and types are those of ``like``, else those that more than half of the clients sent; there has to be
    such a majority. A floating-point type that differs from them is converted as it is read. Nothing depends on which
    client comes first.

    Args:
        G: as above.
        ids: names of the clients, distinct; 0 to n - 1, or the keys of a mapping, if not given.
        like: a state dict, a (d,) row or a list of layers: what clients should send. A state dict gives names to rows
            and to lists of layers too.
        base: the model that clients started from, if they sent weights: rows are their differences from it, and it
            fixes names, shapes and types as ``like`` does; or a centre of the clients' finite rows, "mean-of-clients"
            or "median-of-clients".
        buffers, integers: which tensors of state dicts have no columns, see `Layout.of`.
        on_bad: "raise" where a client sent something else, or running statistics that cannot be (a variance below 0);
            or "drop" it, see `Agreed.malformed`.
        batch_norm: what becomes of running statistics in state dicts, see `Files`; None, they are not looked at, and an
            aggregator has their mean.

    Raises:
        TypeError: not one of these forms, or entries that are not floating point.
        ValueError: no rows, rows of different shape or keys, or ids that do not match the rows.

    Examples:
        >>> import torch
        >>> layers = {"amber": [torch.ones(2, 3), torch.zeros(2)], "birch": [torch.zeros(2, 3), torch.ones(2)]}
        >>> updates = as_updates(layers)
        >>> updates.n, updates.d, updates.ids
        (2, 8, ('amber', 'birch'))
        >>> updates.norms()
        tensor([2.4495, 1.4142], dtype=torch.float64)
    """
    if isinstance(G, Updates):
        if ids is not None:
            raise ValueError("ids belong to the stack: give them to Dense(...) or Layers(...), not to the call")
        if like is not None or base is not None or buffers != "auto" or integers != "refuse":
            raise ValueError(
                "like, base, buffers and integers belong to the stack: give them to Files(...), not to the call"
            )
        if batch_norm not in ("robust", None if G.agreed is None else G.agreed.policy):
            raise ValueError(
                f"batch_norm={batch_norm!r} belongs to the stack: give it to Files(...) or as_updates(...), not to the "
                "aggregator"
            )
        return Rooted(G) if isinstance(G, View) else G
    expected = Expected(like, buffers, integers, base=base)
    stack = _source(G, ids, expected, on_bad, batch_norm)
    origin = expected.origin(stack)
    return stack if origin is None else FromBase(stack, origin)


def _source(G: Stack, ids: Ids, expected: Expected, on_bad: OnBad, policy: Policy | None) -> RowSource:
    """Rows as they were sent."""
    if isinstance(G, np.ndarray) or (isinstance(G, Tensor) and not G.is_nested):
        return _whole(G, ids, expected)
    names, clients = _clients(G, ids)
    try:
        agreed, layout = agree_on_statistics(
            [_read(client, expected) for client in clients],
            names,
            expected,
            _in_memory,
            policy=policy,
            has_base=expected.is_base,
            on_bad=on_bad,
        )
        if layout is not None:
            check_frozen(agreed, layout)
        return Layers(agreed, layout=layout)
    except (TypeError, ValueError) as error:
        if isinstance(G, Mapping) and all(isinstance(client, Tensor | np.ndarray) for client in clients):
            raise type(error)(f"{error}. A mapping is {{id: row}}; one client's state dict goes into a list") from None
        raise


class Expected:
    """What the caller says that clients should send.

    Args:
        like, base, buffers, integers: see `as_updates`.
        by_name: columns are in the order of names: formats of files order tensors each in their own way, and what a
            rule draws among columns is not to depend on that.

    Raises:
        TypeError, ValueError: ``like`` or ``base`` is no example of an update, or both are given.
    """

    def __init__(
        self,
        like: Model | None,
        buffers: Buffers,
        integers: Integers,
        *,
        base: Base | None = None,
        by_name: bool = False,
    ) -> None:
        self.buffers, self.integers, self.by_name = buffers, integers, by_name
        self.base: Centre | None = None
        self.is_base = base is not None and not isinstance(base, str)
        if isinstance(base, str):
            if base not in CENTRES:
                raise ValueError(f"base is a model, {' or '.join(map(repr, CENTRES))}, got {base!r}")
            self.base = base
        elif base is not None:
            if like is not None:
                raise ValueError("base says what clients send, as like does: give one of them")
            like = base
        self.kept: dict[Any, Any] = {}
        self.sent: Sent | None = None
        if like is None:
            return
        if isinstance(like, Mapping):
            self.kept = {key: v for key, v in like.items() if not isinstance(v, Tensor | np.ndarray | np.generic)}
        self.sent = _read(like, self)
        if self.sent.fault:
            what = "base" if self.is_base else "like"
            raise self.sent.fault.error(f"{what} is an example of what clients send: {self.sent.fault.text}")

    @property
    def named(self) -> Mapping[Any, Tensor]:
        """Tensors by name, where ``like`` has names."""
        return self.sent.tensors if self.sent and self.sent.form == STATE_DICT else {}

    def origin(self, stack: RowSource) -> Origin | None:
        """What rows are seen from, if there is a base."""
        base = self.sent if self.is_base else self.base
        return None if base is None else origin_of(stack, base)

    def layout(self, model: Mapping[Any, Tensor]) -> Layout:
        """Where the tensors of a model lie.

        Raises:
            ValueError: none of them has a column.
        """
        layout = Layout.of(model, buffers=self.buffers, integers=self.integers, by_name=self.by_name)
        if not layout.names:
            raise ValueError(
                f"rows need at least one floating-point tensor that has columns, got none in {list(model)}"
            )
        return layout

    def flat(self) -> tuple[Sent | None, Layout | None]:
        """What clients should send who send flat rows."""
        if not self.named:
            return self.sent, None
        layout = self.layout(self.named)
        row = torch.empty(layout.d, dtype=widest(layout.dtypes), device="meta")
        return Sent(form=ROW, tensors={WHOLE: row}), layout


def agree_on_layout(
    sent: Sequence[Sent], names: Sequence[Hashable], expected: Expected, on_bad: OnBad = "raise"
) -> tuple[Agreed, Layout | None]:
    """What clients agree on, and where its tensors lie, where they have names."""
    examples = {name: s.examples for name, s in zip(names, sent, strict=True) if s.examples is not None}
    if 2 * sum(s.form == ROW for s in sent) > len(sent):
        like, layout = expected.flat()
        agreed = agree(sent, names, like=like, on_bad=on_bad)
        agreed = replace(agreed, model={**expected.named, **agreed.model})
    else:
        agreed = agree(sent, names, like=expected.sent, on_bad=on_bad)
        layout = expected.layout(agreed.model)
    return replace(agreed, examples=examples, kept=expected.kept), layout


def agree_on_statistics(
    sent: Sequence[Sent],
    names: Sequence[Hashable],
    expected: Expected,
    values: Callable[[Hashable, Tensor], Tensor],
    *,
    policy: Policy | None,
    has_base: bool,
    on_bad: OnBad,
) -> tuple[Agreed, Layout | None]:
    """What clients agree on whose running statistics can be, with the values of what has no columns, and its layout.

    Args:
        sent: what clients sent, of which the values may not be read yet.
        names: of the clients.
        expected: what they should send.
        values: of a client's tensor.
        policy: what becomes of running statistics; None, they are not looked at.
        has_base: whether what is expected is what clients started from.
        on_bad: what becomes of those that send something else, or statistics that cannot be.

    Raises:
        TypeError, ValueError: clients agree on nothing, or one does not fit that is not to be dropped.
    """

    def agreed_on(told: Sequence[Sent]) -> tuple[Agreed, Layout | None]:
        agreed, layout = agree_on_layout(told, names, expected, on_bad)
        if policy is None or layout is None or agreed.form == ROW:  # a flat row has no statistics
            return agreed, layout
        return held_aside(agreed, layout, values, policy=policy, has_base=has_base), layout

    agreed, layout = agreed_on(sent)
    impossible: Mapping[Hashable, UnfitError] = {}
    if layout is not None and agreed.policy is not None:
        impossible = impossible_statistics(agreed, layout, has_base=has_base)
    if not impossible:
        return agreed, layout
    return agreed_on([replace(s, fault=impossible.get(name, s.fault)) for s, name in zip(sent, names, strict=True)])


def check_frozen(agreed: Agreed, layout: Layout) -> None:
    """Raise ValueError where statistics are to stay the base's, and there is none."""
    if agreed.policy == "frozen" and layout.buffers and not agreed.before:
        raise ValueError("frozen running statistics are the base's, and there is no base: give base=, a model")


def _in_memory(_: Hashable, tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    return tensor if tensor.layout == torch.strided else tensor.to_dense()


def _whole(G: Tensor | np.ndarray, ids: Ids, expected: Expected) -> RowSource:
    """An (n, d) tensor or array, whose rows are known to agree."""
    try:
        rows = as_tensor(G)
    except UnfitError as error:
        raise error.error(f"the stack {error.text}") from None
    rows = rows if rows.layout == torch.strided else rows.to_dense()
    like, layout = expected.flat()
    stack = Dense(rows, ids=ids)
    if like is None:
        return stack
    sent = [Sent(form=ROW, tensors={WHOLE: row}) for row in rows]
    agreed = agree(sent, stack.ids, like=like)
    agreed = replace(agreed, model={**expected.named, **agreed.model}, kept=expected.kept)
    dtype = agreed.model[WHOLE].dtype
    if isinstance(G, np.ndarray) and (dtype == torch.bfloat16 or dtype.itemsize == 1):
        raise TypeError(f"like is {dtype}, which no array can be: hand over a tensor, torch.from_numpy(G)")
    if dtype != stack.dtype:
        return Layers(agreed, layout=layout)
    stack.layout, stack.agreed = layout, agreed
    return stack


def _clients(G: object, ids: Ids) -> tuple[tuple[Hashable, ...], list[object]]:
    """Who sent something, and what each sent."""
    if isinstance(G, Tensor):
        G = G.unbind()  # nested
    if isinstance(G, Mapping):
        if ids is not None:
            raise ValueError("ids are the keys of the mapping: leave out the argument")
        G, ids = list(G.values()), list(G)
    kind = type(G).__name__
    if isinstance(G, nn.Module):
        raise TypeError(f"{_FORMS}; got {kind}, of which state_dict() is what a client sends")
    if hasattr(G, "to_numpy"):
        raise TypeError(f"{_FORMS}; got {kind}: hand over its to_numpy()")
    if isinstance(G, set | frozenset):
        raise TypeError(f"{_FORMS}; got {kind}, which has no order: hand over a list")
    if not isinstance(G, Iterable) or isinstance(G, str | bytes):
        raise TypeError(f"{_FORMS}; got {kind}")
    clients = list(G)
    if not clients:
        raise ValueError("a stack needs at least one row, got an empty list: no client sent an update")
    return client_names(ids, len(clients)), clients


def _read(client: object, expected: Expected) -> Sent:
    """What one client sent."""
    if isinstance(client, tuple | list) and len(client) == 2 and _is_body(client[0]) != _is_body(client[1]):
        body, examples = client if _is_body(client[0]) else reversed(client)
        return replace(_read(body, expected), examples=examples)
    if isinstance(client, Mapping):
        return read_entries(STATE_DICT, {key: v for key, v in client.items() if key not in expected.kept})
    if isinstance(client, list | tuple) and client:
        names = list(expected.named)
        layers = {names[k] if k < len(names) else str(k): layer for k, layer in enumerate(client)}
        return read_entries(STATE_DICT if names else LAYERS, layers)
    if not isinstance(client, Tensor | np.ndarray):
        return Sent(form="", tensors={}, fault=UnfitError(TypeError, _what_instead(client)))
    sent = read_entries(ROW, {WHOLE: client})
    if not sent.fault and client.ndim != 1:
        text = f"the row has shape {tuple(client.shape)}, rows are (d,): flatten it"
        return replace(sent, fault=UnfitError(ValueError, text))
    return sent


def _is_body(part: object) -> bool:
    return isinstance(part, Tensor | np.ndarray | Mapping | list | tuple)


def _what_instead(client: object) -> str:
    text = f"expected a row, a state dict or a list of layers, got {type(client).__name__}"
    if isinstance(client, nn.Module):
        return f"{text}: send its state_dict()"
    if isinstance(client, str | PathLike):
        return f"{text}: rows in files are fedward.stack.Files(paths)"
    if hasattr(client, "__array__"):
        return f"{text}: send numpy.asarray(...) of it"
    return f"{text}; numbers are numpy.asarray(numbers, dtype='float32')" if isinstance(client, float | int) else text
