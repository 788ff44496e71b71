"""What clients agree on: the model that most of them sent, or that the server says, and who sent something else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ..failures import tamed
from .buffers import Policy
from .entries import UnfitError, as_tensor, kind, middle_dtype
from .prefixes import prefix_before

ROW, STATE_DICT, LAYERS = "row", "state dict", "list of layers"
"""Forms of what a client sent."""
WHOLE = (ROW,)
"""The key of a row that is one flat tensor: no name of a tensor."""
_LEAVE_OUT = "leave this client out, or pass on_bad='drop'"
_NOTHING_LEFT = "nothing is left: have clients send something else"
_KEPT = "; what is no tensor may stay in a state dict if like=, the server's own, has it too"
_NO_MAJORITY = "no model was sent by more than half of the clients: say with like= which one is meant"

Ids = Iterable[Hashable] | None
"""Names of clients, in order; a tensor or an array of whole numbers as well."""
Signature = tuple[str, frozenset[tuple[Hashable, tuple[int, ...], str]]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Sent:
    """What one client sent: tensors by name (or by place, for a list of layers), or why it cannot be used."""

    form: str
    tensors: Mapping[Hashable, Tensor]
    fault: UnfitError | None = None
    source: str = ""
    """The file that it came from."""
    examples: object = None
    """What it says of how many examples it has, where that came along."""

    @property
    def signature(self) -> Signature:
        """All that must be the same for every client: names, shapes and kinds; neither types nor order."""
        return self.form, frozenset((key, tuple(t.shape), kind(t)) for key, t in self.tensors.items())


@dataclass(frozen=True, eq=False, kw_only=True)
class Agreed:
    """Clients that sent the same model, and the others.

    Attributes:
        clients: ids of those that did.
        tensors: what they sent, by key, each.
        form: a row, a state dict or a list of layers.
        model: for each key, in order, a tensor of its shape and type, with values where the server has some.
        sent: ids of all who sent anything, in order.
        malformed: who sent something else, and what is wrong with it.
        examples: how many examples clients say they have, where that came with what they sent.
        kept: what is no tensor, as the server has it.
        policy: what becomes of running statistics, which are examined for it; None: their mean, as they are.
        spoiled: clients of whose running statistics some have NaN or Inf, and which.
        before: running statistics of the model that clients started from, where it is known.
    """

    clients: tuple[Hashable, ...]
    tensors: Sequence[Mapping[Hashable, Tensor]]
    form: str
    model: Mapping[Any, Tensor]
    sent: tuple[Hashable, ...]
    malformed: Mapping[Hashable, str]
    examples: Mapping[Hashable, Any] = field(default_factory=dict)
    kept: Mapping[Any, Any] = field(default_factory=dict)
    policy: Policy | None = None
    spoiled: Mapping[Hashable, tuple[str, ...]] = field(default_factory=dict)
    before: Mapping[Any, Tensor] = field(default_factory=dict)


def read_entries(form: str, entries: Mapping[Any, object]) -> Sent:
    """What one client sent, from whatever it put under its keys."""
    tensors: dict[Hashable, Tensor] = {}
    for key, value in entries.items():
        try:
            tensors[key] = as_tensor(value)
        except UnfitError as error:
            stray = form == STATE_DICT and not isinstance(value, Tensor | np.ndarray | np.generic)
            fault = UnfitError(error.error, f"{_called(form, key)} {error.text}", stray=stray)
            return Sent(form=form, tensors={}, fault=fault)
    return Sent(form=form, tensors=tensors)


def _called(form: str, key: Hashable) -> str:
    return {LAYERS: f"layer {key}", ROW: "row"}.get(form, str(key))


def client_names(ids: Ids, n: int) -> tuple[Hashable, ...]:
    """The ids of n clients: as given, or their numbers.

    Raises:
        TypeError: ids that no memory could be kept by: lists, tensors that are no whole numbers, NaN, a set of ids.
        ValueError: not n of them, or one twice.
    """
    if isinstance(ids, set | frozenset):
        raise TypeError("ids come in the order of the rows, and a set has none; pass a list")
    names = tuple(range(n)) if ids is None else tuple(_identity(name) for name in ids)
    if len(names) != n:
        raise ValueError(f"{n} rows need {n} ids, got {len(names)}")
    if len(set(names)) != n:
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"ids must be distinct, {twice!r} occurs more than once; drop one of its rows")
    return names


def _identity(name: Any) -> Hashable:
    if isinstance(name, Tensor | np.ndarray):  # tensors compare by identity, arrays have no hash
        value = name.item() if name.ndim == 0 else name
        if isinstance(value, Tensor | np.ndarray | float | complex):
            raise TypeError(f"ids are whole numbers or strings, got {name!r}; pass ids.tolist()")
        name = value
    try:
        hash(name)
    except TypeError:
        raise TypeError(
            f"ids must be hashable, got {name!r} of type {type(name).__name__}; pass str(...) of it"
        ) from None
    if name != name:  # NaN: it would be another client in every round
        raise TypeError(f"ids must be equal to themselves, got {name!r}")
    return cast(Hashable, name)


def agree(
    sent: Sequence[Sent], names: Sequence[Hashable], *, like: Sent | None = None, on_bad: str = "raise"
) -> Agreed:
    """Sort the clients that sent the same model from the others.

    The model is ``like``, else what more than half of all clients sent. Nothing else could be told from what colluders
    agreed on, so that without such a majority there is an error. No result depends on the order of the clients: a type
    is that of most clients (`middle_dtype`), the order of names is the commonest.

    Raises:
        TypeError, ValueError: no model is in the majority, or ``on_bad`` is "raise" and there is an odd one out.
    """
    if on_bad not in ("raise", "drop"):
        raise ValueError(f"on_bad is 'raise' or 'drop', got {on_bad!r}")
    signatures = [None if s.fault else s.signature for s in sent]
    wanted = like.signature if like else _majority(signatures, sent, names, on_bad)
    members = [s for s, signature in zip(sent, signatures, strict=True) if signature == wanted]
    whose = "the model's" if like else "most clients'"
    pattern = like or members[0]
    ties: dict[Hashable, Hashable] = {}
    if any(signature != wanted for signature in signatures):
        ties = _ties([like] if like else members)
    sound: dict[Hashable, Mapping[Hashable, Tensor]] = {}
    faults: dict[Hashable, UnfitError] = {}
    for name, client, signature in zip(names, sent, signatures, strict=True):
        mended = client if signature == wanted or client.fault else _retied(client, pattern, ties)
        if mended.fault or mended.signature != wanted:
            fault = mended.fault or _difference(mended, pattern, whose)
            faults[name] = UnfitError(fault.error, fault.text + (f" (in {client.source})" if client.source else ""))
        else:
            sound[name] = mended.tensors
    if faults and (on_bad == "raise" or not sound):
        raise _summary(faults, len(sent), _LEAVE_OUT)
    model = like.tensors if like else _model(members)
    malformed = {name: fault.text for name, fault in faults.items()}
    return Agreed(
        clients=tuple(sound),
        tensors=list(sound.values()),
        form=pattern.form,
        model=model,
        sent=tuple(names),
        malformed=malformed,
    )


def _majority(
    signatures: Sequence[Signature | None], sent: Sequence[Sent], names: Sequence[Hashable], on_bad: str
) -> Signature:
    """The signature of more than half of the clients."""
    counts = Counter(signature for signature in signatures if signature is not None)
    ranked = sorted(counts, key=lambda signature: (-counts[signature], sorted(map(repr, signature[1]))))
    if ranked and 2 * counts[ranked[0]] > len(sent):
        return ranked[0]
    faults = {name: s.fault for name, s in zip(names, sent, strict=True) if s.fault}
    if faults:
        raise _summary(faults, len(sent), _LEAVE_OUT if on_bad == "raise" else _NO_MAJORITY)
    first, second = (signatures.index(signature) for signature in ranked[:2])
    difference = _difference(sent[second], sent[first], f"client {names[first]!r}'s")
    raise difference.error(f"client {names[second]!r}: {difference.text}; {_NO_MAJORITY}")


def _summary(faults: Mapping[Hashable, UnfitError], n: int, remedy: str) -> Exception:
    """An error that names all odd ones, and what is wrong with the first."""
    (name, fault), *others = faults.items()
    also = ""
    if len(faults) == n:
        also = f" (and nothing usable came from any of the {n} clients)" if others else ""
        remedy = _NOTHING_LEFT + (_KEPT if fault.stray else "")
    elif others:
        also = f" (and {len(others)} more: {', '.join(repr(other) for other, _ in others[:5])})"
    return fault.error(f"client {name!r}: {fault.text}{also}; {remedy}")


def _difference(client: Sent, pattern: Sent, whose: str) -> UnfitError:
    """In which way a client's tensors are not those of the pattern."""
    if client.form != pattern.form:
        return UnfitError(TypeError, f"sent a {client.form}, {whose} is a {pattern.form}")
    lacks = sorted(map(repr, pattern.tensors.keys() - client.tensors.keys()))
    adds = sorted(map(repr, client.tensors.keys() - pattern.tensors.keys()))
    if client.form == LAYERS and (lacks or adds):
        return UnfitError(ValueError, f"sent {len(client.tensors)} layers, {whose} are {len(pattern.tensors)}")
    if more := prefix_before(client.tensors, pattern.tensors):
        return UnfitError(ValueError, f"{client.form} has {tamed(more, 80)!r} before each name, and {whose} has not")
    if less := prefix_before(pattern.tensors, client.tensors):
        return UnfitError(ValueError, f"{client.form} lacks {tamed(less, 80)!r} before each name, which {whose} has")
    if lacks or adds:
        differs = f"lacks [{tamed(', '.join(lacks))}] and adds [{tamed(', '.join(adds))}]"
        return UnfitError(ValueError, f"{client.form} {differs} compared with {whose}")
    for key, wanted in pattern.tensors.items():
        tensor = client.tensors[key]
        what = _called(client.form, key)
        if tensor.shape != wanted.shape:
            text = f"{what} has shape {tuple(tensor.shape)}, {whose} has {tuple(wanted.shape)}"
            return UnfitError(ValueError, text)
        if kind(tensor) != kind(wanted):
            return UnfitError(TypeError, f"{what} is {tensor.dtype}, {whose} is {kind(wanted)}")
    raise AssertionError("the same signature")


