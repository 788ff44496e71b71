"""What becomes of tensors without columns: running statistics are averaged, counters are ranked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from .layout import is_variance


def mean_of_running(
    name: str, sent: Iterable[Tensor], dtype: torch.dtype, weights: Sequence[float] | None = None
) -> Tensor | None:
    """The mean of a running statistic over those clients whose values are all finite; None if nobody's are.

    Finite in the type that the mean is to have. Variances below 0 count as 0. Summed in float64. ``weights`` are
    positive numbers, one a client; all count the same if None.
    """
    values = [tensor.detach().to(dtype).double() for tensor in sent]
    shares = [1.0] * len(values) if weights is None else weights
    finite = [(value, share) for value, share in zip(values, shares, strict=True) if bool(value.isfinite().all())]
    if not finite:
        return None
    if is_variance(name):
        finite = [(value.clamp_min(0), share) for value, share in finite]
    greatest = max(share for _, share in finite)  # so that no sum of them overflows
    whole = sum(share / greatest for _, share in finite)
    total = torch.zeros_like(finite[0][0])
    for value, share in finite:
        total += value.to(total.device) * (share / greatest) / whole
    return total.to(dtype)


def lower_median(sent: Iterable[Tensor], dtype: torch.dtype) -> Tensor:
    """The middle value of each entry of a counter over clients, or the lower of the two middle ones."""
    first, *others = (tensor.detach() for tensor in sent)
    values = torch.stack([first.long(), *(tensor.long().to(first.device) for tensor in others)])
    return values.sort(0).values[(len(values) - 1) // 2].to(dtype)
