"""Data sets that are made by hand: what is wrong with them is said before anything runs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import fedward as fw
from fedward import rules
from fedward.sim import Dataset, Split, federate


def split(labels: list[int]) -> Split:
    return Split(inputs=torch.zeros(len(labels), 4), labels=torch.tensor(labels, dtype=torch.int64))


def simulation(train: list[int], test: list[int]) -> fw.Simulation:
    data = Dataset(name="made", train=split(train), test=split(test), classes=3)
    return fw.Simulation(model=nn.Linear(4, 5), data=federate(data, 2), rule=rules.Mean())


@pytest.mark.parametrize(
    ("train", "test", "why"),
    [
        ([0, 1, 2], [], "the test set has no samples"),
        ([0, 1, 3], [0], "labels are whole numbers from 0 to 2, one of the training set is 3"),
        ([0, 1, -1], [0], "labels are whole numbers from 0 to 2, one of the training set is -1"),
        ([0, 1, 2], [0, 4], "labels are whole numbers from 0 to 2, one of the test set is 4"),
    ],
)
def test_what_is_wrong_with_them_is_said(train: list[int], test: list[int], why: str) -> None:
    with pytest.raises(ValueError, match=f"Simulation: {why}"):
        simulation(train, test)


def test_a_model_may_know_more_classes() -> None:
    [record] = simulation([0, 1, 2], [0, 1]).run(1)
    assert record.accuracy is not None
