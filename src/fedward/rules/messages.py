"""What clients say besides their rows. Anybody may say anything: what is no answer to the question counts as none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core import EXAMPLES, Context

_SPELLINGS = (EXAMPLES, "num_examples", "samples")  # of several the first


def _said(context: Context, client: Any, what: str) -> Any:
    message = context.messages.get(client)
    return message.get(what) if isinstance(message, Mapping) else None


def alarms(ids: Sequence[Any], context: Context) -> Tensor:
    """Who raises an alarm: (n,) bool."""
    said = [_said(context, client, "alarm") for client in ids]
    return torch.tensor([isinstance(a, bool | int | np.bool_) and bool(a) for a in said], dtype=torch.bool)


def examples(ids: Sequence[Any], context: Context) -> Tensor:
    """How many samples each says it has, 0 where it says nothing sensible: (n,) float64."""
    return torch.tensor([_positive(_examples(context, client)) for client in ids], dtype=torch.float64)


def _examples(context: Context, client: Any) -> Any:
    """What it says of the number of its samples, in whichever spelling; None if nothing."""
    for spelling in _SPELLINGS:
        value = _said(context, client, spelling)
        if value is not None:
            return value
    return None


def _positive(value: Any) -> float:
    if isinstance(value, Tensor | np.ndarray) and value.ndim == 0:
        value = value.item()
    if not isinstance(value, Real) or isinstance(value, bool):
        return 0.0
    try:
        number = float(value)
    except OverflowError:
        return 0.0
    return number if isfinite(number) and number > 0 else 0.0


def by_examples(ids: Sequence[Any], context: Context, among: Tensor | None = None) -> Tensor:
    """Weights in proportion to the samples that clients say they have: (n,), sum 1.

    Who says nothing sensible among others who do has weight 0.

    Args:
        ids: of the clients.
        context: with what they said.
        among: (n,) bool, whose weights are asked for; the others get 0, and if none of these said anything, all do.

    Raises:
        ValueError: nobody says anything sensible.
    """
    counts = examples(ids, context)
    if not bool((counts > 0).any()):
        raise ValueError(
            f"weighted=True uses the samples that clients say they have, and none of the {len(counts)} clients "
            f"says a positive number: pass messages={{id: {{{EXAMPLES!r}: 250}}, ...}} "
            f"({' and '.join(_SPELLINGS[1:])} are read as well), or leave weighted out"
        )
    if among is not None:
        counts = torch.where(among, counts, 0.0)
    greatest = counts.max()
    shares = counts / greatest if greatest > 0 else counts  # sums of great numbers stay finite
    return shares / shares.sum().clamp_min(1)
