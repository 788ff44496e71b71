"""Clients' files as one stack: who sent what most sent, from which base, and what is wrong with the others."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ..failures import tamed
from ..registry.naming import did_you_mean
from ..stack import CENTRES, Layout, Policy, RowSource, nearness
from ..stack.based import FromBase, origin_of
from ..stack.entries import UnfitError
from ..stack.intake import Expected, agree_on_statistics
from ..stack.reference import STATE_DICT, Agreed, Sent, read_entries
from ..stack.tensorfile import outlast
from .adapters import Adapter, odd_kinds
from .checkpoints import Checkpoints
from .clients import AuditError, Clients, Place, find_clients, nothing_at
from .formats import Contents, read_contents
from .lowrank import LowRank
from .remarks import advice_on_rounds, remarks_of
from .renamed import Prefix, under_one_name

_OPEN = 400
"""Files that are kept open, of the 1,024 that a process may have."""
_NAMED = 5
"""Clients that an error names."""

_OTHER_KIND = {
    True: "the base is an adapter, but clients sent whole models: give the model that they started from",
    False: "the base is a whole model, but clients sent adapters: give the folder of the adapter that they went on "
    "from, or no base if each began anew",
}
"""Of a base whose kind no client's is, by whether it is an adapter."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ClientModels:
    """Clients' models as a stack of what they changed.

    Attributes:
        stack: one row for each client whose model fits; `RowSource.agreed` says who the others are.
        contents: what was read, by client.
        base: what the base's file held; None if there is none, or it is a centre of the clients.
        found: the clients, whether they could be read or not.
        assumed: whether what was sent is taken as updates though nobody said so: neither a base nor ``raw``.
        remarks: what is to be said of how files were found and read.
    """

    stack: RowSource
    contents: Mapping[Hashable, Contents]
    base: Contents | None
    found: Clients
    assumed: bool = False
    remarks: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All clients."""
        return tuple(place.name for place in self.found.places)

    @property
    def malformed(self) -> Mapping[Hashable, str]:
        """Whose model does not fit, and why."""
        return {} if self.stack.agreed is None else self.stack.agreed.malformed

    @property
    def read_from(self) -> tuple[Path, ...]:
        """Clients' files and folders."""
        files = [path for contents in self.contents.values() for path in contents.stamps]
        return (*(place.path for place in self.found.places), *files)

    def changed(self) -> dict[str, Path]:
        """Clients whose files are not what they were when they were read.

        Raises:
            AuditError: the base's is not.
        """
        if self.base is not None and (path := self.base.changed()):
            raise AuditError(f"the base was changed while it was read: {tamed(path)}")
        changed = {str(name): contents.changed() for name, contents in self.contents.items()}
        return {name: path for name, path in changed.items() if path is not None}


def gather(
    clients: Sequence[str | os.PathLike[str]],
    *,
    base: str | os.PathLike[str] | None = None,
    raw: bool = False,
    key: str | None = None,
    leave_out: Mapping[str, str] | None = None,
    batch_norm: Policy = "robust",
) -> ClientModels:
    """Read clients' models as rows of what they changed.

    Args:
        clients: files, folders and globs, see `find_clients`.
        base: the model they started from, a file or a folder; or "mean-of-clients" or "median-of-clients".
        raw: rules are to see what was sent, weights or not.
        key: where pickled files have the model.
        leave_out: clients that are known to be unusable, and why.
        batch_norm: what becomes of running statistics in an aggregate, see `run_aggregate`.

    Raises:
        AuditError: there are no clients, the base cannot be read, no model is in the majority, or clients sent weights
            and there is no base to take their differences from.
    """
    path = None if base is None or str(base) in CENTRES else Path(base)
    found = find_clients(clients, besides=path)
    held = None if path is None else _base(path, key)
    contents: dict[Hashable, Contents] = {}
    faults: dict[Hashable, UnfitError] = {}
    opened = 0
    for place in found.places:
        try:
            if leave_out and place.name in leave_out:
                raise UnfitError(ValueError, leave_out[place.name])
            contents[place.name] = read_contents(place, key, keep=opened < _OPEN)
            opened += len(contents[place.name].files)
        except UnfitError as error:
            faults[place.name] = error
    nothing = [nothing_at(place.path) for place in found.places if place.name in faults]
    if not contents and all(nothing):
        more = f" and {len(nothing) - _NAMED} more" if len(nothing) > _NAMED else ""
        raise AuditError("; ".join(nothing[:_NAMED]) + more)
    if not contents:
        raise AuditError(_nobodys(found, faults))
    outlast(max((held.time for held in contents.values()), default=0))
    try:
        stack, renamed = _stack(found.places, contents, faults, held, base, batch_norm)
    except (TypeError, ValueError) as error:
        raise AuditError(str(error)) from None
    assumed = base is None and not raw
    if assumed and (share := nearness(stack)) is not None:
        raise AuditError(_too_near(share, adapters=isinstance(stack, LowRank)))
    return ClientModels(
        stack=stack,
        contents=contents,
        base=held,
        found=found,
        assumed=assumed,
        remarks=remarks_of(found, contents, held, renamed),
    )


