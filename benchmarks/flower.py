"""Flower federations under hostile replies: fedward's strategy beside Flower's own, the same app, data and nodes.

    python benchmarks/flower.py --rounds 20 --json results/flower/flower.json

Ten nodes train the model of examples/flower-signguard in one process, with Flower's ClientApp and strategies; two of
them send, in turn, what the rows of the table say. A cell is the accuracy at the end, as mean of the last five rounds,
or the round in which the run ended with an exception. Then the same with BatchNorm behind the hidden layer, and nodes
that lie about running statistics as well.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Any

import flwr
import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg, FedMedian, FedTrimmedAvg, MultiKrum, Strategy
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "flower-signguard"))
from signguard_app import client, task

from fedward import attacks
from fedward.experiments.versions import versions
from fedward.flower import RobustFedAvg, hostile
from fedward.flower.testing import InProcess
from fedward.sim.running import Forge

NODES, BYZANTINE, LAST = 10, 2, 5
CONFIG = {"nodes": NODES, "byzantine": 0, "attack": "no-attack", "lr": 0.03, "batch-size": 50}
BROKEN = {
    "wrong shapes": "wrong-shape",
    "NaN": "nan",
    "1e30": "huge",
    "an extra record": "extra-metrics",
    "num-examples = 1e12": "many-examples",
}
ATTACKS = ("none", *BROKEN, "-10 x own update", "-10 x, num-examples = 1e12", "nothing at all", "an error")
STRATEGIES: Mapping[str, Callable[[], Strategy]] = {
    "fedward SignGuard": lambda: RobustFedAvg(rule="sign-guard", fraction_evaluate=0.0),
    "fedward MultiKrum": lambda: RobustFedAvg(rule="multi-krum:f=2", fraction_evaluate=0.0),
    "fedward Median": lambda: RobustFedAvg(rule="median", fraction_evaluate=0.0),
    "Flower FedAvg": lambda: FedAvg(fraction_evaluate=0.0),
    "Flower FedMedian": lambda: FedMedian(fraction_evaluate=0.0),
    "Flower FedTrimmedAvg": lambda: FedTrimmedAvg(beta=0.2, fraction_evaluate=0.0),
    "Flower MultiKrum": lambda: MultiKrum(num_malicious_nodes=2, num_nodes_to_select=6, fraction_evaluate=0.0),
}
PLAIN, NORM = "plain", "BatchNorm"
NORM_ATTACKS = ("none", "NaN", "-10 x own update", "-10 x, statistics too", "statistics of 1e30", "negative variances")
LIES = {"statistics of 1e30": "huge-statistics", "negative variances": "negative-variances"}
NORM_STRATEGIES: Mapping[str, Callable[[], Strategy]] = {
    **{
        f"fedward {name}": partial(RobustFedAvg, rule=rule, batch_norm="robust", fraction_evaluate=0.0)
        for name, rule in {
            "SignGuard": "sign-guard",
            "MultiKrum": "multi-krum:f=2",
            "Median": "median",
            "DnC": "dnc:f=2",
            "FLAME": "flame",
        }.items()
    },
    **{name: make for name, make in STRATEGIES.items() if name.startswith("Flower")},
}


def norm_model() -> nn.Module:
    """The example's model with BatchNorm behind its hidden layer, the same weights everywhere."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10))


