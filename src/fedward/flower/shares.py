"""How much weight the examples that a node claims can give it."""

from __future__ import annotations

import torch
from torch import Tensor


def check_share(max_share: float | None, *, by_rule: bool, trusted: bool) -> None:
    """Raise a ValueError for a bound that is none, that is missing, or that there is nothing to bound with.

    Args:
        max_share: the bound.
        by_rule: whether the rule goes by examples.
        trusted: whether they are said to be trusted.
    """
    if max_share is None:
        if by_rule:
            raise ValueError(
                "the rule goes by the examples that nodes claim, and whoever claims 10^12 would be the mean: say "
                "max_share=0.3, the most of the weight that a claim can give, or max_share=1 to believe every claim"
            )
        return
    if isinstance(max_share, bool) or not isinstance(max_share, int | float) or not 0 < max_share <= 1:
        raise ValueError(f"0 < max_share <= 1 is needed, or None, got {max_share!r}")
    if not (by_rule or trusted):
        raise ValueError(
            f"max_share={max_share} bounds the weight of claimed examples, and none count here: "
            "take a rule with weighted=true, or trust_examples=True"
        )


def capped(counts: Tensor, most: float) -> Tensor:
    """Counts cut so that none is more than a share of their sum; all alike where that cannot be.

    min(c_i, t) with the greatest t for which t <= most * sum_j min(c_j, t). Of k counts cut to t and R the sum of the
    others, t = most R / (1 - k most).

    Args:
        counts: (n,) float64, none negative; the sum of all must be a number.
        most: the share, above 0 and at most 1.

    Returns:
        (n,) float64.
    """
    values = counts.sort().values
    sums = values.cumsum(0)  # of the least: a sum from which the greatest were taken away would not be exact
    for k in range(len(counts)):
        room = 1 - k * most
        if room <= 0:
            break
        limit = most * sums[-1 - k] / room
        if values[-1 - k] <= limit:  # the k greatest are cut, and this one need not be
            return counts.clamp(max=float(limit)) if k else counts
    return torch.where(counts > 0, counts[counts > 0].min(), 0.0) if bool((counts > 0).any()) else counts
