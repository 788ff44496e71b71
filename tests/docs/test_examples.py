"""The examples of the README and the contributing guide run as they are printed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import fedward as fw

ROOT = Path(__file__).parents[2]


def blocks(file: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / file).read_text(encoding="utf-8"), flags=re.DOTALL)


def test_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    use, train, on_disk = blocks("README.md")
    scope: dict[str, object] = {}
    exec(use, scope)
    assert "reason" in capsys.readouterr().out
    assert scope["forged"].shape == (10, 51_710)
    shorter = train.replace('"fashion-mnist"', '"fashion-mnist-subset"').replace("rounds=1200", "rounds=2")
    assert shorter.count("subset") == shorter.count("rounds=2") == 1
    exec(shorter, scope)
    assert capsys.readouterr().out.splitlines()[-1].startswith("2 0.")
    Path("updates").mkdir()
    base = torch.randn(500)
    save_file({"w": base}, "base.safetensors")
    for client in range(9):
        save_file({"w": base + 0.01 * torch.randn(500)}, f"updates/{client}.safetensors")
    exec(on_disk, scope)
    assert capsys.readouterr().out.splitlines()[2].startswith("0 ")


def test_contributing() -> None:
    rule, check, _ = blocks("CONTRIBUTING.md")
    scope: dict[str, object] = {
        "__name__": __name__,
        "my_numpy_function": lambda G: G[np.argsort(np.linalg.norm(G, axis=1), kind="stable")[: len(G) - 2]].mean(0),
    }
    exec(rule, scope)
    scope["fw"] = fw
    exec(check, scope)
    rows = torch.tensor([[1.0], [2.0], [30.0]])
    torch.testing.assert_close(fw.build("short-rows", f=1)(rows), torch.tensor([1.5]))
