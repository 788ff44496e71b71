"""`State`: what a rule or an attack remembers between rounds. What is remembered is finite and nobody else's."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

State = Mapping[str, Tensor]
"""What a rule remembers between rounds."""


_MOST = 2.0**108  # a million of these still add up to a float32


_MOST_WIDE = 2.0**460  # and the squares of a million rows of these to a float64


def most(dtype: torch.dtype) -> float:
    """The largest number that a memory of this dtype holds: sums of many such, and their squares, stay finite."""
    return min(_MOST_WIDE if dtype == torch.float64 else _MOST, torch.finfo(dtype).max)


def finite_copy(values: Tensor) -> Tensor:
    """A copy for a memory to hold: NaN is 0 there, and nothing lies beyond `most`.

    What went wrong in one round would go wrong in every later one otherwise. The copy shares nothing with the tensor,
    which the caller may write to.
    """
    limit = most(values.dtype)
    return values.nan_to_num(nan=0.0, posinf=limit, neginf=-limit).clamp_(-limit, limit)
