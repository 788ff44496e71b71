"""Checkpoints, damaged and crafted: a simulation resumes from a sound one, or says what is wrong."""

from __future__ import annotations

import io
import random
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedward.sim import CheckpointError
from fedward.sim.checkpoint import load_checkpoint, save_checkpoint
from fedward.sim.progress import SAVED, Progress
from tests.fuzz.mutations import ODD, attempt, damaged, in_time
from tests.fuzz.run_folders import ROUNDS, in_memory
from tests.fuzz.table import Tried

SURFACE = "checkpoints"
WEIGHT = 0.5
IDENTITY = {"rule": "Mean()", "seed": 0, "threads": [1, 2], "model": "x" * 200}


def sound() -> dict[str, Any]:
    """What a checkpoint holds."""
    return {
        "round": 2,
        "parameters": torch.arange(4.0),
        "velocity": None,
        "server_state": {"m": torch.ones(4)},
        "told": {},
        "buffers": torch.zeros(2),
        "rule_state": {"previous": torch.ones(4)},
        "attack_state": {},
        "client_states": {0: {"momentum": torch.ones(4)}},
        "late": {1: {"row": torch.ones(4), "loss": 0.5, "messages": {"num-examples": 3}, "buffers": None}},
        "records": ROUNDS[:2],
    }


def bomb() -> list[Any]:
    """A list that is small in a file, and endless for whoever goes through it."""
    held: list[Any] = [0, 0]
    for _ in range(60):
        held = [held, held]
    return held


CRAFTED: tuple[Any, ...] = (
    *ODD,
    torch.zeros(1).expand(1 << 40),
    torch.zeros(3, dtype=torch.int64),
    torch.tensor(float("nan")),
    torch.zeros(2, 2).to_sparse(),
    torch.zeros(0),
    bomb(),
    (1, 2),
    {1: 2},
    {(1, 2): torch.ones(1)},
)


def try_inputs(count: int, seed: int) -> Tried:
    """So many checkpoints."""
    rng = random.Random(seed)
    tried = Tried()
    with tempfile.TemporaryDirectory(dir=in_memory()) as name:
        path = Path(name) / "checkpoint.pt"
        save_checkpoint(path, IDENTITY, sound())
        content = path.read_bytes()
        for number in range(count):
            path.write_bytes(_file(rng, content))

            def work() -> str | None:
                with in_time():
                    saved = load_checkpoint(path, IDENTITY, SAVED)
                    try:
                        return _unsound(Progress.of_saved(saved, torch.device("cpu")))
                    except ValueError as error:  # which a simulation says with the name of the file
                        raise CheckpointError(str(error)) from error

            attempt(tried, f"seed {seed}, checkpoint {number}", work, (CheckpointError,))
    return tried


def _file(rng: random.Random, content: bytes) -> bytes:
    way = rng.random()
    if way < 0.35:
        return damaged(rng, content)
    if way < 0.6:
        return _repacked(rng, content)
    held = {"format": 2, "identity": IDENTITY, **sound()}
    for _ in range(rng.choice((1, 1, 2))):
        _spoil(rng, held)
    out = io.BytesIO()
    torch.save(held, out)
    return out.getvalue()


def _spoil(rng: random.Random, held: dict[Any, Any]) -> None:
    key = rng.choice(list(held) or [0])
    inner = held.get(key)
    if isinstance(inner, dict) and inner and rng.random() < 0.6:
        held[key] = dict(inner)
        _spoil(rng, held[key])
    elif isinstance(inner, list) and inner and isinstance(inner[0], dict) and rng.random() < 0.6:
        first = dict(inner[0])
        _spoil(rng, first)
        held[key] = [first, *inner[1:]]
    elif rng.random() < 0.2:
        del held[key]
    else:
        held[key] = rng.choice(CRAFTED)


def _repacked(rng: random.Random, content: bytes) -> bytes:
    """The same archive with sound checksums, and something wrong within."""
    out = io.BytesIO()
    compressed = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(out, "w", compressed) as target:
        chosen = rng.choice(source.namelist())
        for name in source.namelist():
            held = source.read(name)
            if name == chosen:
                held = damaged(rng, held) if rng.random() < 0.9 else bytes(1 << 20)
            target.writestr(name, held)
    return out.getvalue()


def _unsound(progress: Progress) -> str | None:
    if not isinstance(progress.round, int) or progress.round < 0:
        return f"round {progress.round!r}"
    for name in ("parameters", "velocity", "buffers"):
        value = getattr(progress, name)
        if not (isinstance(value, Tensor) or (value is None and name != "parameters")):
            return f"{name} is {type(value).__name__}"
    states = [progress.server_state, progress.told, progress.rule_state, progress.attack_state]
    for state in (*states, *progress.client_states.values()):
        if not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()):
            return f"a state that is none: {state}"
    return None
