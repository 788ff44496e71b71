"""A mistake in a user's own data set says what it is and where; frames of pandas are refused by name."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset as TorchDataset

from fedward.data import hold_out, own_dataset
from fedward.data.sources import OwnDataError


class Failing(TorchDataset[Any]):
    """Reading sample `at` raises what is given."""

    def __init__(self, error: Exception, at: int = 0) -> None:
        self.error = error
        self.at = at
        self.targets = [0, 1, 0, 1]

    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        if i == self.at:
            raise self.error
        return torch.ones(2), self.targets[i]


ERRORS = [
    TypeError("'NoneType' object is not subscriptable"),
    ValueError("not enough values to unpack"),
    RuntimeError("sizes differ"),
    KeyError("label"),
    IndexError("list index out of range"),
    AttributeError("'Failing' object has no attribute 'lbl'"),
    ZeroDivisionError("division by zero"),
]
PLACE = rf"\(in __getitem__, {re.escape(__file__)}, line \d+\)"


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_mistake_in_a_data_set_is_told_with_its_place(error: Exception) -> None:
    told = rf"{type(error).__name__}: {re.escape(str(error))} {PLACE}$"
    with pytest.raises(OwnDataError, match=rf"^mine: {told}"):
        own_dataset((Failing(error), Failing(error)), "mine")
    later = own_dataset((Failing(error, 3), Failing(error, 3)), "mine")
    with pytest.raises(OwnDataError, match=rf"^train sample 3: {told}"):
        later.train.inputs[:]


@pytest.mark.parametrize("at", [0, 3])
@pytest.mark.parametrize(
    "error", [FileNotFoundError(2, "No such file", "a.png"), MemoryError(), ModuleNotFoundError("no", name="x")]
)
def test_what_has_words_of_its_own_keeps_them(error: Exception, at: int) -> None:
    with pytest.raises(type(error)) as caught:
        own_dataset((Failing(error, at), Failing(error, at))).train.inputs[:]
    assert caught.value is error


class Frame:
    """As one of pandas: gone through by the names of its columns."""

    def __init__(self) -> None:
        self.columns = ["age", "label"]
        self.iloc = self

    def __len__(self) -> int:
        return 4

    def __getitem__(self, name: str) -> list[int]:
        return {"age": [1, 2, 3, 4], "label": [0, 1, 0, 1]}[name]


class Series:
    def __init__(self) -> None:
        self.iloc = [0, 1, 0, 1]

    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> int:
        return self.iloc[i]


class Described(Failing):
    """A data set of PyTorch's that knows its columns."""

    columns = ("age",)


REMEDY = r"frame.drop\(columns='label'\).to_numpy\(\), frame\['label'\].to_numpy\(\)"


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ((Frame(), Frame()), "train is Frame"),
        ({"train": Frame(), "test": Frame()}, "train is Frame"),
        (((torch.ones(4, 1), torch.arange(4) % 2), Frame()), "test is Frame"),
        (((Frame(), Series()), (Frame(), Series())), "train holds Frame"),
        (((torch.ones(4, 1), Series()), (torch.ones(4, 1), Series())), "train holds Series"),
        (Frame(), "train is Frame"),
    ],
)
def test_frames_are_refused_by_name(value: Any, named: str) -> None:
    with pytest.raises(OwnDataError, match=rf"mine: {named}, .*columns by name.*{REMEDY}"):
        own_dataset(value, "mine")


@pytest.mark.parametrize(
    ("value", "named"), [(Frame(), "is Frame"), ({"train": Frame()}, "is Frame"), ((Frame(), Series()), "holds Frame")]
)
def test_nothing_is_held_out_of_frames(value: Any, named: str) -> None:
    with pytest.raises(ValueError, match=rf"data {named}, .*columns by name.*{REMEDY}"):
        hold_out(value)


def test_a_data_set_of_pytorch_s_may_have_columns() -> None:
    held = Described(ValueError(), at=-1)
    assert own_dataset((held, held)).train.labels.tolist() == [0, 1, 0, 1]
    assert len(hold_out(held)[1]) == 1
