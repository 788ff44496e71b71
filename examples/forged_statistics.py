"""What forged running statistics do to a network with BatchNorm, by what the server makes of them.

The page about it is docs/concepts/running-statistics.md.
``python examples/forged_statistics.py`` prints the table there: ten clients, three of them byzantine, on images that
come with the package. A few minutes of one core.
"""

from __future__ import annotations

import torch
from torch import nn

import fedward as fw
from fedward import clients, sim
from fedward.registry.notation import parse
from fedward.sim.running import Forge

ROUNDS = 20
POLICIES = ("mean", "robust", "frozen")
CASES: tuple[tuple[str, str, Forge], ...] = (
    ("median", "no-attack", "rows"),
    ("median", "sign-flip:scale=10", "rows"),
    ("median", "sign-flip:scale=10", "both"),
    ("median", "sign-flip:scale=10", "statistics"),
    ("median", "alie:z=3", "statistics"),
    ("fedseca", "sign-flip:scale=10", "statistics"),
    ("krum:f=3", "sign-flip:scale=10", "statistics"),
)


def network() -> nn.Module:
    """Two convolutions with BatchNorm."""
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 16, 3, stride=2), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(16 * 36, 10)),
    )


def accuracy(data: sim.FederatedData, rule: str, attack: str, forge: Forge, policy: str) -> float:
    """Of the model after the last round, in per cent."""
    simulation = fw.Simulation(
        model=network,
        data=data,
        rule=parse(rule, "rule"),
        attack=parse(attack, "attack"),
        byzantine=3,
        clients=clients.LocalSGD(batch_size=32, steps=4, lr=0.05),
        batch_norm=policy,
        forge=forge,
        threads=1,
    )
    *_, last = simulation.run(ROUNDS, evaluate_every=ROUNDS)
    assert last.accuracy is not None  # the last round is always evaluated
    return 100 * last.accuracy


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    data = sim.federate(sim.load("fashion-mnist-subset"), clients=10)
    print("| rule | attack | forged |", " | ".join(POLICIES), "|")
    print("|---|---|---|---|---|---|")
    for rule, attack, forge in CASES:
        cells = [f"{accuracy(data, rule, attack, forge, policy):.1f}" for policy in POLICIES]
        print(f"| {rule} | {attack} | {forge} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