def _nobodys(found: Clients, faults: Mapping[Hashable, UnfitError]) -> str:
    """Why there is nothing to look at, and what to do where folders of several models were named."""
    whys = [f"client {tamed(name)}: {fault.text}" for name, fault in faults.items()]
    more = f"; and {len(whys) - _NAMED} more" if len(whys) > _NAMED else ""
    return f"no client's model can be read: {'; '.join(whys[:_NAMED])}{more}{advice_on_rounds(found.places)}"


def _too_near(share: float, *, adapters: bool) -> str:
    """Why what differs by so little is not taken as updates, and what to do."""
    if adapters:  # which are changes; but those that went on from one adapter have that in common
        return (
            f"these adapters are nearly the same: most differ by {share:.1%} of their length, so that rules would see "
            "what they have in common and nothing of what each changed. If clients went on from one adapter, give the "
            "folder of that adapter (--base FOLDER); if each began anew, say that they are changes as they are (--raw)"
        )
    return (
        f"these are weights, not updates: most clients differ by {share:.1%} of their length, so that rules would "
        "see what they have in common and nothing of what each changed. Give the model they started from (--base "
        "FILE), or --base median-of-clients or mean-of-clients; --raw if they are updates all the same"
    )


def _base(path: Path, key: str | None) -> Contents:
    try:
        return read_contents(Place(name="base", path=path), key, lenient=True)
    except UnfitError as error:
        centre = "" if path.exists() else did_you_mean(str(path), CENTRES)
        raise AuditError(f"the base {tamed(path)}: {error.text}{centre}") from None


def _stack(
    places: Sequence[Place],
    contents: Mapping[Hashable, Contents],
    faults: Mapping[Hashable, UnfitError],
    held: Contents | None,
    base: object,
    policy: Policy,
) -> tuple[RowSource, dict[Hashable, Prefix]]:
    """The rows, and whose names had one prefix more or less than those that they are read under."""
    of_adapters = [contents[place.name].adapter is not None for place in places if place.name in contents]
    adapters = held.adapter is not None if held else 2 * sum(of_adapters) > len(of_adapters)
    if held is not None and of_adapters and adapters not in of_adapters:
        raise AuditError(_OTHER_KIND[adapters])
    # Of a base that fits nobody most clients say what is wrong with it.
    other_kind = 2 * of_adapters.count(adapters) < len(of_adapters)
    names = [place.name for place in places]
    sent = []
    for place in places:
        fault = faults.get(place.name)
        if fault is None:
            told = _sent(contents[place.name], adapters)
        else:
            told = Sent(form=STATE_DICT, tensors={}, fault=fault)
        sent.append(told)
    blame = _OTHER_KIND[adapters] if other_kind else ""
    if adapters:
        return _low_rank(names, sent, contents, held, base, policy, blame), {}
    if held is None:
        expected = Expected(None, "auto", "refuse", by_name=True)
    else:
        try:
            like = {name: held.values(tensor) for name, tensor in held.tensors.items()}
            expected = Expected(like, "auto", "refuse", by_name=True)
        except UnfitError as error:
            raise AuditError(f"the base: {error.text}") from None
    sent, others = under_one_name(sent, expected.sent)
    renamed: dict[Hashable, Prefix] = {names[place]: prefix for place, prefix in others.items()}
    agreed, layout = _agree(sent, names, expected, lambda name, t: contents[name].values(t).to_dense(), policy, blame)
    rows = Checkpoints(contents, agreed, layout)
    if base is None:
        return rows, renamed
    origin = origin_of(rows, expected.sent if expected.sent else str(base))  # type: ignore[arg-type]
    return FromBase(rows, origin), renamed


