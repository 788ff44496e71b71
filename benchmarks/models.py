"""A round of larger models beside the plain PyTorch loop over clients, in one run, and the peak memory of a simulation.

Noise of CIFAR-10's and AG-News's shape: what is measured does not depend on it. Every contender is a process of its
own, one after another, so that peaks are its own.

    python -m benchmarks.models [--models resnet-18 text-rnn] [--clients 50] [--batch 60] [--rounds 2] [--threads 2]

Prints one line of JSON for each model and contender.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.speed.worker import resident
from fedward import ServerSGD, Simulation, clients, rules, sim
from fedward.models import build_model

MODELS = ("resnet-18", "resnet-18:norm=group", "resnet-20:norm=group", "small-cnn", "text-rnn", "text-transformer")
WORDS = 10_002
CONTENDERS = ("plain loop", "fedward")


def noise(text: bool, samples: int, seed: int) -> sim.Split:
    """Labelled noise: images of 3 x 32 x 32, or texts of 32 tokens."""
    generator = torch.Generator().manual_seed(seed)
    shape = (samples, 32) if text else (samples, 3, 32, 32)
    inputs = torch.randint(WORDS, shape, generator=generator) if text else torch.randn(shape, generator=generator)
    return sim.Split(inputs=inputs, labels=torch.randint(4 if text else 10, (samples,), generator=generator))


def federation(model: str, count: int, batch: int) -> sim.FederatedData:
    """Two batches for each client."""
    text = model.startswith("text")
    train, test = noise(text, 2 * batch * count, 0), noise(text, 20, 1)
    vocabulary = WORDS if text else None
    dataset = sim.Dataset(name="noise", train=train, test=test, classes=4 if text else 10, vocabulary=vocabulary)
    return sim.federate(dataset, count)


def plain_loop(model: str, data: sim.FederatedData, batch: int, device: str) -> Callable[[], dict[str, float]]:
    """Each client's gradient, one after another, their mean, a step: what one writes first."""
    torch.manual_seed(0)
    train = data.dataset.train
    net = build_model(model, tuple(train.inputs.shape[1:]), data.dataset.classes, data.dataset.vocabulary).to(device)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)

    def one_round() -> dict[str, float]:
        rows = []
        for shard in data.shards:
            chosen = shard[torch.randperm(len(shard))[:batch]]
            net.zero_grad()
            logits = net(train.inputs[chosen].to(device))
            nn.functional.cross_entropy(logits, train.labels[chosen].to(device)).backward()
            rows.append(torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]))
        mean = torch.stack(rows).mean(0)
        start = 0
        for p in net.parameters():
            p.grad = mean[start : start + p.numel()].view_as(p)
            start += p.numel()
        optimiser.step()
        return {}

    return one_round


def simulated(
    model: str, data: sim.FederatedData, batch: int, device: str, precision: str, threads: int
) -> Callable[[], dict[str, float]]:
    """The same as a simulation."""
    simulation = Simulation(
        model=partial(build_model, model),
        data=data,
        rule=rules.Mean(),
        clients=clients.Gradient(batch_size=batch),
        server=ServerSGD(lr=0.01, momentum=0.9),
        device=device,
        precision=precision,
        threads=threads,
    )
    rounds = simulation.run(10**6, evaluate_every=10**6)
    return lambda: dict(next(rounds).seconds)


def measured(given: argparse.Namespace, model: str, contender: str) -> dict[str, Any]:
    """Seconds of a round and of its parts, and how far memory rises."""
    torch.set_num_threads(given.threads)
    data = federation(model, given.clients, given.batch)
    before = resident("VmRSS")
    if contender == "plain loop":
        one_round = plain_loop(model, data, given.batch, given.device)
    else:
        one_round = simulated(model, data, given.batch, given.device, given.precision, given.threads)
    one_round()  # warm up: passes are tried, memory is taken
    seconds, parts = [], []
    cores = time.process_time()
    for _ in range(given.rounds):
        _finish(given.device)
        start = time.perf_counter()
        parts.append(one_round())
        _finish(given.device)
        seconds.append(time.perf_counter() - start)
    cores = time.process_time() - cores  # of all threads: what else the machine does hardly counts
    on_gpu = given.device.startswith("cuda")
    peak = torch.cuda.max_memory_allocated() if on_gpu else resident("VmHWM") - before
    found = {
        "model": model,
        "contender": contender,
        "clients": given.clients,
        "batch": given.batch,
        "seconds": round(statistics.median(seconds), 4),
        "core_seconds": round(cores / given.rounds, 4),
        "peak_gb": round(peak / 1e9, 3),
    }
    return {**found, **{part: round(statistics.median(p[part] for p in parts), 4) for part in parts[0]}}


def _finish(device: str) -> None:
    """Wait for what a GPU still has to do."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def main() -> None:
    """Measure every model and contender in a process of its own, or one of them here."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS))
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--batch", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--here", action="store_true", help="in this process")
    given = parser.parse_args()
    if given.here:
        for model in given.models:
            for contender in given.contenders:
                print(json.dumps(measured(given, model, contender)), flush=True)
        return
    print(json.dumps({"torch": torch.__version__, "machine": platform.machine(), "threads": given.threads}), flush=True)
    names = ("clients", "batch", "rounds", "threads", "device", "precision")
    numbers = [f"--{name}={getattr(given, name)}" for name in names]
    for model in given.models:
        for contender in given.contenders:
            command = [sys.executable, "-m", "benchmarks.models", "--here", *numbers]
            subprocess.run([*command, "--models", model, "--contenders", contender], check=True)


if __name__ == "__main__":
    main()
