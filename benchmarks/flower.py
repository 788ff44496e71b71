"""Flower federations under hostile replies: fedward's strategy beside Flower's own, the same app, data and nodes.

    python benchmarks/flower.py --rounds 20 --json results/flower/flower.json

Ten nodes train the model of examples/flower-signguard in one process, with Flower's ClientApp and strategies; two of
them send, in turn, what the rows of the table say. A cell is the accuracy at the end, as mean of the last five rounds,
or the round in which the run ended with an exception.
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
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Any

import flwr
import torch
from flwr.app import ArrayRecord, MetricRecord
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg, FedMedian, FedTrimmedAvg, MultiKrum, Strategy

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "flower-signguard"))
from signguard_app import client, task

from fedward import attacks
from fedward.experiments.versions import versions
from fedward.flower import RobustFedAvg, hostile
from fedward.flower.testing import InProcess

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


def app(attack: str) -> ClientApp:
    """The example's app with the given attack in it."""

    def lies(context: Any) -> bool:
        return bool(context.node_config["partition-id"] < BYZANTINE)

    mods: list[Any] = []
    if attack in BROKEN:
        mods = [hostile.reply_mod(BROKEN[attack], lies)]
    elif attack == "an error":
        mods = [hostile.reply_mod("crash", lies)]
    elif attack.startswith("-10"):
        mods = [hostile.update_mod(attacks.SignFlip(scale=10), lies)]
        mods += [hostile.reply_mod("many-examples", lies)] * ("1e12" in attack)
    made = ClientApp(mods=mods)
    made.train()(client.train_on_own_images)
    return made


def run(strategy: str, attack: str, rounds: int) -> dict[str, Any]:
    """One federation, whatever becomes of it."""
    logging.getLogger("flwr").setLevel(logging.CRITICAL)
    torch.set_num_threads(1)
    test = task.load_data(NODES).dataset.test
    accuracies: list[float] = []

    def evaluate(number: int, arrays: ArrayRecord) -> MetricRecord:
        model = task.make_model()
        model.load_state_dict(arrays.to_torch_state_dict())
        accuracies.append(task.accuracy(model, test.inputs, test.labels))
        return MetricRecord({"accuracy": accuracies[-1]})

    silent = attack == "nothing at all"
    grid = InProcess(
        app(attack),
        nodes=range(1, NODES + 1),
        run_config=CONFIG,
        lost=lambda node, round: silent and node <= BYZANTINE,
    )
    start, error = time.perf_counter(), None
    try:
        initial = ArrayRecord(task.make_model().state_dict())
        STRATEGIES[strategy]().start(grid, initial, num_rounds=rounds, evaluate_fn=evaluate)
    except Exception as raised:  # what ends a run is what is looked for here
        error = f"{type(raised).__name__}: {raised}"
    return {
        "strategy": strategy,
        "attack": attack,
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


def table(runs: list[dict[str, Any]]) -> str:
    """Attacks by strategies, in Markdown."""
    cells = {(r["attack"], r["strategy"]): cell(r) for r in runs}
    lines = [f"| 2 of 10 nodes send | {' | '.join(STRATEGIES)} |", f"|{'---|' * (len(STRATEGIES) + 1)}"]
    lines += [f"| {a} | {' | '.join(cells[a, s] for s in STRATEGIES)} |" for a in ATTACKS]
    return "\n".join(lines)


def main() -> None:
    """Run all, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    jobs = [(s, a) for a in ATTACKS for s in STRATEGIES]
    runs = []
    with ProcessPoolExecutor(given.processes, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(run, s, a, given.rounds) for s, a in jobs]
        for number, future in enumerate(futures, 1):
            runs.append(future.result())
            print(
                f"{number}/{len(jobs)} {runs[-1]['strategy']}, {runs[-1]['attack']}: {cell(runs[-1])}", file=sys.stderr
            )
    print(table(runs))
    for one in runs:
        if one["error"]:
            print(f"{one['strategy']}, {one['attack']}: {one['error'][:200]}")
    if given.json:
        made_by = {"flwr": flwr.__version__, **versions("flower")}
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps({"rounds": given.rounds, "versions": made_by, "runs": runs}, indent=1) + "\n")


if __name__ == "__main__":
    main()
