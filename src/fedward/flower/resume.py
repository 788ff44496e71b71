"""What a restarted server resumes from: model, rule and optimiser after the last round."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import torch
from flwr.app import Array, ArrayRecord
from flwr.serverapp.strategy import FedAvg
from torch import Tensor

from ..core import Aggregator
from ..disk import NoFolderError, check_folder, open_regular
from ..failures import tamed
from ..sim.checkpoint import CheckpointError, load_checkpoint, save_checkpoint

_BY_NAME = ("m_t", "v_t")  # what FedAdam, FedYogi and FedAdagrad remember
_UNKNOWN = (torch.bfloat16,)  # to NumPy
_FRESH = "or say fresh=True to begin anew and replace it"
_REMEDY = f"move it away, or give this federation another place; {_FRESH}"
_MOST_TOLD = 1 << 28
"""Bytes of what a checkpoint has besides tensors."""
_BY_PLACE = "momentum_vector"  # and FedAvgM


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A checkpoint that was read.

    Attributes:
        mark: what no other checkpoint has; empty in files of earlier versions.
    """

    mark: str
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
    settings: Mapping[str, Any],
) -> str:
    """Write all that the next round depends on; a kill leaves the old file or the new one.

    Returns:
        What no other checkpoint has: see `is_marked`.
    """
    mark = token_hex(16)
    content = {
        "mark": mark,
        "round": round,
        "arrays": {name: torch.from_numpy(array.numpy()) for name, array in arrays.items()},
        "aggregator": aggregator.state_dict(),
        "optimiser": _optimiser(strategy),
        "settings": dict(settings),
    }
    save_checkpoint(path, identity, content)
    return mark


def is_marked(path: Path, mark: str) -> bool:
    """Whether a file is the checkpoint of this mark, wherever it was moved or copied; its tensors are not read."""
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            parts = [entry for entry in archive.infolist() if entry.filename.endswith("/data.pkl")]
            return any(mark.encode() in archive.read(entry) for entry in parts if entry.file_size <= _MOST_TOLD)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, zlib.error, EOFError):
        return False  # it is something else


def load_saved(path: Path, identity: Mapping[str, Any], settings: Mapping[str, Any]) -> Saved:
    """Read what `save` wrote.

    Raises:
        CheckpointError: the file is damaged, or of another rule, seed, strategy or setting.
    """
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder: name a file in it, such as federation.pt")
    try:
        saved = load_checkpoint(path, identity, ("round", "arrays", "aggregator", "optimiser"))
    except CheckpointError as error:
        raise CheckpointError(f"{error}; {_FRESH}") from error
    before = saved.get("settings", settings)  # files of earlier versions do not say
    if not (
        isinstance(saved["round"], int)
        and saved["round"] >= 0
        and _are_tensors(saved["arrays"])
        and isinstance(saved["aggregator"], Mapping)
        and isinstance(saved["optimiser"], Mapping)
        and isinstance(before, Mapping)
    ):
        raise CheckpointError(f"{path} holds no round of a federation: it is damaged; {_REMEDY}")
    other = sorted(str(key) for key in {**before, **settings} if before.get(key) != settings.get(key))
    if other:
        told = "; ".join(f"{key} was {tamed(before.get(key))}, now {tamed(settings.get(key))}" for key in other)
        raise CheckpointError(f"{path} is of another configuration: {told}. Resume with that one, or {_REMEDY}")
    arrays = ArrayRecord({name: Array(tensor.numpy()) for name, tensor in saved["arrays"].items()})
    mark = saved.get("mark", "")
    return Saved(
        mark=mark if isinstance(mark, str) else "",
        round=saved["round"],
        arrays=arrays,
        aggregator=saved["aggregator"],
        optimiser=saved["optimiser"],
    )


def restore(strategy: FedAvg, saved: Saved, path: Path) -> None:
    """Give a strategy what its optimiser remembered: what it has a name for, of the model's shapes, and nothing else.

    Raises:
        CheckpointError: the file names anything else.
    """
    shapes = {name: tuple(array.shape) for name, array in saved.arrays.items()}
    for name, value in saved.optimiser.items():
        known = name in (*_BY_NAME, _BY_PLACE) and hasattr(strategy, name)
        if known and name != _BY_PLACE and _are_tensors(value) and _shapes(value) == shapes:
            setattr(strategy, name, {key: _array(tensor) for key, tensor in value.items()})
        elif known and name == _BY_PLACE and isinstance(value, list) and _placed(value) == list(shapes.values()):
            setattr(strategy, name, [_array(tensor) for tensor in value])
        else:
            raise CheckpointError(
                f"{path}: {tamed(name)} is nothing that {type(strategy).__name__} remembers of this model; {_REMEDY}"
            )