def _model(members: Sequence[Sent]) -> dict[Hashable, Tensor]:
    """Shapes and types that no single one of the clients decides, in the commonest order."""
    orders = Counter(tuple(member.tensors) for member in members)
    order = min(orders, key=lambda keys: (-orders[keys], tuple(map(repr, keys))))
    tensors = [member.tensors for member in members]
    return {
        key: torch.empty(tensors[0][key].shape, dtype=middle_dtype(t[key].dtype for t in tensors), device="meta")
        for key in order
    }


def _ties(members: Sequence[Sent]) -> dict[Hashable, Hashable]:
    """Names that are one and the same tensor as an earlier one in most of the clients."""
    pairs = Counter(pair for member in members for pair in _tied(member.tensors).items())
    return {name: first for (name, first), count in pairs.items() if 2 * count > len(members)}


def _tied(tensors: Mapping[Hashable, Tensor]) -> dict[Hashable, Hashable]:
    """Names of a tensor that has another name before."""
    first: dict[object, Hashable] = {}
    tied = {}
    for name, t in sorted(tensors.items(), key=lambda item: repr(item[0])):
        if t.layout == torch.strided and t.numel():
            # What lies in a file has no address in memory: there one tensor stands for both names.
            place: object = id(t) if t.is_meta else (t.data_ptr(), t.dtype, t.shape, t.stride())
            if place in first:
                tied[name] = first[place]
            first.setdefault(place, name)
    return tied


def _retied(client: Sent, pattern: Sent, ties: Mapping[Hashable, Hashable]) -> Sent:
    """The client with a tensor of two names under both, where the model has it so, or under one, where not."""
    if client.form != STATE_DICT:
        return client
    tensors = dict(client.tensors)
    for name, other in _tied(tensors).items():
        one, extra = (name, other) if name in pattern.tensors else (other, name)
        if extra not in pattern.tensors and one in pattern.tensors:
            tensors.pop(extra, None)
    for name, other in ties.items():
        for lacking, there in ((name, other), (other, name)):
            if lacking not in tensors and there in tensors and lacking in pattern.tensors:
                tensors[lacking] = tensors[there]
    return replace(client, tensors=tensors)