def train_with_norm(message: Message, context: Context) -> Message:
    """An epoch of the example's training, with that model."""
    config, partition = context.run_config, int(context.node_config["partition-id"])
    inputs, labels = task.shard(int(config["nodes"]), partition)
    model = norm_model()
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    seed = 1000 * int(message.content["config"]["server-round"]) + partition
    loss = task.train(model, inputs, labels, float(config["lr"]), int(config["batch-size"]), seed)
    metrics = MetricRecord({"num-examples": len(labels), "loss": loss})
    return Message(RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": metrics}), reply_to=message)


def app(attack: str, model: str) -> ClientApp:
    """The example's app with the given attack in it."""

    def lies(context: Any) -> bool:
        return bool(context.node_config["partition-id"] < BYZANTINE)

    mods: list[Any] = []
    if how := {**BROKEN, **LIES}.get(attack):
        mods = [hostile.reply_mod(how, lies)]
    elif attack == "an error":
        mods = [hostile.reply_mod("crash", lies)]
    elif attack.startswith("-10"):
        forge: Forge = "both" if "statistics" in attack else "rows"
        mods = [hostile.update_mod(attacks.SignFlip(scale=10), lies, forge=forge)]
        mods += [hostile.reply_mod("many-examples", lies)] * ("1e12" in attack)
    made = ClientApp(mods=mods)
    made.train()(train_with_norm if model == NORM else client.train_on_own_images)
    return made


def run(strategy: str, attack: str, rounds: int, model: str = PLAIN) -> dict[str, Any]:
    """One federation, whatever becomes of it."""
    logging.getLogger("flwr").setLevel(logging.CRITICAL)
    torch.set_num_threads(1)
    test = task.load_data(NODES).dataset.test
    accuracies: list[float] = []
    make, strategies = (norm_model, NORM_STRATEGIES) if model == NORM else (task.make_model, STRATEGIES)

    def evaluate(number: int, arrays: ArrayRecord) -> MetricRecord:
        tested = make()
        tested.load_state_dict(arrays.to_torch_state_dict())
        tested.eval()
        accuracies.append(task.accuracy(tested, test.inputs, test.labels))
        return MetricRecord({"accuracy": accuracies[-1]})

    silent = attack == "nothing at all"
    grid = InProcess(
        app(attack, model),
        nodes=range(1, NODES + 1),
        run_config=CONFIG,
        lost=lambda node, round: silent and node <= BYZANTINE,
    )
    start, error = time.perf_counter(), None
    try:
        initial = ArrayRecord(make().state_dict())
        strategies[strategy]().start(grid, initial, num_rounds=rounds, evaluate_fn=evaluate)
    except Exception as raised:  # what ends a run is what is looked for here
        error = f"{type(raised).__name__}: {raised}"
    return {
        "strategy": strategy,
        "attack": attack,
        **({"model": model} if model != PLAIN else {}),
        "accuracies": [round(value, 5) for value in accuracies],
        "error": error,
        "seconds": round(time.perf_counter() - start, 2),
    }


def cell(found: Mapping[str, Any]) -> str:
    """A run in a word."""
    rounds = len(found["accuracies"]) - 1  # the first is of the initial model
    if found["error"] is not None:
        return f"ended in round {rounds + 1}"
    return f"{100 * fmean(found['accuracies'][-LAST:]):.1f}"


def table(runs: list[dict[str, Any]], model: str = PLAIN) -> str:
    """Attacks by strategies, in Markdown."""
    cells = {(r["attack"], r["strategy"]): cell(r) for r in runs if r.get("model", PLAIN) == model}
    names, tried = (NORM_STRATEGIES, NORM_ATTACKS) if model == NORM else (STRATEGIES, ATTACKS)
    lines = [f"| 2 of 10 nodes send | {' | '.join(names)} |", f"|{'---|' * (len(names) + 1)}"]
    lines += [f"| {a} | {' | '.join(cells[a, s] for s in names)} |" for a in tried]
    return "\n".join(lines)


def main() -> None:
    """Run all, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    jobs = [(s, a, PLAIN) for a in ATTACKS for s in STRATEGIES]
    jobs += [(s, a, NORM) for a in NORM_ATTACKS for s in NORM_STRATEGIES]
    runs = []
    with ProcessPoolExecutor(given.processes, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(run, s, a, given.rounds, model) for s, a, model in jobs]
        for number, future in enumerate(futures, 1):
            runs.append(future.result())
            print(
                f"{number}/{len(jobs)} {runs[-1]['strategy']}, {runs[-1]['attack']}: {cell(runs[-1])}", file=sys.stderr
            )
    print(table(runs), table(runs, NORM), sep="\n\n")
    for one in runs:
        if one["error"]:
            print(f"{one['strategy']}, {one['attack']}: {one['error'][:200]}")
    if given.json:
        made_by = {"flwr": flwr.__version__, **versions("flower")}
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps({"rounds": given.rounds, "versions": made_by, "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
