"""What the time of Mean and SignGuard is made of, as multiples of the time to read the stack.

    python -m benchmarks.speed.pieces [--threads 2] [--columns 11173962]

Prints one line of JSON: for each piece its seconds, the shortest of several in turns, and the multiple.
"""

from __future__ import annotations

import argparse
import json

import torch

from benchmarks.speed.worker import Call, fill, timed
from fedward import Aggregator, rules
from fedward.stack import Dense, Sample, SignCounts, SqNorms


def pieces(G: torch.Tensor, f: int) -> dict[str, Call]:
    """Each piece by name; statistics are computed anew in every call."""
    sample = Sample(seed=3, fraction=0.1)
    everyone = torch.full((len(G),), 1 / len(G), dtype=torch.float64)
    honest = everyone.clone()
    honest[-f:] = 0
    return {
        "read": lambda: G.sum(),
        "norms": lambda: Dense(G).compute(SqNorms()),
        "norms and drawn signs": lambda: Dense(G).compute(SqNorms(), SignCounts(sample=sample)),
        "drawing the columns": lambda: sample.coordinates(G.shape[1]),
        "sum of all rows": lambda: Dense(G).combine(everyone),
        "sum of honest rows": lambda: Dense(G).combine(honest),
        "G.mean(0)": lambda: G.mean(0),
        "Mean": lambda: Aggregator(rules.Mean())(G),
        "SignGuard": lambda: Aggregator(rules.SignGuard())(G),
    }


def main() -> None:
    """Measure in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--columns", type=int, default=11_173_962)
    parser.add_argument("--turns", type=int, default=7)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    G = torch.empty(50, given.columns)
    fill(G, seed=0, f=10)
    calls = pieces(G, 10)
    for call in calls.values():
        call()
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(given.turns):
        for name, call in calls.items():
            taken[name].append(timed(call))
    read = min(taken["read"])
    print(
        json.dumps({name: {"seconds": min(each), "reads": round(min(each) / read, 2)} for name, each in taken.items()})
    )


if __name__ == "__main__":
    main()
