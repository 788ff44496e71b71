"""How alike honest and forged rows are: Pearson's and Kendall's correlation, the cosine, the concordance of signs.

FedSECA's Fig. 1, from rows of training in its own setting: FedSECA is trained under each attack, and what the clients
sent in some rounds is compared in pairs: two honest rows, or an honest and a forged one.

    python scripts/agreement.py --json results/agreement/agreement.json --svg results/agreement/agreement.svg
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from scipy.stats import kendalltau

matplotlib.use("svg")
import matplotlib.pyplot as plt
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
from tables.fedseca import EIGHT

from fedward.core import Context, Plan, State
from fedward.disk import write_whole
from fedward.experiments.spec import RunSpec, make_spec
from fedward.experiments.versions import versions
from fedward.rules import FedSECA
from fedward.stack import Updates

Rows = Mapping[int, np.ndarray]
"""What each client sent, by id."""

BYZANTINE = (3, 4)
ROUNDS = (1, 3, 5)
SETTING = {
    "clients": 5,
    "byzantine": list(BYZANTINE),
    "partition": "dirichlet:alpha=1",
    "batch_size": 64,
    "algorithm": "local-sgd:epochs=1,optimizer=adamw,lr=0.001,weight_decay=1e-6",
    "rule": "fedseca:momentum=0.5",
}

plt.rcParams["svg.hashsalt"] = "fedward"  # the same figures make the same file


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """The cosine of the rows, each less its mean."""
    return cosine(a - a.mean(), b - b.mean())


def kendall(a: np.ndarray, b: np.ndarray) -> float:
    """Kendall's tau-b: pairs of columns in the same order less those in opposite order, by all, ties allowed for."""
    return float(kendalltau(a, b).statistic)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Of the angle between the rows; 0 if one of them is zero."""
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if lengths else 0.0


def concordance(a: np.ndarray, b: np.ndarray) -> float:
    """omega(a, b) = (1/d) sum_j sgn(a_j) sgn(b_j)."""
    return float(np.mean(np.sign(a) * np.sign(b)))


MEASURES: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "Pearson": pearson,
    "Kendall": kendall,
    "cosine": cosine,
    "concordance": concordance,
}


def captured(spec: RunSpec, rounds: Sequence[int]) -> dict[int, Rows]:
    """What clients sent in some rounds of a training, by round."""
    seen: dict[int, Rows] = {}

    class Seen(FedSECA):
        """FedSECA that keeps what it was given; asked by an attack, it keeps nothing."""

        def advance(self, state: State, plan: Plan[Any], output: Tensor, context: Context) -> State:
            number = context.round + 1
            if number in rounds:
                assert plan.judged is not None
                seen[number] = rows_of(plan.judged)
            return super().advance(state, plan, output, context)

    rule = Seen(momentum=0.5)
    for _ in spec.simulation(rule=rule, threads=1).run(max(rounds), evaluate_every=max(rounds)):
        pass
    return seen


def rows_of(updates: Updates) -> Rows:
    """The rows as they are, by client."""
    rows = torch.cat([block.rows.double() for block in updates.blocks()], dim=1).numpy()
    return {int(str(client)): row for client, row in zip(updates.ids, rows, strict=True)}


def compared(rows: Rows) -> dict[str, dict[str, list[float]]]:
    """Every measure of every pair of honest rows, and of every honest row with every forged one."""
    honest = [client for client in rows if client not in BYZANTINE]
    pairs = {
        "honest": list(combinations(honest, 2)),
        "forged": [(client, other) for client in honest for other in rows if other in BYZANTINE],
    }
    return {
        name: {side: [round(measure(rows[a], rows[b]), 4) for a, b in found] for side, found in pairs.items()}
        for name, measure in MEASURES.items()
    }


def measured(attacks: Sequence[str], rounds: Sequence[int], **more: Any) -> Iterator[dict[str, Any]]:
    """A line an attack and a round."""
    for attack in attacks:
        spec = make_spec({**SETTING, "rounds": max(rounds), "attack": attack, **more})
        for number, rows in captured(spec, rounds).items():
            yield {"attack": attack, "round": number, **compared(rows)}


def draw(lines: Sequence[Mapping[str, Any]], out: Path) -> None:
    """A panel a measure: pairs of honest rows, and of an honest and a forged one, attack by attack."""
    attacks = list(dict.fromkeys(line["attack"] for line in lines))
    figure, axes = plt.subplots(len(MEASURES), 1, figsize=(8, 9), sharex=True)
    for axis, name in zip(axes, MEASURES, strict=True):
        for shift, side, colour in ((-0.15, "honest", "tab:blue"), (0.15, "forged", "tab:red")):
            points = [(attacks.index(line["attack"]) + shift, value) for line in lines for value in line[name][side]]
            label = "two honest rows" if side == "honest" else "an honest and a byzantine row"
            axis.scatter(*zip(*points, strict=True), s=12, alpha=0.6, color=colour, label=label)
        axis.axhline(0, color="grey", linewidth=0.8)
        axis.set_ylabel(name)
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8, loc="lower left")
    axes[-1].set_xticks(range(len(attacks)), [EIGHT.get(attack, attack) for attack in attacks], fontsize=8)
    figure.tight_layout()
    figure.savefig(out, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="where the figures go")
    parser.add_argument("--svg", type=Path, required=True, help="where the picture goes")
    given = parser.parse_args()
    torch.set_num_threads(1)
    lines = []
    for line in measured(tuple(EIGHT), ROUNDS):
        print(f"{line['attack']}, round {line['round']}", flush=True)
        lines.append(line)
    write_whole(given.json, json.dumps({"versions": versions(), "setting": SETTING, "lines": lines}, indent=1) + "\n")
    draw(lines, given.svg)


if __name__ == "__main__":
    main()
