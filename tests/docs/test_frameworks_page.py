"""The snippets of the page about other frameworks run as they are printed; NVFlare's is run by its own test."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "how-to" / "frameworks.md").read_text(), flags=re.DOTALL)


def test_a_list_as_fedml_gives_it(capsys: Any) -> None:
    scope: dict[str, Any] = {}
    exec(BLOCKS[1], scope)
    before = {"weight": torch.ones(3), "running_mean": torch.zeros(3), "num_batches_tracked": torch.tensor(3)}

    def sent(step: float) -> dict[str, torch.Tensor]:
        return {**before, "weight": before["weight"] + step}

    clients = [(10 + k, sent(1 + k / 100)) for k in range(8)]
    clients += [(10**9, sent(-100.0)), (5, {"weight": torch.ones(4)})]
    made = scope["aggregate"](clients, before)
    assert bool(((made["weight"] > 1.9) & (made["weight"] < 2.1)).all())
    assert made.keys() == before.keys()
    table = capsys.readouterr().out
    assert "malformed" in table
    assert "far" in table


def test_a_tensor_at_a_time_as_openfl_gives_it() -> None:
    scope: dict[str, Any] = {}
    exec(BLOCKS[2], scope)
    tensors = [np.full((2, 3), value, np.float32) for value in (1, 2, 3, 4, 1e9)]
    made = scope["call"]([SimpleNamespace(tensor=tensor) for tensor in tensors], None, "weight", 0, ())
    np.testing.assert_array_equal(made, np.full((2, 3), 3, np.float32), strict=True)


def test_nvflares_line_is_the_one_that_is_run() -> None:
    compile(BLOCKS[0], "docs/how-to/frameworks.md", "exec")
    job = (ROOT / "tests" / "flare" / "job.py").read_text()
    for text in (BLOCKS[0], job):
        assert "from nvflare.app_opt.pt.recipes.fedavg import FedAvgRecipe" in text
        assert "from fedward.nvflare import RobustAggregator" in text
        assert re.search(r"train_script=.*\n +aggregator=RobustAggregator\(rule=", text)
    assert len(BLOCKS) == 3
