"""Every path on a device against the CPU: rules, mixers, attacks, gradients, shared passes, whole runs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import fedward as fw
from fedward import Simulation, attacks, clients, mixers, rules, sim
from fedward.clients import LocalModel, Setup, Shard, Task
from fedward.models import build_model
from fedward.registry.entries import Entry
from fedward.sim.backends import Loop
from fedward.sim.parallel import Parallel
from fedward.training import crop_and_flip

NEAR = 1e-3
COARSE = 5e-2
IMAGE, CLASSES, WORDS = (3, 32, 32), 10, 50
MODELS = (
    "signguard-cnn:dropout=0", "small-cnn", "lenet", "resnet-20:norm=group", "resnet-20", "vgg-11:norm=none",
    "text-rnn:embedding=8,hidden=8,dropout=0", "text-transformer:width=8,heads=2,depth=1,dropout=0",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What came of one check."""

    name: str
    passed: bool
    why: str = ""


def checks(device: str) -> Iterator[Finding]:
    """Carry out all checks; whatever goes wrong in one is its finding."""
    for name, check in named(device):
        try:
            check()
        except Exception as error:  # whatever a device trips over is what is looked for
            yield Finding(name=name, passed=False, why=f"{type(error).__name__}: {str(error)[:200]}")
        else:
            yield Finding(name=name, passed=True)


