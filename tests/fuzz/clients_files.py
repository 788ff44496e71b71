"""Clients' checkpoints of every format, with bytes changed, cut out, repeated and moved: always a verdict."""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save, save_file
from torch import Tensor

from fedward.audit import AuditError, ModelSource, run_audit
from fedward.core import Rule
from fedward.registry.notation import parse
from tests.fuzz.table import Tried

SURFACE = "clients' checkpoints"
WEIGHT = 0.2
_LONGEST = 20.0
_EDGES = (b"\x00", b"\xff", b"\x80", b"{", b"}", b"[" * 50, b"nan", b"-1", b"9" * 20, b"\x7f\xff\xff\xff", b"\xff" * 8)


def try_inputs(count: int, seed: int) -> Tried:
    """Spoil one client among four, and see that a verdict on it comes back, and the same on the others."""
    chance = random.Random(seed)
    tried = Tried()
    rule = parse("clip-mean", "rule")
    assert isinstance(rule, Rule)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        save_file(_model(0), folder / "base.safetensors")
        good = []
        for k in range(3):
            good.append(folder / f"good-{k}.safetensors")
            save_file(_model(k + 1), good[-1])
        sound = _files(folder)
        for number in range(count):
            name = chance.choice(sorted(sound))
            content = _spoilt(sound[name], chance)
            odd = folder / f"odd-{number}"
            odd.mkdir()
            for other, kept in _beside(name).items():
                (odd / other).write_bytes(kept)
            (odd / name).write_bytes(content)
            told = f"seed {seed}, input {number}, {name}"
            start = time.monotonic()
            try:
                source = ModelSource(clients=[*good, odd], base=folder / "base.safetensors")
                found = run_audit(source, [rule])
                if len(found.names) < 4 or not all(found.accepted[:3]):
                    tried.silent.append(f"{told}: {found.names} {found.accepted}")
            except AuditError as error:
                tried.silent.append(f"{told}: nobody has a verdict ({error})")
            except Exception as error:
                tried.crashes.append(f"{told}: {type(error).__name__}: {error}")
            if time.monotonic() - start > _LONGEST:
                tried.hangs.append(told)
            tried.inputs += 1
    return tried


def _model(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {"w": torch.randn(6, 5, generator=generator), "b": torch.randn(5, generator=generator)}


def _files(folder: Path) -> Mapping[str, bytes]:
    model = _model(9)
    torch.save({"model": model, "epoch": 3}, folder / "x.pt")
    arrays = {name: tensor.numpy() for name, tensor in model.items()}
    np.savez(folder / "x.npz", **arrays)  # type: ignore[arg-type]
    np.savez_compressed(folder / "y.npz", **arrays)  # type: ignore[arg-type]
    config = json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "alpha_pattern": {"l": 2}})
    return {
        "model.safetensors": save(model),
        "model.pt": (folder / "x.pt").read_bytes(),
        "stored.npz": (folder / "x.npz").read_bytes(),
        "packed.npz": (folder / "y.npz").read_bytes(),
        "m.safetensors.index.json": json.dumps({"weight_map": {"w": "a.safetensors", "b": "a.safetensors"}}).encode(),
        "adapter_config.json": config.encode(),
    }


def _beside(name: str) -> Mapping[str, bytes]:
    """What a client's folder has besides."""
    if name.endswith(".index.json"):
        return {"a.safetensors": save(_model(9))}
    if name == "adapter_config.json":
        return {
            "adapter_model.safetensors": save(
                {"l.lora_A.weight": torch.ones(2, 5), "l.lora_B.weight": torch.ones(6, 2)}
            )
        }
    return {}


def _spoilt(content: bytes, chance: random.Random) -> bytes:
    """A few changes, most of them near the beginning, where headers are."""
    spoilt = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        reach = len(spoilt) if chance.random() < 0.4 else min(len(spoilt), 200)
        at = chance.randrange(reach) if reach else 0
        way = chance.randrange(6)
        if way == 0 and spoilt:
            spoilt[at] ^= 1 << chance.randrange(8)
        elif way == 1:
            edge = chance.choice(_EDGES)
            spoilt[at : at + len(edge)] = edge
        elif way == 2:
            spoilt[at:at] = chance.choice(_EDGES)
        elif way == 3:
            del spoilt[at : at + chance.choice((1, 8, 100))]
        elif way == 4:
            del spoilt[at:]
        else:
            start = chance.randrange(len(spoilt)) if spoilt else 0
            spoilt[at:at] = spoilt[start : start + chance.choice((4, 64, 500))]
    return bytes(spoilt)
