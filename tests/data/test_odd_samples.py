"""Samples and labels of forms that one meets: refused with a sentence, or read whole, never read in part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from fedward.data.content import FormatError
from fedward.data.dataset import Dataset, Split
from fedward.data.dealing import federate
from fedward.data.lazy import Lazy
from fedward.data.own import own_dataset
from fedward.data.sources import OwnDataError
from fedward.data.texts import read_texts
from fedward.data.validation import held_out

LABELS = torch.tensor([0, 1, 0])


class Held(TorchDataset[Any]):
    def __init__(self, inputs: Any, labels: Any) -> None:
        self.inputs = inputs
        self.targets = labels

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        return self.inputs[i], self.targets[i]


@pytest.mark.parametrize("kind", [torch.tensor, np.asarray])
def test_numbers_for_samples_that_hold_nan_are_named(kind: Any) -> None:
    pair = kind([1.0, 2.0, float("nan")]), LABELS
    with pytest.raises(OwnDataError, match="train sample 2 holds NaN or infinity: drop or repair"):
        own_dataset((pair, pair))


def test_a_number_that_is_nan_is_named_when_it_is_read() -> None:
    with pytest.raises(ValueError, match="sample 0 holds NaN or infinity"):
        Lazy([float("nan"), 1.0].__getitem__, 2)


@pytest.mark.parametrize("inputs", [torch.tensor(1.0), np.asarray(1.0)])
def test_a_single_number_is_no_samples(inputs: Any) -> None:
    with pytest.raises(OwnDataError, match="train samples are a single number"):
        own_dataset(((inputs, LABELS), (torch.zeros(3), LABELS)))


@pytest.mark.parametrize("kind", [torch.tensor, np.asarray])
def test_one_hot_labels_of_a_data_set_of_pytorch_s_are_refused_with_the_remedy(kind: Any) -> None:
    held = Held(torch.zeros(3, 2), kind(np.eye(3)[LABELS.numpy()].tolist()))
    with pytest.raises(OwnDataError, match=r"train labels are 3 x 3; .*labels.argmax\(1\)"):
        own_dataset((held, held))


def of_type(dtype: torch.dtype) -> Any:
    return torch.zeros(3, 2), LABELS.to(dtype)


Y = LABELS.tolist()
OBJECTS = np.array([1, None], dtype=object)


@pytest.mark.parametrize(
    ("part", "why"),
    [
        (of_type(torch.bfloat16), r"train labels are bfloat16; whole numbers from 0 are needed"),
        (of_type(torch.float16), r"train labels are float16; whole numbers"),
        (of_type(torch.complex64), r"train labels are complex64; whole numbers"),
        (Held(torch.zeros(3, 2), LABELS.to(torch.bfloat16)), r"train labels are float64; whole numbers"),
        (Held([OBJECTS] * 3, Y), r"train sample 0 is an array of object; numbers are needed"),
        (Held([["a", "b"]] * 3, Y), r"train sample 0 is an array of <U1; numbers are needed"),
        (Held([[1.0, None]] * 3, Y), r"train sample 0 is an array of object; numbers are needed"),
        ((["a", None, "b"], Y), r"train sample 1 is NoneType, others are texts: drop or repair"),
        ((np.array(["a", None, "b"], dtype=object), Y), r"train samples are object; numbers or texts are needed"),
        (([torch.zeros(2), None, torch.ones(2)], Y), r"train samples differ in size"),
        ((torch.zeros(3, 2), [0, None, 1]), r"train labels are object; whole numbers"),
        ((torch.zeros(3, 2), torch.zeros(3).to_sparse().long()), r""),
    ],
)
def test_whatever_is_wrong_with_data_is_one_kind_of_error(part: Any, why: str) -> None:
    with pytest.raises(OwnDataError, match=f"mine: {why}"):
        own_dataset((part, part), "mine")


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.float16, np.longdouble, ">f4", ">i2"])
def test_arrays_of_every_type_of_number_are_samples(dtype: Any) -> None:
    held = Held([np.array([1, 2], dtype=dtype)] * 3, Y)
    found = own_dataset((held, held)).train.inputs[:]
    assert found.tolist() == [[1, 2]] * 3
    assert found.dtype == (torch.float32 if np.dtype(dtype).kind == "f" else torch.int64)


def test_labels_of_one_number_each_are_read() -> None:
    held = Held(torch.zeros(3, 2), LABELS[:, None])
    assert own_dataset((held, held)).train.labels.tolist() == LABELS.tolist()


def test_a_mask_takes_the_samples_that_it_marks() -> None:
    held = Lazy(torch.arange(6.0).reshape(3, 2).__getitem__, 3)
    mask = torch.tensor([False, True, True])
    assert held[mask].tolist() == [[2.0, 3.0], [4.0, 5.0]]
    assert held[~mask & mask].shape == (0, 2)


@pytest.mark.parametrize("clients", [0, -1])
def test_fewer_than_one_client_is_said_plainly(clients: int) -> None:
    part = Split(inputs=torch.zeros(3, 2), labels=LABELS)
    dataset = Dataset(name="tiny", train=part, test=part, classes=2)
    with pytest.raises(ValueError, match=f"clients must be at least 1, got {clients}"):
        federate(dataset, clients)


def texts_of(content: str, folder: Path) -> list[str]:
    files = {}
    for name in ("train.csv", "test.csv"):
        files[name] = folder / name
        files[name].write_text(content, encoding="utf-8")
    return list(read_texts(files)[0].samples)


@pytest.mark.parametrize(
    ("header", "row", "text"),
    [
        ("headline,label", "one,0", "one"),
        ("headline,body,label", "one,two,0", "one two"),
        ("headline,label,body", "one,0,two", "one two"),
        ("label,headline,body", "0,one,two", "one two"),
        ("id,text,label", "one,two,0", "two"),
    ],
)
def test_all_columns_but_the_label_are_the_text_where_none_is_called_so(
    header: str, row: str, text: str, tmp_path: Path
) -> None:
    assert texts_of(f"{header}\n{row}\n", tmp_path) == [text]


@pytest.mark.parametrize("header", ["id,text,mood", "mood,text", "text,mood"])
def test_texts_whose_header_does_not_say_where_labels_are_are_refused(header: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=f"expected a column of labels, .*found {header.replace(',', ', ')}"):
        texts_of(f"{header}\n{','.join('1' for _ in header.split(','))}\n", tmp_path)


def test_a_share_of_the_training_data_is_no_sample_short_by_rounding() -> None:
    part = Split(inputs=torch.zeros(100, 1), labels=torch.arange(100) % 2)
    dataset = Dataset(name="tiny", train=part, test=part, classes=2)
    found: Tensor = held_out(dataset, 0.29).test.labels  # 0.29 * 100 is 28.999999999999996
    assert len(found) == 29


@pytest.mark.parametrize("count", [1, 2, 63, 64, 65, 1_000, (1 << 24) + 1, 1 << 25, 3 << 24, 10**9])
def test_samples_that_tell_a_data_set_from_others_are_samples_of_it(count: int) -> None:
    asked: list[int] = []

    def read(place: int) -> Tensor:
        asked.append(place)
        return torch.zeros(1)

    held = Lazy(read, count)
    asked.clear()
    assert len(held.telling()) == min(count, 64)
    assert (asked[0], asked[-1]) == (0, count - 1)
    assert asked == sorted(set(asked))
