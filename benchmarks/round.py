"""One simulated round of the SignGuard paper's setting against a plain PyTorch loop over clients, in one run.

50 clients, batch 60, SignGuard CNN. The plain loop computes each client's gradient, stacks them, averages and takes an
SGD step; the simulated round also carries out the ALIE attack, SignGuard, and its records.

    python benchmarks/round.py [--threads 1] [--rounds 20]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from fedward import Rule, ServerSGD, Simulation, attacks, clients, rules, sim


def plain_loop(data: sim.FederatedData, batch: int) -> Callable[[], None]:
    torch.manual_seed(0)
    model = sim.SignGuardCNN()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    train = data.dataset.train

    def one_round() -> None:
        rows = []
        for shard in data.shards:
            chosen = shard[torch.randperm(len(shard))[:batch]]
            model.zero_grad()
            nn.functional.cross_entropy(model(train.inputs[chosen]), train.labels[chosen]).backward()
            rows.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
        mean = torch.stack(rows).mean(0)
        start = 0
        for p in model.parameters():
            p.grad = mean[start : start + p.numel()].view_as(p)
            start += p.numel()
        optimiser.step()

    return one_round


def simulated(data: sim.FederatedData, batch: int, rule: Rule) -> Callable[[], None]:
    simulation = Simulation(
        model=sim.SignGuardCNN,
        data=data,
        rule=rule,
        attack=attacks.ALIE(),
        byzantine=10,
        clients=clients.Gradient(batch_size=batch),
        server=ServerSGD(lr=0.1, momentum=0.9, weight_decay=5e-4),
    )
    rounds = simulation.run(10**6, evaluate_every=10**6)
    return lambda: (next(rounds), None)[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    data = sim.federate(sim.load("fashion-mnist-subset"), 50)
    contenders = {
        "plain loop": plain_loop(data, 60),
        "fedward, Mean": simulated(data, 60, rules.Mean()),
        "fedward, SignGuard": simulated(data, 60, rules.SignGuard()),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for k in range(given.rounds + 1):  # in turns, so that what else the machine does hits all alike
        for name, one_round in contenders.items():
            start = time.perf_counter()
            one_round()
            if k:
                seconds[name].append(time.perf_counter() - start)
    median = {name: statistics.median(times) for name, times in seconds.items()}
    for name, value in median.items():
        print(f"{name:20} {value:.3f} s a round, {value / median['plain loop']:.2f} x the plain loop")
    machine = {"processor": platform.machine(), "threads": given.threads, "torch": torch.__version__}
    print(json.dumps({"median_seconds": median, **machine}))


if __name__ == "__main__":
    main()
