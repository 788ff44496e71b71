"""The examples of the contributing guide run as they are printed."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch

import fedward as fw

ROOT = Path(__file__).parents[2]


def blocks(file: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / file).read_text(encoding="utf-8"), flags=re.DOTALL)


def test_contributing() -> None:
    rule, check, _, attack = blocks("CONTRIBUTING.md")
    scope: dict[str, object] = {
        "__name__": __name__,
        "my_numpy_function": lambda G: G[np.argsort(np.linalg.norm(G, axis=1), kind="stable")[: len(G) - 2]].mean(0),
    }
    exec(rule, scope)
    scope["fw"] = fw
    exec(check, scope)
    exec(attack, scope)
    rows = torch.tensor([[1.0], [2.0], [30.0]])
    torch.testing.assert_close(fw.build("short-rows", f=1)(rows), torch.tensor([1.5]))
    as_function = fw.attack(lambda honest, own: 3 * honest.mean(0))
    torch.testing.assert_close(fw.build("overshoot")(rows, rows[:2]), as_function(rows, rows[:2]))
