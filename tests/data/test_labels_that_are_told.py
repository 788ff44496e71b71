"""Labels that a data set tells beside its samples are those of the samples, or the samples' own count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Subset, TensorDataset

from fedward.data import own_dataset
from fedward.data.sources import OwnDataError
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


TOLD = {
    "names": lambda classes: [f"digit {c}" for c in classes],
    "one-hot rows": lambda classes: torch.eye(10)[classes],
    "rows of several lengths": lambda classes: [[c] * (1 + c % 2) for c in classes],
    "floats": lambda classes: np.array(classes) / 2,
    "beyond 64 bits": lambda classes: [c + 2**70 for c in classes],
}


class Telling(Digits):
    """Samples have whole numbers, and what is told beside them is something else."""

    def __init__(self, told: str = "names", own: Any = int) -> None:
        super().__init__()
        self.classes, self.own = self.targets, own
        self.targets = TOLD[told](self.classes)

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        self.asked.append(i)
        return torch.ones(2) * i, self.own(self.classes[i])


@pytest.mark.parametrize("told", TOLD)
@pytest.mark.parametrize("subset", [False, True])
def test_where_what_is_told_is_no_label_the_samples_own_count(told: str, subset: bool) -> None:
    held = Telling(told)
    whole = own_dataset((Subset(held, range(40)),) * 2 if subset else (held, held))
    assert whole.train.labels.tolist() == held.classes


@pytest.mark.parametrize("own", [str, lambda c: c / 2, lambda c: torch.eye(10)[c]])
def test_where_samples_have_no_numbers_either_what_is_told_is_refused(own: Any) -> None:
    held = Telling("names", own)
    with pytest.raises(OwnDataError, match="train labels are <U7; whole numbers from 0 are needed"):
        own_dataset((held, held))


def test_a_subclass_of_a_tensor_data_set_that_relabels_is_asked() -> None:
    class Halves(TensorDataset):
        def __getitem__(self, i: Any) -> Any:
            sample, label = super().__getitem__(i)
            return sample, (label >= 5).long()

    held = Halves(torch.ones(40, 2), torch.arange(40) % 10)
    assert own_dataset((held, held)).train.labels.tolist() == [int(i % 10 >= 5) for i in range(40)]
