"""Which strategies and rules go together, found out before a federation starts."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from flwr.app import ArrayRecord
from flwr.serverapp.strategy import (
    Bulyan,
    FedAvg,
    FedMedian,
    FedTrimmedAvg,
    FedXgbBagging,
    FedXgbCyclic,
    Krum,
    MultiKrum,
    QFedAvg,
    Strategy,
)

from ..core import Aggregator, BoundError, Rule
from ..failures import tamed
from ..registry.component import components_within

_AGGREGATING = (Bulyan, FedMedian, FedTrimmedAvg, FedXgbBagging, FedXgbCyclic, Krum, MultiKrum, QFedAvg)
_MOST = 1 << 12  # rows of a trial


def check_strategy(strategy: FedAvg) -> None:
    """Raise a TypeError or ValueError for a strategy that a rule cannot go into."""
    if not isinstance(strategy, FedAvg):
        raise TypeError(
            f"a FedAvg or one derived from it is needed, got {strategy!r}; differential privacy goes around: "
            "Screened(DifferentialPrivacyServerSideFixedClipping(RobustFedAvg(rule=...), ...))"
        )
    if isinstance(strategy, _AGGREGATING):
        raise ValueError(
            f"{type(strategy).__name__} aggregates by itself; the rule takes that place: give FedAvg or an optimiser "
            "such as FedAdam"
        )


def check_fits(rule: Rule, evaluator: object, trust_examples: bool) -> None:
    """Raise a TypeError or ValueError for a rule that cannot be used with these arguments."""
    if rule.traits().root_data and evaluator is None:
        raise ValueError(f"{rule!r} judges nodes by data of the server's own: pass evaluator=...")
    if not isinstance(trust_examples, bool):
        raise TypeError(f"trust_examples is True or False, got {trust_examples!r}")
    if not trust_examples:
        return
    if rule.traits().server_rows:
        raise ValueError(f"{rule!r} adds rows of the server's own, which have no examples: trust_examples=False")
    if uses_examples(rule):
        raise ValueError(f"{rule!r} uses examples itself, which would count twice: trust_examples=False")
    if not weighs_rows(rule):
        raise ValueError(f"{rule!r} looks at columns and weighs no rows: trust_examples=False")


def uses_examples(rule: Rule) -> bool:
    """Whether the rule, or one inside it, weighs clients by the examples that they claim."""
    return any(getattr(part, "weighted", False) is True for part in components_within(rule))


def weighs_rows(rule: Rule) -> bool:
    """Whether the rule gives rows weights, as a trial on made-up rows tells; also where it needs more than rows."""
    n = 4
    while n < _MOST and not _enough(rule, n):
        n *= 2
    rows = torch.randn(n, 8, generator=torch.Generator().manual_seed(0))
    try:
        return Aggregator(rule)(rows).weights is not None
    except Exception:  # a rule may ask for names of clients, layers or data of the server's
        return True


def _enough(rule: Rule, n: int) -> bool:
    try:
        rule.check(n)
    except BoundError:
        return False
    return True


def losses_of(strategies: Iterable[Strategy]) -> set[str]:
    """The metrics of which QFedAvg takes a power, which one below 0 has not: it would cost all others the round."""
    return {each.train_loss_key for each in strategies if isinstance(each, QFedAvg)}


def check_multiplied(arrays: ArrayRecord, losses: set[str]) -> None:
    """Raise a ValueError for a model that QFedAvg cannot take, which would keep it in every round."""
    whole = next((name for name, array in arrays.items() if np.dtype(array.dtype).kind != "f"), None)
    if losses and whole is not None:
        raise ValueError(
            f"QFedAvg multiplies every array by fractions, and {tamed(whole)} is {arrays[whole].dtype}; send it none "
            "but floating-point arrays, or take another strategy"
        )
