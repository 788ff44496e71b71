"""What a restarted server resumes from: model, rule and optimiser after the last round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from flwr.app import Array, ArrayRecord
from flwr.serverapp.strategy import FedAvg
from torch import Tensor

from ..core import Aggregator
from ..sim.checkpoint import load_checkpoint, save_checkpoint

_BY_NAME = ("m_t", "v_t")  # what FedAdam, FedYogi and FedAdagrad remember
_BY_PLACE = "momentum_vector"  # and FedAvgM


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A checkpoint that was read."""

    round: int
    arrays: ArrayRecord
    aggregator: Mapping[str, Any]
    optimiser: Mapping[str, Any]


def save(
    path: Path,
    *,
    identity: Mapping[str, Any],
    round: int,
    arrays: ArrayRecord,
    aggregator: Aggregator,
    strategy: FedAvg,
) -> None:
    """Write all that the next round depends on; a kill leaves the old file or the new one."""
    content = {
        "round": round,
        "arrays": {name: torch.from_numpy(array.numpy()) for name, array in arrays.items()},
        "aggregator": aggregator.state_dict(),
        "optimiser": _optimiser(strategy),
    }
    save_checkpoint(path, identity, content)


def load_saved(path: Path, identity: Mapping[str, Any]) -> Saved:
    """Read what `save` wrote.

    Raises:
        CheckpointError: the file is damaged, or of another rule, seed or strategy.
    """
    saved = load_checkpoint(path, identity, ("round", "arrays", "aggregator", "optimiser"))
    arrays = ArrayRecord({name: Array(tensor.numpy()) for name, tensor in saved["arrays"].items()})
    return Saved(
        round=saved["round"],
        arrays=arrays,
        aggregator=saved["aggregator"],
        optimiser=saved["optimiser"],
    )


def restore(strategy: FedAvg, optimiser: Mapping[str, Any]) -> None:
    """Give a strategy what its optimiser remembered."""
    for name, value in optimiser.items():
        if isinstance(value, Mapping):
            setattr(strategy, name, {key: _array(tensor) for key, tensor in value.items()})
        else:
            setattr(strategy, name, [_array(tensor) for tensor in value])


def finite_memory(strategy: FedAvg) -> bool:
    """Whether all that a strategy's optimiser remembers is finite."""
    for name in (*_BY_NAME, _BY_PLACE):
        kept = getattr(strategy, name, None) or ()
        arrays = kept.values() if isinstance(kept, Mapping) else kept
        if not all(np.isfinite(array).all() for array in arrays):
            return False
    return True


def _optimiser(strategy: FedAvg) -> dict[str, Any]:
    state: dict[str, Any] = {}
    for name in _BY_NAME:
        if value := getattr(strategy, name, None):
            state[name] = {key: _tensor(array) for key, array in value.items()}
    if value := getattr(strategy, _BY_PLACE, None):
        state[_BY_PLACE] = [_tensor(array) for array in value]
    return state


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array))


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.numpy()
