"""Running statistics as clients sent them, which no rule judges: what cannot be, what is odd, what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from math import exp, log

import torch
from torch import Tensor

from ..failures import tamed
from .buffers import EPS, MOST, Policy, median_of_running, middle_of_running, variance_of
from .entries import Flat, UnfitError
from .layout import Layout, is_variance, variance_beside
from .reference import Agreed

MOST_BATCHES = 10**10
"""Batches that nobody has trained on: a thousand a second for four months."""
_COUNTER = "num_batches_tracked"
_SPREADS = 5.0
"""Robust standard deviations of clients that an entry must be from their median, besides the bound, to be far."""
_SHARE = 0.25
"""The share of a tensor's entries that must be far for the tensor to be odd ..."""
_EXTREME = 3.0
"""... or a single one must be so many times as far out as it takes."""
_LEAST = 3
"""Clients of whom one can be odd."""
_NAMED = 10
"""Clients that notes name one by one."""


def held_aside(
    agreed: Agreed,
    layout: Layout,
    values: Callable[[Hashable, Tensor], Tensor],
    *,
    policy: Policy,
    has_base: bool,
) -> Agreed:
    """What clients sent with the values of what has no columns, which is little, and what is to become of that."""
    tensors: list[Mapping[Hashable, Tensor]] = []
    spoiled: dict[Hashable, tuple[str, ...]] = {}
    for client, sent in zip(agreed.clients, agreed.tensors, strict=True):
        held: dict[Hashable, Tensor] = dict(sent)
        held |= {name: values(client, sent[name]) for name in (*layout.buffers, *layout.counters)}
        tensors.append(held)
        if bad := tuple(name for name in layout.buffers if not Flat(held[name]).isfinite()):
            spoiled[client] = bad
    model = agreed.model
    known = [name for name in layout.buffers if has_base and not model[name].is_meta]
    return replace(
        agreed, tensors=tensors, spoiled=spoiled, policy=policy, before={name: model[name] for name in known}
    )


# --- what cannot be ------------------------------------------------------------------------------------------


def impossible_statistics(agreed: Agreed, layout: Layout, *, has_base: bool) -> dict[Hashable, UnfitError]:
    """Clients whose statistics cannot be of any training, and why: variances below 0, counters that counted nothing.

    Where no base says that models are sent, and half of the clients have variances below 0 or more, they sent what
    they changed, of which everything can be.
    """
    found: dict[Hashable, UnfitError] = {}
    if not has_base and _are_changes(agreed, layout):
        return found
    for client, tensors in zip(agreed.clients, agreed.tensors, strict=True):
        for name in (*layout.buffers, *layout.counters):
            why = _impossible(name, tensors[name])
            if why:
                found[client] = UnfitError(ValueError, why)
                break
    return found


def _are_changes(agreed: Agreed, layout: Layout) -> bool:
    variances = [name for name in layout.buffers if is_variance(name)]
    below = [any((tensors[name].double() < 0).any() for name in variances) for tensors in agreed.tensors]
    return 2 * sum(below) >= len(below) > 0


def _impossible(name: Hashable, tensor: Tensor) -> str:
    if tensor.numel() == 0:
        return ""
    if is_variance(name) and (least := float(tensor.double().nan_to_num().min())) < 0:
        return f"{tamed(name, 80)} is a variance, and below 0: {least:.4g}"
    if not str(name).endswith(_COUNTER):
        return ""
    low, high = int(tensor.long().min()), int(tensor.long().max())
    if low < 0 or high > MOST_BATCHES:
        return f"{tamed(name, 80)} counts {low if low < 0 else high:,} batches; 0 to {MOST_BATCHES:,} can be"
    return ""


# --- what is odd ---------------------------------------------------------------------------------------------


def odd_statistics(agreed: Agreed, layout: Layout) -> dict[str, list[str]]:
    """What of each client's statistics is far outside of what the others sent, tensor by tensor.

    Of each entry the clients' median m, and of variances v: a mean is far beyond m +- sqrt(v + eps), a variance
    outside of v / 4 to 4 (v + eps), the bounds of "robust" around the median, and by more than five robust standard
    deviations of the clients (1.4826 times their median distance from the median; of variances of their logarithms).
    A tensor is odd if a quarter of its entries are far, or one is very far. The median is of the honest as long as
    liars are fewer than half, and clients whose data differ a lot have a wide spread.
    """
    pairs = zip(agreed.clients, agreed.tensors, strict=True)
    sound = {client: tensors for client, tensors in pairs if client not in agreed.spoiled}
    clients, tensors = list(sound), list(sound.values())
    found: dict[str, list[str]] = {}
    if len(clients) < _LEAST:
        return found
    for name in layout.buffers:
        sent = torch.stack([each[name].detach().cpu().double().flatten() for each in tensors])
        beside = variance_beside(name)
        if sent.shape[1] == 0:
            continue
        if is_variance(name):
            texts = _odd_variances(sent)
        elif beside in layout.buffers and tensors[0][beside].shape == tensors[0][name].shape:
            texts = _odd_means(sent, torch.stack([each[beside].detach().cpu().double().flatten() for each in tensors]))
        else:  # of which there is no scale
            continue
        for k, text in texts.items():
            found.setdefault(str(clients[k]), []).append(f"{tamed(name, 80)} {text}")
    return found


