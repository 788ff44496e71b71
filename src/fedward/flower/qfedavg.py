"""What Flower's QFedAvg makes numbers of, and cannot always: a power of every loss, fractions of every array."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from flwr.app import ArrayRecord
from flwr.serverapp.strategy import QFedAvg, Strategy

from ..failures import tamed


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
