"""What becomes of tensors without columns: running statistics are averaged, counters are ranked."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from .layout import is_variance


def mean_of_running(name: str, sent: Iterable[Tensor], dtype: torch.dtype) -> Tensor | None:
    """The mean of a running statistic over those clients whose values are all finite; None if nobody's are.

    Finite in the type that the mean is to have. Variances below 0 count as 0. Summed in float64.
    """
    values = [tensor.detach().to(dtype).double() for tensor in sent]
    finite = [value for value in values if bool(value.isfinite().all())]
    if not finite:
        return None
    if is_variance(name):
        finite = [value.clamp_min(0) for value in finite]
    total = torch.zeros_like(finite[0])
    for value in finite:
        total += value.to(total.device) / len(finite)
    return total.to(dtype)


def lower_median(sent: Iterable[Tensor], dtype: torch.dtype) -> Tensor:
    """The middle value of each entry of a counter over clients, or the lower of the two middle ones."""
    first, *others = (tensor.detach() for tensor in sent)
    values = torch.stack([first.long(), *(tensor.long().to(first.device) for tensor in others)])
    return values.sort(0).values[(len(values) - 1) // 2].to(dtype)
