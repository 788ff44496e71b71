"""Which strategies of Flower's a rule can go into, found out before a federation starts."""

from __future__ import annotations

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
)

_AGGREGATING = (Bulyan, FedMedian, FedTrimmedAvg, FedXgbBagging, FedXgbCyclic, Krum, MultiKrum, QFedAvg)


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
