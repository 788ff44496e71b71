"""A federation in which not everybody answers, and a rule that keeps what it is told."""

from __future__ import annotations

import torch
from torch import nn

import fedward as fw
from fedward import rules
from fedward.clients import LocalSGD, Siren
from fedward.sim import Dataset, Split, federate

N, CLASSES, ROUNDS = 8, 4, 8


def dropping() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Dropout(0.3), nn.Linear(12, CLASSES))


def normed() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, CLASSES))


def split(count: int, seed: int) -> Split:
    inputs = 2 + 3 * torch.randn(count, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    return Split(inputs=inputs, labels=inputs.flatten(1)[:, :CLASSES].argmax(1))


DATASET = Dataset(name="tiny", train=split(N * 40, 0), test=split(100, 1), classes=CLASSES)
DATA = federate(DATASET, N)


def simulation(**changes) -> fw.Simulation:
    settings = {
        "model": dropping,
        "data": DATA,
        "rule": rules.Mean(),
        "clients": LocalSGD(batch_size=10, lr=0.1),
        "seed": 3,
    }
    return fw.Simulation(**{**settings, **changes})


SIREN = {"rule": rules.SIREN(), "clients": Siren(inner=LocalSGD(batch_size=10, lr=0.1)), "root": 50}


class Listening(rules.Mean):
    """Keeps what it is told."""

    def decide(self, updates, state, context):
        HEARD.append((updates.ids, dict(context.messages), context.group))
        return super().decide(updates, state, context)


HEARD: list = []
