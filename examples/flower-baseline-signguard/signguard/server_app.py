"""The server: SGD with momentum on what a rule makes of the gradients."""

from typing import Any

from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvgM

import fedward
from fedward.flower import Robust

from .attackers import Omniscient
from .dataset import load_data
from .model import accuracy, make_model

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """One cell of a table."""
    found = cell(grid, context.run_config)
    print(f"best test accuracy: {100 * max(found.values()):.2f} % (of {len(found)}, round by round {found})")


def cell(grid: Any, config: Any) -> dict[int, float]:
    """Train; test accuracy by round."""
    name, seed, every = str(config["model"]), int(config["seed"]), int(config["evaluate-every"])
    data = load_data(str(config["data"]), str(config["data-path"]), int(config["clients"]), seed)
    rounds = int(config["rounds"])
    found: dict[int, float] = {}

    def evaluate(number: int, arrays: ArrayRecord) -> MetricRecord | None:
        if number % every and number != rounds:
            return None
        model = make_model(name, seed)
        model.load_state_dict(arrays.to_torch_state_dict())
        found[number] = accuracy(model, data.dataset.test)
        return MetricRecord({"accuracy": found[number]})

    clients = int(config["clients"])
    nodes = {"fraction_evaluate": 0.0, "min_train_nodes": clients, "min_available_nodes": clients}
    optimiser = FedAvgM(server_learning_rate=1.0, server_momentum=float(config["momentum"]), **nodes)
    strategy = Robust(optimiser, rule=str(config["rule"]), seed=seed, on_skip="warn")
    attack = fedward.parse(str(config["attack"]), "attack")
    adversary = Omniscient(grid, attack, int(config["byzantine"]), float(config["lr"]), seed)
    initial = ArrayRecord(make_model(name, seed).state_dict())
    strategy.start(adversary, initial, num_rounds=rounds, evaluate_fn=evaluate)  # type: ignore[arg-type]
    return found
