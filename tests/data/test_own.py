"""Data of anybody's own: what people hold it in becomes a data set, or an error says what is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from fedward.data import Dataset, Natural, Split, federate, own_dataset
from fedward.data.sources import DataError
from tests.data.own import FORMS, IMAGES, INPUTS, LABELS, Labelled, Table, Torch, part, pictures


@pytest.mark.parametrize("form", FORMS)
def test_whatever_holds_images_and_labels_is_a_data_set(form: str) -> None:
    for value in ((FORMS[form](), FORMS[form]()), {"train": FORMS[form](), "test": FORMS[form]()}):
        made = own_dataset(value, "mine")
        assert (made.name, made.classes, made.shape, made.vocabulary) == ("mine", 3, (3, 5, 4), None)
        for split in (made.train, made.test):
            assert torch.equal(split.inputs[:], INPUTS)
            assert torch.equal(split.inputs[torch.tensor([3, 0])], INPUTS[[3, 0]])
            assert split.inputs.dtype == torch.float32
            assert torch.equal(split.labels, torch.from_numpy(LABELS))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_labels_of_any_whole_type(dtype: str) -> None:
    part = (INPUTS, LABELS.astype(dtype))
    made = own_dataset((part, part))
    assert made.train.labels.tolist() == LABELS.tolist()
    assert made.train.labels.dtype == torch.int64


def test_labels_of_true_and_false_are_two_classes() -> None:
    part = (INPUTS, LABELS == 1)
    assert own_dataset((part, part)).classes == 2


def test_a_data_set_of_ones_own_is_left_as_it_is() -> None:
    split = Split(inputs=INPUTS, labels=torch.from_numpy(LABELS))
    made = Dataset(name="x", train=split, test=split, classes=7)
    assert own_dataset(made) is made


def test_samples_of_a_torch_data_set_are_read_when_they_are_needed() -> None:
    train, test = Labelled(), Labelled()
    made = own_dataset((train, test))
    assert set(train.asked) <= {0, 1, 2}  # the first one says what all are like, and one of each class what labels are
    made.train.inputs[torch.tensor([7, 4])]
    assert train.asked[-2:] == [7, 4]
    table = Table(3, image=pictures(), label=LABELS.tolist())
    own_dataset((table, table))
    assert {key for key in table.asked if isinstance(key, int)} <= {0}


def test_texts_become_tokens_of_the_training_set() -> None:
    train = (["red red blue", "green blue red"], [0, 1])
    test = (["blue purple"], [1])
    for value in ((train, test), tuple(Table(2, text=texts, label=labels) for texts, labels in (train, test))):
        made = own_dataset(value)
        assert made.vocabulary == 5
        assert made.train.inputs[0, :4].tolist() == [2, 2, 3, 0]
        assert made.test.inputs[0, :3].tolist() == [3, 1, 0]


def test_columns_of_numbers_become_rows() -> None:
    table = Table(2, age=[1, 2, 3], height=[0.5, 1.5, 2.5], label=[0, 1, 0])
    made = own_dataset({"train": table, "test": table})
    assert made.train.inputs[:].tolist() == [[1, 0.5], [2, 1.5], [3, 2.5]]
    assert made.train.inputs.dtype == torch.float32


def test_owners_of_a_table_are_numbered_alike_in_both_splits() -> None:
    train = Table(3, image=pictures(), label=LABELS.tolist(), writer_id=["b", "a"] * 6)
    test = Table(3, image=pictures(), label=LABELS.tolist(), writer_id=["a", "c"] * 6)
    made = own_dataset((train, test))
    assert made.train.owners is not None
    assert made.test.owners is not None
    assert made.train.owners.tolist() == [0, 1] * 6
    assert made.test.owners.tolist() == [1, 2] * 6
    split = Split(inputs=INPUTS, labels=torch.from_numpy(LABELS), owners=torch.arange(12) // 2)
    kept = own_dataset((split, split)).train.owners
    assert kept is not None
    assert kept.tolist() == [i // 2 for i in range(12)]
    with pytest.raises(ValueError, match="3 owners do not fit 12 labels"):
        Split(inputs=INPUTS, labels=torch.from_numpy(LABELS), owners=torch.arange(3))


def test_real_tables_of_hugging_face() -> None:
    datasets = pytest.importorskip("datasets", reason="Hugging Face's datasets is not installed")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list("abcd"))})
    images = datasets.Dataset.from_dict({"image": pictures(), "label": LABELS.tolist()}, features=features)
    made = own_dataset(datasets.DatasetDict(train=images, test=images))
    assert made.classes == 4
    assert torch.equal(made.train.inputs[:], INPUTS)
    texts = datasets.Dataset.from_dict({"text": ["a b", "b"], "label": [0, 1], "user_id": [7, 9]})
    assert own_dataset((texts, texts)).vocabulary == 4
    assert federate((texts, texts), 2, Natural()).n == 2
    numbers = datasets.Dataset.from_dict({"x": [1, 2], "y": [0.5, 1], "label": [0, 1]})
    assert own_dataset((numbers, numbers)).train.inputs[:].tolist() == [[1, 0.5], [2, 1]]


def test_classes_that_a_table_tells_count() -> None:
    table = Table(10, image=pictures(), label=LABELS.tolist())
    assert own_dataset((table, table)).classes == 10


def test_whole_numbers_in_rows_are_tokens() -> None:
    part = (torch.tensor([[1, 2], [5, 0]], dtype=torch.int32), torch.tensor([0, 1]))
    made = own_dataset((part, part))
    assert (made.train.inputs.dtype, made.vocabulary) == (torch.int64, 6)


def nan() -> Tensor:
    inputs = INPUTS.clone()
    inputs[4, 1, 2, 3] = float("nan")
    return inputs


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "no test set: a pair": (part, r"a test set is needed .*hold_out\(data, share=0\.2\)"),
    "no test set: torch": (Torch, r"a test set is needed"),
    "no test set: table": (lambda: Table(3, image=[0], label=[0]), r"a test set is needed"),
    "no test set: mapping": (lambda: {"train": part()}, r"'train' and 'test' are needed, got 'train'.*hold_out"),
    "four": (
        lambda: (INPUTS, LABELS, INPUTS, LABELS),
        r"returns tuple of 4; a data set is .*\(train, test\), each a pair",
    ),
    "nothing": (lambda: None, r"returns NoneType; a data set is a fedward\.data\.Dataset"),
    "a number for a split": (lambda: (part(), 3), r"test is int; a data set is"),
    "an iterator": (lambda: (Endless(), Endless()), r"train can only be gone through, Endless"),
    "an empty data set": (lambda: (Torch(labels=[]), Torch()), r"train has no samples"),
    "fewer labels": (lambda: (part(labels=LABELS[:5]), part()), r"train has 12 samples and 5 labels"),
    "no samples": (lambda: (part(INPUTS[:0], LABELS[:0]), part()), r"train has no samples"),
    "one-hot": (lambda: (part(labels=np.eye(3)[LABELS]), part()), r"labels are 12 x 3; .*labels\.argmax\(1\)"),
    "labels as floats": (
        lambda: (part(labels=LABELS / 1.0), part()),
        r"labels are float64; whole numbers .*np|numpy\.unique",
    ),
    "labels as text": (lambda: (part(labels=list("abcabcabcabc")), part()), r"labels are <U1; whole .* numpy\.unique"),
    "counted from 1": (
        lambda: (part(labels=LABELS + 1), part(labels=LABELS + 1)),
        r"go from 1 to 3: count classes from 0",
    ),
    "ids": (lambda: (part(labels=LABELS * 10**9), part()), r"go from 0 to 2000000000: count classes from 0"),
    "too large": (lambda: (part(labels=LABELS.astype("uint64") + 2**63), part()), r"labels go up to 922337"),
    "negative": (lambda: (part(labels=LABELS - 1), part()), r"whole numbers from 0 to 1, one of train is -1"),
    "more than a table tells": (
        lambda: (Table(2, image=pictures(), label=LABELS.tolist()),) * 2,
        r"whole numbers from 0 to 1, one of train is 2",
    ),
    "one class": (
        lambda: (part(labels=LABELS * 0), part(labels=LABELS * 0)),
        r"all 12 samples of train are of class 0",
    ),
    "unknown class": (
        lambda: (part(), part(labels=LABELS + 3)),
        r"test has label 3, and train has the 3 classes 0 to 2",
    ),
    "NaN": (lambda: (part(nan()), part()), r"train sample 4 holds NaN or infinity: drop or repair"),
    "complex": (lambda: (part(INPUTS.to(torch.complex64)), part()), r"real numbers are needed, got torch\.complex64"),
    "other shape": (
        lambda: (part(), part(INPUTS[:, :, :4])),
        r"samples of train are \(3, 5, 4\), those of test \(3, 4, 4\)",
    ),
    "sizes": (
        lambda: (part([np.zeros((2, 2)), np.zeros((3, 2))], [0, 1]), part()),
        r"differ in size: 2 x 2, 3 x 2; bring",
    ),
    "objects": (lambda: (part(np.array([{}] * 12)), part()), r"samples are object; numbers or texts are needed"),
    "text and none": (
        lambda: ((["a b", "c"], [0, 1]), (INPUTS[:2], [0, 1])),
        r"one of train and test is text, the other is not",
    ),
    "no words": (
        lambda: ((["a b", "?"], [0, 1]), (["a"], [0])),
        r"1 of 2 texts of train have no known word, the first number 2",
    ),
    "unknown words": (lambda: ((["a b", "c"], [0, 1]), (["z"], [0])), r"1 of 1 texts of test have no known word"),
    "no label column": (lambda: (Table(image=[0], size=[0]),) * 2, r"train has columns image, size; .*called label"),
    "no columns of use": (lambda: (Table(label=[0, 1], x=[[1], [2]][:0] or [None, None]),) * 2, r"train has|sample"),
    "a dictionary without labels": (
        lambda: (Wrong({"image": 1}), Wrong({})),
        r"samples with image; 'image' and 'label'",
    ),
    "a sample of one": (lambda: (Wrong(3), Wrong(3)), r"a sample of train is int; \(input, label\) is needed"),
}


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(())


class Wrong(Torch):
    def __init__(self, item: Any) -> None:
        super().__init__()
        self.item = item

    def __getitem__(self, i: int) -> Any:
        return self.item


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_data_set_is_refused_with_the_remedy(case: str) -> None:
    make, pattern = BAD[case]
    with pytest.raises(DataError, match=pattern) as caught:
        own_dataset(make(), "mine")
    assert "mine" in str(caught.value)


@pytest.mark.parametrize(
    ("read", "pattern"),
    [
        (
            lambda i: INPUTS[i, :, : 5 - i // 7],
            r"train sample 7 is 3 x 4 x 4 of float32, train sample 0 3 x 5 x 4 .*one size",
        ),
        (lambda i: INPUTS[i] if i < 7 else IMAGES[i].astype(np.int64), r"train sample 7 is 5 x 4 x 3 of int64"),
        (lambda i: INPUTS[i] * (float("nan") if i == 7 else 1), r"train sample 7 holds NaN"),
        (lambda i: INPUTS[i] if i < 7 else "seven", r"train sample 7 is str; a tensor, an array or an image is needed"),
    ],
)
def test_a_bad_sample_among_lazy_ones_is_named_when_it_is_read(read: Callable[[int], Any], pattern: str) -> None:
    made = own_dataset((Labelled(read), Labelled()))
    made.train.inputs[:7]
    with pytest.raises(DataError, match=pattern):
        made.train.inputs[:8]
