"""Strategies that many tests make."""

from __future__ import annotations

from typing import Any

from flwr.serverapp.strategy import (
    FedAvg,
    FedAvgM,
    FedProx,
)

import fedward as fw
from fedward.flower import RobustFedAvg


def quiet(rule: fw.Rule | str, **arguments: Any) -> RobustFedAvg:
    return RobustFedAvg(rule=rule, fraction_evaluate=0.0, **arguments)


def made(cls: type[FedAvg]) -> FedAvg:
    own: dict[type[FedAvg], dict[str, float]] = {
        FedAvgM: {"server_momentum": 0.9, "server_learning_rate": 0.5},
        FedProx: {"proximal_mu": 0.1},
    }
    return cls(fraction_evaluate=0.0, **own.get(cls, {}))  # type: ignore[arg-type]