def check_same(kept: ArrayRecord, given: ArrayRecord) -> None:
    """Raise ValueError if a model is another one than that of the last round, by names, shapes or dtypes."""
    before, now = _types(kept), _types(given)
    other = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if other:
        name = other[0]
        raise ValueError(
            f"the model has other arrays than the one that this strategy's last round or checkpoint left: "
            f"{tamed(name)} was {before.get(name, 'not there')}, now {now.get(name, 'not there')}"
            + (f", and {len(other) - 1} more" if len(other) > 1 else "")
            + "; give the checkpoint another place for another model"
        )


def check_goes_on(path: Path, kept: ArrayRecord | None, given: ArrayRecord) -> None:
    """Raise ValueError if a run starts from another model than the checkpoint's, which it would replace."""
    if kept is not None and any(kept[name].data != array.data for name, array in given.items()):
        raise ValueError(
            f"{path} has another model than the one that this run starts from, and would be replaced: put "
            "Screened(...) around all strategies, whose start goes on from there; or start from strategy.arrays; "
            "or say fresh=True"
        )


def check_not_there(path: Path) -> None:
    """Raise CheckpointError if there is a checkpoint that a run in its first round would replace."""
    if path.exists():
        raise CheckpointError(
            f"{path} is there by now, and was not when this strategy was made: make the strategy anew to go on from "
            "it, say fresh=True to replace it, or give this federation another place"
        )


def check_place(path: Path) -> None:
    """Try whether a checkpoint can be written there, before a round is spent on it.

    Raises:
        CheckpointError: it cannot.
    """
    try:
        check_folder(path)
        with TemporaryFile(dir=path.parent) as trial:
            trial.write(b"0")
            trial.flush()
    except NoFolderError as error:
        raise CheckpointError(f"{path} cannot be written: {error.strerror}") from error
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be written: {error.strerror}; give this federation another place"
        ) from error


def optimiser_settings(strategy: FedAvg) -> dict[str, Any]:
    """The numbers, words and flags that a strategy was made with, without how many nodes it asks for."""
    return {
        f"{type(strategy).__name__}.{name}": value
        for name, value in sorted(vars(strategy).items())
        if isinstance(value, int | float | str) and not name.startswith(("fraction_", "min_", "_"))
    }


def memory_of(strategy: FedAvg) -> dict[str, Any]:
    """What a strategy's optimiser remembers, by attribute; it replaces these and changes none in place."""
    return {name: vars(strategy)[name] for name in (*_BY_NAME, _BY_PLACE) if name in vars(strategy)}


def finite_memory(strategy: FedAvg) -> bool:
    """Whether all that a strategy's optimiser remembers is finite."""
    for kept in memory_of(strategy).values():
        arrays = kept.values() if isinstance(kept, Mapping) else kept or ()
        if not all(np.isfinite(array).all() for array in arrays):
            return False
    return True


def _optimiser(strategy: FedAvg) -> dict[str, Any]:
    return {
        name: {key: _tensor(array) for key, array in kept.items()}
        if isinstance(kept, Mapping)
        else [_tensor(array) for array in kept]
        for name, kept in memory_of(strategy).items()
        if kept
    }


def _are_tensors(value: object) -> bool:
    """Whether this is a table of tensors that NumPy knows, by name."""
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and isinstance(tensor, Tensor) and tensor.dtype not in _UNKNOWN
        for name, tensor in value.items()
    )


def _shapes(value: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in value.items()}


def _placed(value: list[Any]) -> list[tuple[int, ...]]:
    return [tuple(tensor.shape) if isinstance(tensor, Tensor) else () for tensor in value]


def _types(arrays: ArrayRecord) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {name: (array.dtype, tuple(array.shape)) for name, array in arrays.items()}


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array))


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.numpy()
