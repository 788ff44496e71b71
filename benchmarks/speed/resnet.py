"""Peak memory of a whole simulation of 50 clients that train a ResNet-18, SignGuard between them and the server.

    python -m benchmarks.speed.resnet [--clients 50] [--rounds 2]

Prints one line of JSON. Images are noise of CIFAR-10's shape: what is measured does not depend on them.
"""

from __future__ import annotations

import argparse
import json
import time

import torch

from benchmarks.speed.worker import resident
from fedward import ServerSGD, Simulation, attacks, clients, rules, sim


def noise(samples: int, seed: int) -> sim.Split:
    """Labelled noise of CIFAR-10's shape."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(samples, 3, 32, 32, generator=generator)
    return sim.Split(inputs=inputs, labels=torch.randint(10, (samples,), generator=generator))


def simulate(count: int, rounds: int, batch: int) -> dict[str, float]:
    """Run it; bytes are those of the whole process."""
    before = resident("VmRSS")
    dataset = sim.Dataset(name="noise", train=noise(4 * count, 0), test=noise(20, 1), classes=10)
    simulation = Simulation(
        model=sim.MODELS["resnet-18"],
        data=sim.federate(dataset, count),
        rule=rules.SignGuard(),
        attack=attacks.ALIE(z=0.3),
        byzantine=count // 5,
        clients=clients.Gradient(batch_size=batch),
        server=ServerSGD(lr=0.01, momentum=0.9),
    )
    start = time.perf_counter()
    for _ in simulation.run(rounds, evaluate_every=rounds):
        pass
    seconds = (time.perf_counter() - start) / rounds
    parameters = simulation.progress.parameters.numel()
    found = {"clients": count, "rounds": rounds, "batch": batch, "parameters": parameters, "seconds": seconds}
    return {**found, "start_bytes": before, "peak_bytes": resident("VmHWM"), "rows_bytes": 4 * count * parameters}


def main() -> None:
    """Print what it takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(json.dumps(simulate(given.clients, given.rounds, given.batch)))


if __name__ == "__main__":
    main()
