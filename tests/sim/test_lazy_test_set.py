"""A test set that does not lie in memory: read once in an evaluation, as a whole for attacks with a target alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import fedward as fw
from fedward import attacks, rules
from fedward.clients import Gradient
from fedward.data.lazy import Lazy
from fedward.sim import Dataset, Split, federate

SAMPLES = 2500
INPUTS = torch.randn(SAMPLES, 1, 4, 4, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(SAMPLES).sort().values * 3 // SAMPLES  # class by class, as folders of images are


class Watched(Lazy):
    """Counts what is read, and at how much at a time."""

    def __init__(self) -> None:
        super().__init__(INPUTS.__getitem__, SAMPLES)
        self.read: list[int] = []

    def __getitem__(self, chosen: slice | Tensor) -> Tensor:
        found = super().__getitem__(chosen)
        self.read.append(len(found))
        return found


def evaluated(inputs: Tensor | Lazy, attack: attacks.Attack) -> fw.Record:
    train = Split(inputs=INPUTS[:60], labels=torch.arange(60) % 3)
    data = Dataset(name="lazy", train=train, test=Split(inputs=inputs, labels=LABELS), classes=3)
    simulation = fw.Simulation(
        model=lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 3)),
        data=federate(data, 4),
        rule=rules.Mean(),
        attack=attack,
        byzantine=1,
        clients=Gradient(batch_size=5),
        threads=1,
    )
    [record] = simulation.run(1)
    return record


TARGETED: dict[str, Any] = {
    "targeted": attacks.TargetedPoisoning(source=2, label=0),
    "backdoor": attacks.Backdoor(label=0),
    "one of several": attacks.RandomSchedule([attacks.NoAttack(), attacks.TargetedPoisoning(source=1, label=2)]),
}


@pytest.mark.parametrize("attack", [attacks.SignFlip(), attacks.Schedule({0: attacks.ALIE()})], ids=repr)
def test_attacks_without_a_target_have_it_read_once(attack: attacks.Attack) -> None:
    inputs = Watched()
    before = len(inputs.read)
    assert evaluated(inputs, attack).confidence is None
    read = inputs.read[before:]
    assert sum(read) == SAMPLES + 1, "once for the test, and a sample to see that there is no target"
    assert max(read) <= 1000


@pytest.mark.parametrize("name", TARGETED)
def test_the_confidence_is_the_same_as_from_memory(name: str) -> None:
    inputs = Watched()
    found, expected = evaluated(inputs, TARGETED[name]), evaluated(INPUTS, TARGETED[name])
    assert found.confidence == expected.confidence
    assert expected.confidence is not None
