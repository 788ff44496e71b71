"""What a GPU is needed for, within some minutes: see `benchmarks/gpu.sh`, which is how it is started."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

import fedward as fw
from benchmarks.gpu_checks import checks
from benchmarks.models import CONTENDERS, measured
from fedward import Simulation, attacks, clients, rules, sim
from fedward.models import build_model

REFERENCE = (50, 11_173_962)
"""Clients, and parameters of ResNet-18."""
TIMED = ("mean", "median", "trimmed-mean", "krum", "multi-krum", "bulyan", "geometric-median", "sign-guard",
         "sign-guard-sim", "centered-clipping", "dnc", "fedseca", "flame", "mea-med")  # fmt: skip
TRAINED: Mapping[str, tuple[Any, Any]] = {
    "mean, no attack": (rules.Mean(), attacks.NoAttack()),
    "sign-guard-sim, min-max": (rules.SignGuardSim(), attacks.MinMax()),
    "multi-krum, min-max": (rules.MultiKrum(f=10), attacks.MinMax()),
}
NO_GPU = "no GPU here: PyTorch sees no CUDA device, so nothing was measured"


def timed(call: Callable[[], object], device: str, repeats: int = 3) -> float:
    """Seconds of a call, the best of some after one that does not count."""
    seconds = []
    for _ in range(repeats + 1):
        _wait(device)
        start = time.perf_counter()
        call()
        _wait(device)
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def rules_at_reference(device: str, shape: tuple[int, int], until: float) -> Iterator[dict[str, Any]]:
    """Seconds of rules at the reference stack, beside reading it once and its Gram matrix."""
    rows = torch.randn(shape, generator=torch.Generator(device).manual_seed(0), device=device)
    yield {"what": "read", "seconds": timed(lambda: rows.sum(), device)}
    yield {"what": "gram", "seconds": timed(lambda: rows @ rows.T, device)}
    for name in TIMED:
        if time.monotonic() > until:
            return
        entry = next(e for e in fw.catalogue("rule") if e.name == name)
        rule = entry.build(f=shape[0] // 5) if entry.needs_f else entry.build()
        try:
            seconds = timed(partial(fw.Aggregator(rule, seed=0), rows), device)
            yield {"what": name, "seconds": seconds}
        except Exception as error:  # one rule that fails, for want of memory say, costs the others nothing
            yield {"what": name, "failed": f"{type(error).__name__}: {str(error)[:200]}"}


def rounds_of(models: tuple[str, ...], device: str, count: int, until: float) -> Iterator[dict[str, Any]]:
    """Rounds of models beside the plain loop, in float32 and, as a simulation, in bfloat16."""
    for model in models:
        for contender, precision in [*((c, "float32") for c in CONTENDERS), (CONTENDERS[1], "bfloat16")]:
            if time.monotonic() > until:
                return
            given = argparse.Namespace(
                clients=count, batch=60, rounds=3, threads=torch.get_num_threads(), device=device, precision=precision
            )
            yield {"precision": precision, **measured(given, model, contender)}
            if device.startswith("cuda"):
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()


def training(device: str, data: sim.Dataset, until: float, every: int = 20) -> Iterator[dict[str, Any]]:
    """ResNet-18 on these data under three pairs of rule and attack, in turns, until the time is up."""
    if isinstance(data.train.inputs, torch.Tensor):  # images come from where they are trained on
        data = replace(data, train=replace(data.train, inputs=data.train.inputs.to(device)))
    federation = sim.federate(data, 50)
    runs = {}
    for name, (rule, attack) in TRAINED.items():
        simulation = Simulation(
            model=partial(build_model, "resnet-18:norm=group"),
            data=federation,
            rule=rule,
            attack=attack,
            byzantine=0 if isinstance(attack, attacks.NoAttack) else 10,
            clients=clients.Augment(inner=clients.Gradient(batch_size=60)),
            server=fw.ServerSGD(lr=0.1, momentum=0.9, weight_decay=5e-4),
            device=device,
            precision="bfloat16",
        )
        runs[name] = simulation.run(10**6, evaluate_every=every)
    while time.monotonic() < until:
        for name, run in runs.items():
            record = next(run)
            if record.accuracy is not None:
                yield {"run": name, "round": record.round, "accuracy": record.accuracy, "seconds": dict(record.seconds)}


def main() -> int:
    """Carry it all out and write what comes of it, one line of JSON each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("gpu"))
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--data-path", help="folder with CIFAR-10; where it is looked for otherwise, see fedward.data")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        print(NO_GPU)
        return 0
    begin = time.monotonic()
    given.out.mkdir(parents=True, exist_ok=True)
    failed = 0
    with (given.out / "gpu.jsonl").open("w", encoding="utf-8") as file:

        def write(part: str, found: Mapping[str, Any]) -> None:
            line = json.dumps({"part": part, **found, "at": round(time.monotonic() - begin, 1)})
            print(line)
            print(line, file=file, flush=True)

        def until(share: float) -> float:
            return begin + 60 * given.minutes * share

        write("machine", {"card": torch.cuda.get_device_name(), "torch": torch.__version__})
        tf32 = torch.backends.cudnn.allow_tf32
        torch.backends.cudnn.allow_tf32 = False  # checks are against float32
        for finding in checks("cuda"):
            failed += not finding.passed
            if not finding.passed:
                write("check", vars(finding))
            if time.monotonic() > until(0.35):
                write("check", {"name": "the rest", "passed": False, "why": "no time was left"})
                break
        torch.backends.cudnn.allow_tf32 = tf32
        write("checks", {"failed": failed})
        for found in rules_at_reference("cuda", REFERENCE, until(0.5)):
            write("rule", found)
        torch.cuda.empty_cache()
        for found in rounds_of(("resnet-18", "resnet-18:norm=group", "text-rnn"), "cuda", 50, until(0.65)):
            write("round", found)
        try:
            data = sim.load("cifar10", given.data_path, download=False)
        except sim.DataError as error:
            write("training", {"skipped": str(error)})
        else:
            for found in training("cuda", data, until(0.96)):
                write("training", found)
    return min(failed, 1)


if __name__ == "__main__":
    raise SystemExit(main())
