"""Running statistics in clients' files, which no rule judges: what cannot be, what is odd, and what becomes of them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from math import exp, log
from typing import Any

import torch
from torch import Tensor

from ..core import Result
from ..failures import tamed
from ..stack import Policy, RowSource, median_of_running, middle_of_running, variance_of
from ..stack.based import FromBase
from ..stack.buffers import EPS, MOST
from ..stack.entries import UnfitError
from ..stack.layout import is_variance, variance_beside
from .checkpoints import Checkpoints
from .clients import AuditError
from .panel import UNUSABLE

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


def impossible_statistics(rows: RowSource) -> dict[Hashable, UnfitError]:
    """Clients whose statistics cannot be of any training, and why: variances below 0, counters that counted nothing."""
    if rows.layout is None or rows.agreed is None:
        return {}
    found: dict[Hashable, UnfitError] = {}
    for client, tensors in zip(rows.agreed.clients, rows.agreed.tensors, strict=True):
        for name in (*rows.layout.buffers, *rows.layout.counters):
            why = _impossible(name, tensors[name])
            if why:
                found[client] = UnfitError(ValueError, why)
                break
    return found


def _impossible(name: str, tensor: Tensor) -> str:
    if tensor.numel() == 0:
        return ""
    if is_variance(name) and (least := float(tensor.double().nan_to_num().min())) < 0:
        return f"{tamed(name, 80)} is a variance, and below 0: {least:.4g}"
    if not name.endswith(_COUNTER):
        return ""
    low, high = int(tensor.min()), int(tensor.max())
    if low < 0 or high > MOST_BATCHES:
        return f"{tamed(name, 80)} counts {low if low < 0 else high:,} batches; 0 to {MOST_BATCHES:,} can be"
    return ""


# --- what is odd ---------------------------------------------------------------------------------------------


def odd_statistics(stack: RowSource) -> dict[str, list[str]]:
    """What of each client's statistics is far outside of what the others sent, tensor by tensor.

    Of each entry the clients' median m, and of variances v: a mean is far beyond m +- sqrt(v + eps), a variance
    outside of v / 4 to 4 (v + eps), the bounds of "robust" around the median, and by more than five robust standard
    deviations of the clients (1.4826 times their median distance from the median; of variances of their logarithms).
    A tensor is odd if a quarter of its entries are far, or one is very far. The median is of the honest as long as
    liars are fewer than half, and clients whose data differ a lot have a wide spread.
    """
    clients, tensors, _ = _sound(stack)
    found: dict[str, list[str]] = {}
    if len(clients) < _LEAST or stack.layout is None:
        return found
    for name in stack.layout.buffers:
        sent = torch.stack([each[name].detach().double().flatten() for each in tensors])
        beside = variance_beside(name)
        if sent.shape[1] == 0:
            continue
        if is_variance(name):
            texts = _odd_variances(sent)
        elif beside in stack.layout.buffers and tensors[0][beside].shape == tensors[0][name].shape:
            texts = _odd_means(sent, torch.stack([each[beside].detach().double().flatten() for each in tensors]))
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


# --- what becomes of them --------------------------------------------------------------------------------------


def statistics_notes(stack: RowSource, policy: Policy | None) -> tuple[str, ...]:
    """Whose statistics are odd, and that no rule judges them; nothing of models that have none.

    Args:
        stack: of the clients.
        policy: of the output; None if there is none.
    """
    rows = stack.rows if isinstance(stack, FromBase) else stack
    if not isinstance(rows, Checkpoints) or stack.layout is None or not stack.layout.buffers:
        return ()
    odd = odd_statistics(stack)
    notes = []
    for name, texts in list(odd.items())[:_NAMED]:
        more = f" and {len(texts) - 3} more" if len(texts) > 3 else ""
        notes.append(f"running statistics of {tamed(name)}: {', '.join(texts[:3])}{more}; no rule judges them")
    if len(odd) > _NAMED:
        notes.append(f"running statistics of {len(odd) - _NAMED} more clients are as odd")
    count = len(stack.layout.buffers)
    tensors = "1 tensor" if count == 1 else f"{count} tensors"
    return (*notes, f"{tensors} of running statistics: no rule judges them; {_fate(stack, policy)}")


def _fate(stack: RowSource, policy: Policy | None) -> str:
    bounded = ", within a bound of the base's" if _before(stack) else ""
    return {
        None: "an aggregate has their median over clients, unless --batch-norm says otherwise",
        "robust": f"the output has their median over all usable clients{bounded} (--batch-norm robust)",
        "mean": "the output has their mean over accepted clients, which any of these can move (--batch-norm mean)",
        "frozen": "the output has the base's (--batch-norm frozen)",
    }[policy]


def with_statistics(result: Result[Tensor], stack: RowSource, policy: Policy) -> Result[Tensor]:
    """The result with running statistics as the policy says.

    Raises:
        AuditError: "frozen", and there is no base to have them from.
    """
    if policy == "mean" or stack.layout is None or not stack.layout.buffers:
        return result
    before = _before(stack)
    if policy == "frozen":
        if not before:
            raise AuditError("frozen running statistics are the base's, and there is no base: give --base FILE")
        return replace(result, aside={**result.aside, **before})
    unusable = {name for name, reason in zip(result.ids, result.reasons, strict=True) if reason in UNUSABLE}
    _, tensors, model = _sound(stack, unusable)
    taken = {}
    for name in stack.layout.buffers:
        sent = [each[name] for each in tensors]
        if name in before:
            made = median_of_running(name, sent, before[name], variance_of(before, name))
        else:
            made = middle_of_running(name, sent, model[name].dtype)
            made = None if made is None else made.to(model[name].dtype)
        if made is not None:
            taken[name] = made
    return replace(result, aside={**result.aside, **taken})


def _before(stack: RowSource) -> dict[str, Tensor]:
    """The base's statistics, where there is a base with values."""
    if stack.layout is None or stack.agreed is None:
        return {}
    model = stack.agreed.model
    return {name: model[name] for name in stack.layout.buffers if name in model and not model[name].is_meta}


def _sound(
    stack: RowSource, unusable: set[Hashable] | None = None
) -> tuple[list[Hashable], Sequence[Mapping[Hashable, Tensor]], Mapping[Any, Tensor]]:
    """Clients whose model can be used, what they sent, and what it should be like."""
    rows = stack.rows if isinstance(stack, FromBase) else stack
    if not isinstance(rows, Checkpoints) or stack.agreed is None:  # adapters have none
        return [], [], {}
    agreed = rows.agreed
    assert agreed is not None
    left_out = set(rows.spoiled) if unusable is None else unusable
    pairs = [(c, t) for c, t in zip(agreed.clients, agreed.tensors, strict=True) if c not in left_out]
    return [c for c, _ in pairs], [t for _, t in pairs], agreed.model
