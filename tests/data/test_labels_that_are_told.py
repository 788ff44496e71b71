"""Labels that a data set tells beside its samples are those of the samples, or the samples' own count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Subset

from fedward.data import own_dataset
from tests.data.own import Labelled


class Digits(TorchDataset[Any]):
    """As those of torchvision are."""

    def __init__(self, kind: Any = list) -> None:
        self.targets = kind([i % 10 for i in range(40)])
        self.asked: list[int] = []

    def __len__(self) -> int:
        return 40

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        self.asked.append(i)
        return torch.ones(2) * i, self.targets[i]


class Odd(Digits):
    """Whether a digit is odd."""

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        sample, label = super().__getitem__(i)
        return sample, label % 2


class Last(Digits):
    """Whether a digit is nine: eight of ten labels are others than they are told to be."""

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        sample, label = super().__getitem__(i)
        return sample, label == 9  # a truth value, of Python, NumPy or PyTorch


class Swapped(Digits):
    """Two labels are exchanged, all others are as they are told to be."""

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        sample, label = super().__getitem__(i)
        return sample, {8: 9, 9: 8}.get(int(label), int(label))


class Named(Digits):
    """Samples come with their names, and the numbers are told beside them."""

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        return super().__getitem__(i)[0], f"digit {self.targets[i]}"


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
@pytest.mark.parametrize("made", [Odd, Last, Swapped])
def test_labels_of_a_subclass_that_relabels_are_its_own(made: type[Digits], kind: Any) -> None:
    expected = [int(made(kind)[i][1]) for i in range(40)]
    whole = own_dataset((made(kind), made(kind)))
    assert whole.train.labels.tolist() == expected
    assert whole.classes == max(expected) + 1
    places = list(range(5, 35))
    part = own_dataset((Subset(made(kind), places), Subset(made(kind), places)))
    assert part.train.labels.tolist() == expected[5:35]


def test_a_subset_that_relabels_is_asked_as_well() -> None:
    class Halves(Subset[Any]):
        def __getitem__(self, i: Any) -> Any:
            sample, label = super().__getitem__(i)
            return sample, int(label >= 5)

        def __getitems__(self, indices: list[int]) -> list[Any]:
            return [self[i] for i in indices]

    held = Halves(Digits(), range(40))
    assert own_dataset((held, held)).train.labels.tolist() == [int(i % 10 >= 5) for i in range(40)]


@pytest.mark.parametrize("made", [Digits, Named])
def test_labels_that_are_told_rightly_cost_a_look_at_each_class(made: type[Digits]) -> None:
    held = made()
    assert own_dataset((held, held)).train.labels.tolist() == held.targets
    assert set(held.asked) <= set(range(10))


def test_of_many_classes_some_are_looked_at() -> None:
    held = Labelled(lambda i: torch.ones(2), np.arange(1000))
    own_dataset((held, held))
    assert len(set(held.asked)) <= 17
