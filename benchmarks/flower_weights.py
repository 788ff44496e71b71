"""Means that go by claimed sizes, under attack: the table of docs/how-to/flower.md.

    python benchmarks/flower_weights.py --write

Ten nodes hold the packaged images in very different numbers (quantity-skew:sigma=1) and train a linear model for ten
rounds of ten steps, with Flower's ClientApp and strategies in one process; two of them attack. A cell is the test
accuracy after the last round, one seed.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from flwr.app import ArrayRecord, Context
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg, Strategy
from torch import nn

from fedward import attacks, clients, sim
from fedward.flower import RobustFedAvg, hostile, train_with
from fedward.flower.testing import InProcess

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "flower.md"
MARKS = "<!-- weights -->", "<!-- /weights -->"
NODES, BYZANTINE, ROUNDS = 10, 2, 10
RECIPE = "clip-norm:radius=median >> mean:weighted=true"
QUIET: Mapping[str, Any] = {"fraction_evaluate": 0.0}
STRATEGIES: Mapping[str, Callable[[], Strategy]] = {
    "Flower FedAvg": lambda: FedAvg(**QUIET),
    "`mean:weighted=true`, `max_share=1`": lambda: RobustFedAvg(rule="mean:weighted=true", max_share=1, **QUIET),
    "`mean:weighted=true`, `max_share=0.15`": lambda: RobustFedAvg(rule="mean:weighted=true", max_share=0.15, **QUIET),
    "size-weighted and norm-clipped, `max_share=0.25`": lambda: RobustFedAvg(rule=RECIPE, max_share=0.25, **QUIET),
    "the same, `max_share=0.15`": lambda: RobustFedAvg(rule=RECIPE, max_share=0.15, **QUIET),
    "`clip-mean`, sizes not counted": lambda: RobustFedAvg(rule="clip-mean", **QUIET),
}
ATTACKS = {
    "none of this": (),
    "num-examples = 1e12": ("claim",),
    "-10 x own update": ("turn",),
    "-10 x, num-examples = 1e12": ("turn", "claim"),
}


def data() -> sim.FederatedData:
    """The packaged images, dealt in very different numbers."""
    return sim.federate(sim.load("fashion-mnist-subset"), NODES, sim.QuantitySkew(sigma=1.0))


def net() -> nn.Module:
    """The same weights everywhere."""
    torch.manual_seed(0)
    return sim.build_model("linear")


def accuracy(strategy: Strategy, attack: tuple[str, ...], held: sim.FederatedData) -> float:
    """Of the last model of a federation."""

    def prepare(context: Context) -> tuple[nn.Module, clients.Shard]:
        shard = held.shards[int(context.node_config["partition-id"])]
        return net(), clients.Shard(held.dataset.train.inputs, held.dataset.train.labels, shard)

    def lies(context: Context) -> bool:
        return int(context.node_config["partition-id"]) < BYZANTINE

    made = {
        "turn": hostile.update_mod(attacks.SignFlip(scale=10), lies),
        "claim": hostile.reply_mod("many-examples", lies),
    }
    app = ClientApp(mods=[made[how] for how in attack])
    app.train()(train_with(clients.LocalSGD(steps=10, batch_size=32, lr=0.05), prepare))
    start = ArrayRecord(dict(net().state_dict()))
    result = strategy.start(InProcess(app, range(1, NODES + 1)), start, num_rounds=ROUNDS)
    model, test = net(), held.dataset.test
    model.load_state_dict(result.arrays.to_torch_state_dict())
    with torch.inference_mode():
        return float((model(test.inputs).argmax(1) == test.labels).float().mean())


def table() -> str:
    """Attacks by strategies, in Markdown."""
    held = data()
    rows = [f"| 2 of 10 nodes send | {' | '.join(STRATEGIES)} |", f"|{'---|' * (len(STRATEGIES) + 1)}"]
    for name, attack in ATTACKS.items():
        cells = [f"{100 * accuracy(make(), attack, held):.1f}" for make in STRATEGIES.values()]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows)


def main() -> None:
    """Print the table, or write it into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="into docs/how-to/flower.md")
    logging.getLogger("flwr").setLevel(logging.CRITICAL)
    torch.set_num_threads(1)
    given = parser.parse_args()
    found = table()
    print(found)
    if given.write:
        text = PAGE.read_text(encoding="utf-8")
        before, rest = text.split(MARKS[0])
        after = rest.split(MARKS[1])[1]
        PAGE.write_text(f"{before}{MARKS[0]}\n{found}\n{MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
