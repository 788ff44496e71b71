"""A job for NVFlare's simulator: three sites move a model towards 1, the first one far the other way. Run by a test.

``python job.py FOLDER``: prints the model in the end.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from nvflare.app_opt.pt.recipes.fedavg import FedAvgRecipe
from nvflare.recipe import SimEnv
from torch import nn

from fedward.nvflare import RobustAggregator

CLIENT = """
import nvflare.client as flare
import torch

flare.init()
name = flare.get_site_name()
while flare.is_running():
    model = flare.receive()
    way = -100 if name == "site-1" else 1 + int(name[-1]) / 100
    params = {k: torch.as_tensor(v) for k, v in model.params.items()}
    moved = {k: v + 0.5 * (way - v) for k, v in params.items()}
    flare.send(flare.FLModel(params=moved, metrics={"accuracy": 0.5}, meta={"NUM_STEPS_CURRENT_ROUND": 1}))
"""


def main() -> None:
    folder = Path(sys.argv[1])
    script = folder / "client.py"
    script.write_text(CLIENT)
    recipe = FedAvgRecipe(
        name="robust",
        model=nn.Linear(3, 2),
        min_clients=3,
        num_rounds=2,
        train_script=str(script),
        aggregator=RobustAggregator(rule="median"),
    )
    run = recipe.execute(SimEnv(num_clients=3, num_threads=3, workspace_root=str(folder / "work")))
    (found,) = Path(run.get_result()).rglob("FL_global_model.pt")
    print("the model:", torch.load(found, weights_only=False)["model"])


if __name__ == "__main__":
    main()
