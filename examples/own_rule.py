"""A rule of your own: from a function to a rule that has passed the conformance suite.

``python examples/own_rule.py``: a formula as a plain function, the same as a class that reads statistics and judges
each client, both examined; and what the suite says of one with a mistake.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

import fedward as fw
from fedward.stack import SqNorms, Statistic


def shortest(G: Tensor, f: int) -> Tensor:
    """Mean of all rows but the f longest, (n, d) to (d,)."""
    kept = G.norm(dim=1).argsort(stable=True)[: len(G) - f]
    return G[kept].mean(0)


@dataclass(frozen=True, kw_only=True)
class Shortest(fw.Rule):
    """The same from norms alone: rows may lie in files, and each client gets a verdict."""

    f: int
    declared = fw.Traits(bound=fw.Bound(1, 1))  # n >= f + 1

    def statistics(self, state: fw.State, context: fw.Context) -> tuple[Statistic, ...]:
        """What it will ask for."""
        return (SqNorms(),)

    def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
        """Whom to average."""
        norms = updates.norms()
        return fw.average_of(updates, fw.smallest(norms, updates.n - self.f), scores={"norm": norms})


@dataclass(frozen=True, kw_only=True)
class Mistaken(Shortest):
    """Keeps the longest rows, not the shortest."""

    def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
        """Whom to average, wrongly."""
        return fw.average_of(updates, fw.smallest(-updates.norms(), updates.n - self.f))


def oracle(G: np.ndarray) -> np.ndarray:
    """The formula for f = 2 once more, as slow and as plain as can be."""
    lengths = [sum(float(value) ** 2 for value in row) for row in G]
    kept = sorted(range(len(G)), key=lambda i: lengths[i])[: len(G) - 2]
    return np.array([sum(G[i, j] for i in kept) / len(kept) for j in range(G.shape[1])])


def main() -> None:
    """Try all three."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    G = torch.randn(6, 1000)
    G[1] *= 20  # a client that shouts
    plain = fw.rule(partial(shortest, f=2), minimum=3)
    print("Both make the same of six rows:", torch.allclose(plain(G), Shortest(f=2)(G)))
    print("The class also says who was dropped, and why:")
    print(fw.Aggregator(Shortest(f=2))(G).table())
    for rule in (plain, Shortest(f=2), Mistaken(f=2)):
        outcomes = fw.testing.check_rule(rule, oracle=oracle, on_fail="report")
        failed = [outcome for outcome in outcomes if not outcome.passed]
        print(f"{rule!r}: {len(outcomes) - len(failed)} of {len(outcomes)} checks passed")
        for outcome in failed[:3]:
            print(f"  {outcome.name}: {outcome.why.splitlines()[0]}")


if __name__ == "__main__":
    main()
