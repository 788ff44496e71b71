"""What clients say besides their rows. Anybody may say anything: what is no answer to the question counts as none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..rule import Context


def _said(context: Context, client: Any, what: str) -> Any:
    message = context.messages.get(client)
    return message.get(what) if isinstance(message, Mapping) else None


def alarms(ids: Sequence[Any], context: Context) -> Tensor:
    """Who raises an alarm: (n,) bool."""
    said = [_said(context, client, "alarm") for client in ids]
    return torch.tensor([isinstance(a, bool | int | np.bool_) and bool(a) for a in said], dtype=torch.bool)


def samples(ids: Sequence[Any], context: Context) -> Tensor:
    """How many samples each says it has, 0 where it says nothing sensible: (n,) float64."""
    said = [_said(context, client, "samples") for client in ids]
    return torch.tensor([_positive(value) for value in said], dtype=torch.float64)


def _positive(value: Any) -> float:
    if not isinstance(value, Real) or isinstance(value, bool):
        return 0.0
    try:
        number = float(value)
    except OverflowError:
        return 0.0
    return number if isfinite(number) and number > 0 else 0.0


def by_samples(ids: Sequence[Any], context: Context) -> Tensor:
    """Weights in proportion to the samples that clients say they have, equal if nobody says: (n,), sum 1."""
    counts = samples(ids, context)
    greatest = float(counts.max()) if len(counts) else 0.0
    shares = counts / greatest if greatest > 0 else torch.ones_like(counts)
    return shares / shares.sum()