def _odd_variances(sent: Tensor) -> dict[int, str]:
    logs = (sent + EPS).log()
    away = logs - _median(logs)
    told = {}
    for k in _odd(away.abs(), torch.full_like(away[0], log(MOST))):
        worst = away[k].gather(0, away[k].abs().sort(descending=True).indices[: _how_many(away[k])])
        middle = float(worst.median())
        told[k] = f"is {_times(middle)} the median" if middle > 0 else f"is the median divided by {_times(-middle, '')}"
    return told


def _odd_means(sent: Tensor, variances: Tensor) -> dict[int, str]:
    deviation = (_median(variances) + EPS).sqrt()
    away = (sent - _median(sent)) / deviation
    told = {}
    for k in _odd(away.abs(), torch.ones_like(deviation)):
        worst = away[k].abs().sort(descending=True).values[: _how_many(away[k])]
        told[k] = f"is {float(worst.median()):,.0f} standard deviations from the median"
    return told


def _odd(away: Tensor, bound: Tensor) -> list[int]:
    """Rows with distances, (n, b), that are far in many entries, or very far in one."""
    reach = torch.maximum(bound, _SPREADS * 1.4826 * _median(away))
    out = away / reach
    odd = ((out > 1).double().mean(1) >= _SHARE) | (out > _EXTREME).any(1)
    return [int(k) for k in odd.nonzero().flatten()]


def _how_many(row: Tensor) -> int:
    return max(int(_SHARE * len(row)), 1)


def _median(values: Tensor) -> Tensor:
    ranked = values.sort(0).values
    n = len(ranked)
    return ranked[(n - 1) // 2] / 2 + ranked[n // 2] / 2


def _times(logarithm: float, unit: str = " times") -> str:
    return f"{exp(min(logarithm, 700.0)):,.4g}{unit}"


def odd_notes(agreed: Agreed, layout: Layout) -> tuple[str, ...]:
    """Whose statistics are odd, in sentences."""
    odd = odd_statistics(agreed, layout)
    notes = []
    for name, texts in list(odd.items())[:_NAMED]:
        more = f" and {len(texts) - 3} more" if len(texts) > 3 else ""
        notes.append(f"running statistics of {tamed(name)}: {', '.join(texts[:3])}{more}; no rule judges them")
    if len(odd) > _NAMED:
        notes.append(f"running statistics of {len(odd) - _NAMED} more clients are as odd")
    return tuple(notes)


# --- what becomes of them --------------------------------------------------------------------------------------


def settled_statistics(agreed: Agreed, layout: Layout, usable: Sequence[bool]) -> dict[str, Tensor]:
    """Running statistics by name, where they are not the mean of accepted clients: medians, or the base's.

    Statistics that stay the base's are of as many batches as the base has counted.

    Args:
        agreed: what clients sent, and the policy.
        layout: which tensors are statistics.
        usable: which clients' rows are finite, whoever was accepted.
    """
    if agreed.policy == "frozen":
        counts = {name: agreed.model[name] for name in layout.counters if str(name).endswith(_COUNTER)}
        kept = {name: agreed.before[name] for name in layout.buffers if name in agreed.before}
        return {**kept, **(counts if kept else {})}
    if agreed.policy != "robust":
        return {}
    tensors = [sent for sent, ok in zip(agreed.tensors, usable, strict=True) if ok]
    taken = {}
    for name in layout.buffers:
        sent = [each[name] for each in tensors]
        before, dtype = agreed.before.get(name), agreed.model[name].dtype
        if before is not None:
            made = median_of_running(name, sent, before, variance_of(agreed.before, name))
        else:
            # Variances are none below 0 by now, unless they are changes of such.
            made = middle_of_running(name, sent, dtype, changes=True)
            made = None if made is None else made.to(dtype)
        if made is not None:
            taken[name] = made
    return taken