def named(device: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """The checks by name."""
    rows = torch.randn(20, 3000, generator=torch.Generator().manual_seed(0)) + 0.3
    for entry in fw.catalogue("rule", packaged=True):
        if not entry.root_data:  # those are in the runs below
            yield f"rule {entry.name}", partial(_aggregated, _built(entry), rows, device)
    for entry in fw.catalogue("mixer", packaged=True):
        yield f"mixer {entry.name}", partial(_aggregated, _built(entry) >> rules.Mean(), rows, device)
    for entry in fw.catalogue("attack", packaged=True):
        yield f"attack {entry.name}", partial(_forged, entry, rows, device)
    for text in MODELS:
        yield f"gradient {text}", partial(_gradient, text, device)
        yield f"passes {text}", partial(_passes, text, device)
    yield "bfloat16", partial(_less_precise, device)
    yield "crop and flip", partial(_augmented, device)
    for name, given in _runs().items():
        yield f"run {name}", partial(_ran, given, device)
        yield f"resumed {name}", partial(_resumed, given, device)


def _built(entry: Entry) -> Any:
    return entry.build(f=4) if entry.needs_f else entry.build()


def _near(found: Tensor, expected: Tensor, tolerance: float = NEAR) -> None:
    error = float((found.cpu().double() - expected.double()).abs().max())
    scale = float(expected.double().abs().max())
    if not error <= tolerance * max(scale, 1e-12):
        raise AssertionError(f"differs by {error:.3g}, at values of up to {scale:.3g}")


def _aggregated(rule: Any, rows: Tensor, device: str) -> None:
    results = [fw.Aggregator(rule, seed=1)(rows.to(place)) for place in ("cpu", device)]
    _near(results[1].output, results[0].output)
    if not torch.equal(results[0].accepted.cpu(), results[1].accepted.cpu()):
        raise AssertionError("other clients are accepted")


def _forged(entry: Entry, rows: Tensor, device: str) -> None:
    attack = entry.build(f=4) if entry.needs_f else entry.build()
    honest, own = rows[:16], rows[16:]
    expected = attack(honest, own)
    found = attack(honest.to(device), own.to(device))
    finite = expected.isfinite()
    if not torch.equal(found.cpu().isfinite(), finite):
        raise AssertionError("other entries are finite")
    if finite.any():
        _near(found.cpu()[finite], expected[finite])


def _batch(text: str, samples: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (samples,), generator=generator)
    if text.startswith("text"):
        return torch.randint(0, WORDS, (samples, 9), generator=generator), labels
    return torch.randn(samples, *IMAGE, generator=generator), labels


def _model(text: str) -> torch.nn.Module:
    torch.manual_seed(3)
    return build_model(text, (9,) if text.startswith("text") else IMAGE, CLASSES, WORDS)


def _gradient(text: str, device: str) -> None:
    inputs, labels = _batch(text, 12, 0)
    expected, _ = LocalModel(_model(text)).gradient(inputs, labels)
    found, _ = LocalModel(_model(text), Setup(device=device)).gradient(inputs.to(device), labels.to(device))
    _near(found, expected)


def _tasks(backend: Loop, text: str, device: str) -> list[Task]:
    inputs, labels = _batch(text, 40, 1)
    parameters = backend.initial()
    return [
        Task(
            client=k,
            parameters=parameters,
            shard=Shard(inputs, labels, torch.arange(10 * k, 10 * k + 10), device),
            buffers=backend.initial_buffers(),
        )
        for k in range(4)
    ]


def _passes(text: str, device: str) -> None:
    """Shared or not, the answers are those of one client after another, on the same device."""
    found = []
    for backend in (Loop(_model(text), Setup(device=device)), Parallel(_model(text), Setup(device=device))):
        out = torch.zeros(4, len(backend.initial()), device=device)
        backend.messages(clients.Gradient(batch_size=5), _tasks(backend, text, device), out)
        found.append(out.cpu())
    _near(found[1], found[0])


def _less_precise(device: str) -> None:
    inputs, labels = (part.to(device) for part in _batch("small-cnn", 32, 0))
    exact, _ = LocalModel(_model("small-cnn"), Setup(device=device)).gradient(inputs, labels)
    coarse, _ = LocalModel(_model("small-cnn"), Setup(device=device, precision="bfloat16")).gradient(inputs, labels)
    if torch.equal(exact, coarse):
        raise AssertionError("precision changes nothing")
    _near(coarse, exact.cpu(), COARSE)


def _augmented(device: str) -> None:
    images, _ = _batch("small-cnn", 16, 0)
    moved = [crop_and_flip(images.to(place), torch.Generator().manual_seed(1)) for place in ("cpu", device)]
    if not torch.equal(moved[0], moved[1].cpu()):
        raise AssertionError("other images")


def _runs() -> dict[str, dict[str, Any]]:
    local = clients.LocalSGD(batch_size=5, steps=2, lr=0.05)
    return {
        "gradient": {"attack": attacks.ALIE(z=0.3), "rule": rules.SignGuard()},
        "min-max": {"attack": attacks.MinMax(), "rule": rules.MultiKrum(f=2)},
        "root data": {"rule": rules.FLTrust(), "attack": attacks.SignFlip()},
        "local": {"clients": local, "rule": rules.Median()},
        "momentum": {"clients": clients.WorkerMomentum(inner=clients.Gradient(batch_size=5)), "rule": rules.RFA()},
        "classes": {"clients": clients.ClassMomentum(batch_size=2), "rule": rules.ClassWise(base=rules.Median())},
        "siren": {"clients": clients.Siren(inner=local), "rule": rules.SIREN()},
        "scaffold": {"clients": clients.Scaffold(batch_size=5, steps=2), "rule": rules.Mean()},
        "fed-adam": {"server": sim.FedAdam(lr=0.01), "rule": mixers.NNM(f=2) >> rules.TrimmedMean(f=2)},
        "batch norm": {"model": partial(_model, "resnet-20"), "rule": rules.Mean()},
        "augmented": {"clients": clients.Augment(inner=clients.Gradient(batch_size=5)), "rule": rules.Mean()},
    }


def _simulation(given: dict[str, Any], device: str) -> Simulation:
    inputs, labels = _batch("small-cnn", 120, 2)
    split = sim.Split(inputs=inputs, labels=labels)
    data = sim.federate(sim.Dataset(name="noise", train=split, test=split, classes=CLASSES), 8)
    settings = {"model": partial(_model, "small-cnn"), "data": data, "byzantine": 2, "root": 20, "device": device}
    return Simulation(**{**settings, "clients": clients.Gradient(batch_size=5), **given})


def _ran(given: dict[str, Any], device: str) -> None:
    ends = []
    for place in ("cpu", device):
        run = _simulation(given, place)
        begin = run.progress.parameters.cpu()
        list(run.run(3))
        ends.append(run.progress.parameters.cpu() - begin)
    _near(ends[1], ends[0], 1e-2)  # three rounds of rounding


def _resumed(given: dict[str, Any], device: str) -> None:
    """On one device a run that is resumed is the run that was not interrupted, to the last bit."""
    whole = _simulation(given, device)
    list(whole.run(4))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "run.pt"
        list(_simulation(given, device).run(2, checkpoint=file))
        resumed = _simulation(given, device)
        list(resumed.run(4, checkpoint=file))
    if not torch.equal(whole.progress.parameters, resumed.progress.parameters):
        raise AssertionError("ends elsewhere")
