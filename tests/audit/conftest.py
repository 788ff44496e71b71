"""An auditor's folder: twelve clients and the model they started from, of which some are not what they should be."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from fedward.cli import display

METADATA = {"made": "by a test"}
EXPECTED = {
    "client-0": "accepted",
    "client-1": "accepted",
    "client-2": "accepted",
    "client-3": "sign-outlier",
    "client-4": "accepted",
    "client-5": "nonfinite",
    "client-6": "malformed",
    "client-7": "norm-too-large",
    "client-8": "malformed",
    "client-9": "accepted",
    "client-10": "accepted",
    "client-11": "accepted",
}
"""What SignGuard and the panel say of them."""


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(display.out, "width", 120)


def base_model() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "conv.weight": torch.randn(16, 3, 3, 3, generator=generator),
        "conv.bias": torch.randn(16, generator=generator),
        "fc.weight": 0.3 * torch.randn(128, 800, generator=generator),
        "fc.bias": torch.zeros(128),
    }


def changes(n: int = 12) -> list[dict[str, Tensor]]:
    """What honest clients change: a common part, and one of their own."""
    generator = torch.Generator().manual_seed(2)
    shapes = {name: tensor.shape for name, tensor in base_model().items()}
    common = {name: 0.01 * (torch.randn(shape, generator=generator) + 0.3) for name, shape in shapes.items()}
    return [
        {name: common[name] + 0.012 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
        for _ in range(n)
    ]


def twelve(folder: Path) -> Path:
    """Sign flipped (3), NaN (5), truncated (6), scaled tenfold (7), a wrong shape (8), a .pt in a dictionary (10)."""
    base = base_model()
    save_file(base, folder / "base.safetensors", metadata=METADATA)
    updates = folder / "updates"
    updates.mkdir()
    for i, change in enumerate(changes()):
        factor = {3: -1.0, 7: 10.0}.get(i, 1.0)
        weights = {name: base[name] + factor * change[name] for name in base}
        path = updates / f"client-{i}.safetensors"
        if i == 5:
            weights["fc.weight"][3, 4] = torch.nan
        if i == 8:
            weights["fc.bias"] = torch.zeros(127)
        if i == 10:
            torch.save({"model": weights, "epoch": 3}, path.with_suffix(".pt"))
            continue
        save_file(weights, path)
        if i == 6:
            path.write_bytes(path.read_bytes()[:5000])
    return updates


@pytest.fixture
def updates(tmp_path: Path) -> Path:
    return twelve(tmp_path)