def _agree(
    sent: Sequence[Sent],
    names: Sequence[str],
    expected: Expected,
    values: Callable[[Hashable, Tensor], Tensor],
    policy: Policy,
    blame: str,
) -> tuple[Agreed, Layout]:
    """What clients agree on whose running statistics can be, and where its tensors lie.

    Args:
        sent, names, expected, values, policy: see `agree_on_statistics`.
        blame: what is wrong with a base that fits none, if that is known.

    Raises:
        AuditError: the base fits none of those whose files are sound, which is its doing rather than everybody's; or
            statistics are to stay the base's, and there is none.
        TypeError, ValueError: clients agree on nothing.
    """
    try:
        agreed, layout = agree_on_statistics(
            sent, names, expected, values, policy=policy, has_base=expected.sent is not None, on_bad="drop"
        )
    except (TypeError, ValueError):
        sound = [(name, told) for name, told in zip(names, sent, strict=True) if not told.fault]
        fits = expected.sent is None or any(told.signature == expected.sent.signature for _, told in sound)
        if fits or not sound:
            raise
        most = Counter(told.signature for _, told in sound).most_common(1)[0][0]
        name, told = next(each for each in sound if each[1].signature == most)
        assert expected.sent is not None
        differing = _differing(expected.sent, told, name)
        raise AuditError(blame or f"no client fits this base: {differing}") from None
    assert layout is not None  # state dicts have one
    if policy == "frozen" and layout.buffers and not agreed.before:
        raise AuditError("frozen running statistics are the base's, and there is no base: give --base FILE")
    return agreed, layout


def _differing(base: Sent, told: Sent, name: str) -> str:
    """In what a client's model is not the base's: the first names."""
    lacking = [key for key in base.tensors if key not in told.tensors]
    added = [key for key in told.tensors if key not in base.tensors]
    shaped = [
        key for key, tensor in told.tensors.items() if key in base.tensors and tensor.shape != base.tensors[key].shape
    ]
    parts = []
    if lacking:
        parts.append(f"the base has {_first(lacking)}, which {tamed(name)} has not")
    if added:
        parts.append(f"{tamed(name)} has {_first(added)}, which the base has not")
    for key in shaped[:3]:
        shapes = tuple(base.tensors[key].shape), tuple(told.tensors[key].shape)
        parts.append(f"{tamed(key, 80)} has shape {shapes[0]} in the base and {shapes[1]} in {tamed(name)}")
    said = "; ".join(parts) or "types of its tensors differ"
    return f"{said}. Give the model that clients started from"


def _first(keys: Sequence[Hashable]) -> str:
    more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
    return ", ".join(tamed(key, 80) for key in keys[:3]) + more


def _sent(contents: Contents, adapters: bool) -> Sent:
    """What a client's model looks like, to be held against the others'."""
    if not adapters:
        if contents.adapter is not None:
            fault = UnfitError(ValueError, "is an adapter, the others are whole models")
            return Sent(form=STATE_DICT, tensors={}, fault=fault)
        at_hand = read_entries(STATE_DICT, {name: t for name, t in contents.tensors.items() if not t.is_meta})
        in_files: dict[Hashable, Tensor] = {name: t for name, t in contents.tensors.items() if t.is_meta}
        return replace(at_hand, tensors=dict(at_hand.tensors) | in_files)
    if contents.adapter is None:
        return Sent(
            form=STATE_DICT, tensors={}, fault=UnfitError(ValueError, "is a whole model, the others are adapters")
        )
    return _shapes(contents.adapter)


def _shapes(adapter: Adapter) -> Sent:
    """Names and shapes of what an adapter changes: ranks are its own business."""
    plain = read_entries(STATE_DICT, adapter.plain)
    products: dict[Hashable, Tensor] = {
        layer: torch.empty(factors.shape, device="meta") for layer, factors in adapter.layers.items()
    }
    return replace(plain, tensors={**products, **plain.tensors})


def _low_rank(
    names: Sequence[str],
    sent: Sequence[Sent],
    contents: Mapping[Hashable, Contents],
    held: Contents | None,
    base: object,
    policy: Policy,
    blame: str,
) -> RowSource:
    if base is not None and held is None:
        raise AuditError(f"of adapters there is no {base}: give the adapter they started from, or none")
    start = None if held is None else held.adapter
    odd = odd_kinds({name: each.adapter for name, each in contents.items() if each.adapter is not None}, start)
    sent = [replace(told, fault=odd.get(name, told.fault)) for name, told in zip(names, sent, strict=True)]
    expected = Expected(None, "auto", "refuse", by_name=True)
    if start is not None:
        expected.sent = _shapes(start)
    agreed, layout = _agree(sent, names, expected, lambda _, tensor: tensor.to_dense(), policy, blame)
    adapters = [adapter for name in agreed.clients if (adapter := contents[name].adapter) is not None]
    if start is not None and not start.is_finite():
        raise AuditError("the base has NaN or Inf; give the adapter that clients started from")
    return LowRank(adapters, agreed, layout, start)
