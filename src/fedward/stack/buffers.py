"""What becomes of tensors without columns: running statistics are averaged or ranked, counters are ranked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from .layout import is_variance, variance_beside

Policy = Literal["mean", "robust", "frozen"]
"""What becomes of running statistics: the mean of accepted clients, bounded medians of all sound ones, as they were."""
EPS = 1e-5
"""What batch normalisation adds to a variance."""
MOST = 4.0
"""A variance becomes at most so many times what it was, or so many times less: its root doubles, or halves."""


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


def median_of_running(
    name: str, sent: Iterable[Tensor], before: Tensor, variance: Tensor | None = None
) -> Tensor | None:
    """The median of each entry of a running statistic over clients, no farther from what it was than a bound.

    With v the server's variance of the same layer and eps = 1e-5, a mean moves by sqrt(v + eps) at most, and a variance
    stays between v / 4 and 4 (v + eps): one round changes what a layer makes of its inputs by the order of what it
    makes of them, whoever has the majority. Statistics that are neither have no such scale and no bound.

    Counted are clients whose values are all finite; variances below 0 count as 0. Of an even number it is the mean of
    the two in the middle. In float64, rounded to the type of ``before``.

    Args:
        name: of the statistic.
        sent: what each client sent.
        before: what the server has.
        variance: the server's of the same layer, for a mean.

    Returns:
        None if nobody's values are finite.
    """
    median = middle_of_running(name, (tensor.to(before.device) for tensor in sent), before.dtype)
    if median is None:
        return None
    own = before.double()
    if is_variance(name):
        bounded = median.clamp(own.clamp_min(0) / MOST, MOST * (own.clamp_min(0) + EPS))
    elif variance is not None:
        reach = (variance.to(own) + EPS).clamp_min(EPS).sqrt()
        bounded = median.clamp(own - reach, own + reach)
    else:
        bounded = median
    return bounded.where(bounded.isfinite(), median).to(before.dtype)


def middle_of_running(name: str, sent: Iterable[Tensor], dtype: torch.dtype, *, changes: bool = False) -> Tensor | None:
    """The median that `median_of_running` bounds, in float64, of values in ``dtype``; None if nobody's are finite.

    Changes of variances may be below 0, variances count as 0 there.
    """
    values = [tensor.detach().to(dtype) for tensor in sent]
    finite = [value for value in values if bool(value.isfinite().all())]
    if not finite:
        return None
    together = torch.stack([value.to(finite[0].device) for value in finite])
    ranked = together.double() / 2  # halves: the sum of two in the middle must not be infinite
    if is_variance(name) and not changes:
        ranked.clamp_(min=0)
    ranked = ranked.sort(0).values
    n = len(ranked)
    return ranked[(n - 1) // 2] + ranked[n // 2]


def variance_of(tensors: Mapping[Any, Tensor], name: str) -> Tensor | None:
    """The variance of the same layer as a running mean, where there is one of its shape."""
    beside = variance_beside(name)
    found = None if beside is None else tensors.get(beside)
    return found if found is not None and found.shape == tensors[name].shape else None


def lower_median(sent: Iterable[Tensor], dtype: torch.dtype) -> Tensor:
    """The middle value of each entry of a counter over clients, or the lower of the two middle ones."""
    first, *others = (tensor.detach() for tensor in sent)
    values = torch.stack([first.long(), *(tensor.long().to(first.device) for tensor in others)])
    return values.sort(0).values[(len(values) - 1) // 2].to(dtype)
