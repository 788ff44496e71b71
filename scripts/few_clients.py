"""How much the usual panel sees of few clients: one liar among 2 to 12, whose data are alike or differ.

``python scripts/few_clients.py`` prints the table of docs/how-to/checkpoints.md, in some minutes on one core. Clients
go on from one model, for 40 steps of SGD on their share of the images that come with the package. The last line says
whom SignGuard drops of twelve honest ones, seed by seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from fedward.audit import usual_panel
from fedward.audit.panel import ask, tally, votes_needed
from fedward.core import Aggregator, Context
from fedward.data import IID, Dirichlet, Partition, federate, load
from fedward.rules import SignGuard
from fedward.stack import Dense

CLIENTS = 12
TRIALS = 48
POOLS = 12
"""Ways in which data are dealt; trials take turns."""


def net() -> nn.Module:
    """A small model."""
    return nn.Sequential(nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10))


def trained(start: Tensor, images: Tensor, labels: Tensor, seed: int, steps: int = 40) -> Tensor:
    """A model after some steps, as one row."""
    model = net()
    vector_to_parameters(start.clone(), model.parameters())
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(steps):
        batch = torch.randint(len(labels), (32,), generator=generator)
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
        optimiser.step()
    return parameters_to_vector(model.parameters()).detach()


def pool(partition: Partition, seed: int) -> tuple[Tensor, Tensor]:
    """What twelve clients change, of honest ones and of the same with labels the other way round: (12, d) each."""
    dealt = federate(load("fashion-mnist-subset"), clients=CLIENTS, partition=partition, seed=seed)
    images, labels = dealt.dataset.train.inputs.float().flatten(1), dealt.dataset.train.labels
    torch.manual_seed(seed)
    start = trained(parameters_to_vector(net().parameters()).detach(), images, labels, seed, steps=30)
    honest = [trained(start, images[shard], labels[shard], k) - start for k, shard in enumerate(dealt.shards)]
    flipped = [trained(start, images[shard], 9 - labels[shard], k) - start for k, shard in enumerate(dealt.shards)]
    return torch.stack(honest), torch.stack(flipped)


Liar = Callable[[Tensor, Tensor], Tensor]
LIARS: dict[str, Liar] = {
    "sign turned": lambda honest, _: -honest,
    "ten times": lambda honest, _: 10 * honest,
    "labels flipped": lambda _, flipped: flipped,
}


def suspected(rows: Tensor, seed: int) -> Tensor:
    """Whom the usual panel suspects."""
    opinions = [ask(member, Dense(rows), Context(seed=seed)) for member in usual_panel(len(rows))]
    return tally(opinions, len(rows)) >= votes_needed(opinions)


def line(pools: list[tuple[Tensor, Tensor]], n: int) -> list[float]:
    """Shares of trials in which each liar is caught, and of those without a liar in which somebody is suspected."""
    caught = dict.fromkeys(LIARS, 0)
    wrongly = 0
    for trial in range(TRIALS):
        honest, flipped = pools[trial % len(pools)]
        chosen = random.Random(trial).sample(range(CLIENTS), n)
        rows = honest[chosen]
        wrongly += bool(suspected(rows, trial).any())
        for name, lie in LIARS.items():
            lied = torch.cat([lie(rows[:1], flipped[chosen[:1]]), rows[1:]])
            caught[name] += bool(suspected(lied, trial)[0])
    return [count / TRIALS for count in (*caught.values(), wrongly)]


def dropped(rows: Tensor, fraction: float) -> set[tuple[bool, ...]]:
    """Whom SignGuard drops, once for each answer that ten seeds give."""
    rule = SignGuard(fraction=fraction)
    return {tuple(Aggregator(rule, seed=seed)(rows).accepted.tolist()) for seed in range(10)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    parts: tuple[Partition, ...] = (IID(), Dirichlet(alpha=0.5))
    dealt = [[pool(partition, seed) for seed in range(POOLS)] for partition in parts]
    head = [*LIARS, "somebody, though nobody lies"]
    print("| clients | " + " | ".join(head) + " |")
    print("|---" * (1 + len(head)) + "|")
    for n in (2, 3, 4, 5, 6, 8, 12):
        cells = [f"{alike:.0%}, {differ:.0%}" for alike, differ in zip(*(line(each, n) for each in dealt), strict=True)]
        print(f"| {n} | " + " | ".join(cells) + " |", flush=True)
    for fraction in (0.1, 1.0):
        print(f"sign-guard:fraction={fraction}, {len(dropped(dealt[1][0][0], fraction))} sets of dropped in 10 seeds")
