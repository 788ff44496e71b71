"""Whether a round's passes are shared follows from the model and that round, not from the rounds before it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import fedward as fw
from fedward import rules
from fedward.clients import Gradient
from fedward.sim import Dataset, FederatedData, Split, parallel

SIDE = 6
TAKEN = SIDE * SIDE + 4 * (SIDE - 2) ** 2  # what goes into the layers of a sample: the image, and the features


def model() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * (SIDE - 2) ** 2, 3))


def simulation() -> fw.Simulation:
    """Clients of 3 samples and clients of 17, of which some take part in a round."""
    inputs = torch.randn(111, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    part = Split(inputs=inputs, labels=torch.arange(111) % 3)
    sizes = [3, 17, 17, 3, 17, 17, 3, 17, 17]
    return fw.Simulation(
        model=model,
        data=FederatedData(
            dataset=Dataset(name="uneven", train=part, test=part, classes=3),
            shards=torch.arange(111).split(sizes),
        ),
        rule=rules.Mean(),
        clients=Gradient(batch_size=10),
        participation=0.3,
        threads=1,
    )


def test_a_run_with_batches_of_several_sizes_is_resumed_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Room for two batches of 3, and for one of 10.
    monkeypatch.setattr(parallel, "_ACTIVATIONS", {"cpu": 15 * TAKEN})
    straight = simulation()
    shared = []
    for _ in straight.run(12):
        shared.append(straight.backend.together)
    assert {True, False} <= set(shared), "both kinds of rounds are among them, or nothing is tried"
    for stop in range(1, 12):
        file = tmp_path / f"{stop}.pt"
        list(simulation().run(stop, checkpoint=file))
        resumed = simulation()
        list(resumed.run(12, checkpoint=file))
        assert torch.equal(resumed.progress.parameters, straight.progress.parameters), f"stopped after {stop}"


def test_why_rounds_are_not_shared_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(parallel, "_ACTIVATIONS", {"cpu": 15 * TAKEN})
    caplog.set_level("INFO", logger="fedward")
    run = simulation()
    list(run.run(12))
    assert run.backend.apart.startswith("a batch of 10 fills a pass")
    said = [record for record in caplog.records if "passes are not shared" in record.getMessage()]
    assert len(said) == 1
