"""Models whose names have one prefix more or less than they should: the same models, saved from within a wrapper."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from ..stack.prefixes import prefix_before
from ..stack.reference import Sent


@dataclass(frozen=True, kw_only=True)
class Prefix:
    """What a client's names have before each of those under which they are read, or lack there."""

    text: str
    lacking: bool = False


def under_one_name(sent: Sequence[Sent], base: Sent | None) -> tuple[list[Sent], dict[int, Prefix]]:
    """What clients sent, by the base's names or, without one, by the commonest, where a prefix is all that differs.

    Args:
        sent: by each client.
        base: the model that they started from.

    Returns:
        The same, and by place whose names were others.
    """
    wanted = _commonest(sent) if base is None else base.tensors
    renamed: dict[int, Prefix] = {}
    found = list(sent)
    for place, told in enumerate(sent):
        prefix = _between(told.tensors, wanted)
        if prefix is not None:
            renamed[place] = prefix
            found[place] = replace(told, tensors=_renamed(told.tensors, prefix))
    return found, renamed


def _commonest(sent: Sequence[Sent]) -> Mapping[Hashable, Tensor]:
    """Names that most have; of as many the shorter, which are those of no wrapper."""
    counts = Counter(frozenset(told.tensors) for told in sent if told.tensors)

    def rank(names: frozenset[Hashable]) -> tuple[int, int, list[str]]:
        texts = sorted(map(str, names))
        return -counts[names], sum(map(len, texts)), texts

    first = min(counts, key=rank, default=frozenset())
    return next((told.tensors for told in sent if told.tensors.keys() == first), {})


def _between(names: Mapping[Hashable, Tensor], wanted: Mapping[Hashable, Tensor]) -> Prefix | None:
    if more := prefix_before(names, wanted):
        return Prefix(text=more)
    less = prefix_before(wanted, names)
    return Prefix(text=less, lacking=True) if less else None


def _renamed(tensors: Mapping[Hashable, Tensor], prefix: Prefix) -> dict[Hashable, Tensor]:
    if prefix.lacking:
        return {f"{prefix.text}{name}": tensor for name, tensor in tensors.items()}
    return {str(name).removeprefix(prefix.text): tensor for name, tensor in tensors.items()}
