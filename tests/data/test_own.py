"""Data of anybody's own: what people hold it in becomes a data set, or an error says what is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import IterableDataset, Subset, TensorDataset

import fedward as fw
from fedward import sim
from fedward.data import Dataset, Lazy, Natural, Split, federate, hold_out, own_dataset
from fedward.data.sources import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 5, 4, 3), dtype=np.uint8)
LABELS = np.arange(12) % 3
INPUTS = torch.from_numpy(IMAGES.transpose(0, 3, 1, 2).copy()).float() / 255


class Torch(TorchDataset[Any]):
    """A data set that counts what is read of it."""

    def __init__(self, read: Callable[[int], Any] = lambda i: INPUTS[i], labels: Any = LABELS) -> None:
        self.read, self.held = read, labels
        self.asked: list[int] = []

    def __len__(self) -> int:
        return len(self.held)

    def __getitem__(self, i: int) -> Any:
        self.asked.append(i)
        return self.read(i), self.held[i]


class Labelled(Torch):
    """One that tells its labels, as those of torchvision do."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.targets = [int(label) for label in self.held]


class Table:
    """What a Hugging Face Dataset looks like."""

    def __init__(self, classes: int | None = None, **columns: Any) -> None:
        self.columns = columns
        self.column_names = list(columns)
        self.features = {name: type("Feature", (), {})() for name in columns}
        if classes is not None:
            self.features["label"].num_classes = classes  # type: ignore[attr-defined]
        self.asked: list[Any] = []

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, key: int | str) -> Any:
        self.asked.append(key)
        if isinstance(key, str):
            return self.columns[key]
        return {name: column[key] for name, column in self.columns.items()}


def pictures() -> list[Image.Image]:
    return [Image.fromarray(image) for image in IMAGES]


FORMS: dict[str, Callable[[], Any]] = {
    "tensors": lambda: (INPUTS, torch.from_numpy(LABELS)),
    "doubles": lambda: (INPUTS.double(), torch.from_numpy(LABELS)),
    "bytes": lambda: (IMAGES, LABELS),
    "bytes, channels first": lambda: (torch.from_numpy(IMAGES.transpose(0, 3, 1, 2).copy()), LABELS.tolist()),
    "a list of arrays": lambda: (list(IMAGES), LABELS),
    "a split": lambda: Split(inputs=INPUTS, labels=torch.from_numpy(LABELS)),
    "TensorDataset": lambda: TensorDataset(INPUTS, torch.from_numpy(LABELS)),
    "torch": Torch,
    "torch with labels": Labelled,
    "torch of arrays": lambda: Torch(lambda i: IMAGES[i]),
    "torch of pictures": lambda: Torch(lambda i: pictures()[i]),
    "torch of dictionaries": lambda: Dictionaries(),
    "subset": lambda: Subset(Labelled(lambda i: INPUTS[i % 12], np.tile(LABELS, 2)), range(12, 24)),
    "table": lambda: Table(3, image=pictures(), label=LABELS.tolist()),
}


class Dictionaries(Torch):
    def __getitem__(self, i: int) -> Any:
        return {"pixel_values": INPUTS[i], "labels": torch.tensor(LABELS[i])}


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
    assert set(train.asked) <= {0}  # the first one says what all are like
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


def part(inputs: Any = INPUTS, labels: Any = LABELS) -> tuple[Any, Any]:
    return inputs, labels


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


# --- holding out --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form", ["tensors", "bytes", "a list of arrays", "torch", "torch with labels", "TensorDataset"]
)
def test_a_share_is_held_out(form: str) -> None:
    value = FORMS[form]()
    made, again, other = (own_dataset(hold_out(value, 0.25, seed)) for seed in (0, 0, 1))
    assert (len(made.train), len(made.test)) == (9, 3)
    assert torch.equal(made.test.inputs[:], again.test.inputs[:])
    assert not torch.equal(made.test.inputs[:], other.test.inputs[:])
    both = torch.cat([made.train.inputs[:], made.test.inputs[:]]).flatten(1)
    assert sorted(both.tolist()) == sorted(INPUTS.flatten(1).tolist())
    labels = {tuple(row.tolist()): int(label) for row, label in zip(INPUTS.flatten(1), LABELS, strict=True)}
    for split in (made.train, made.test):
        assert [labels[tuple(row.tolist())] for row in split.inputs[:].flatten(1)] == split.labels.tolist()


@pytest.mark.parametrize(("data", "share"), [(part(), 0), (part(), 1.0), (part(INPUTS[:1], LABELS[:1]), 0.5)])
def test_nothing_or_everything_cannot_be_held_out(data: Any, share: float) -> None:
    with pytest.raises(ValueError, match="a share between 0 and 1 of two samples or more"):
        hold_out(data, share)


# --- in a simulation ----------------------------------------------------------------------------------------


class Net(nn.Sequential):
    def __init__(self, shape: tuple[int, ...] = (3, 5, 4), classes: int = 3) -> None:
        super().__init__(nn.Flatten(), nn.Linear(int(np.prod(shape)), classes))


@pytest.mark.parametrize(
    "algorithm", [fw.clients.Gradient(batch_size=3), fw.clients.LocalSGD(batch_size=2, epochs=1, lr=0.1)]
)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("attack", [fw.attacks.LabelFlip(), fw.attacks.ALIE()])
def test_lazy_samples_train_as_those_in_memory_do(algorithm: Any, threads: int, attack: Any) -> None:
    rows = []
    for form in ("tensors", "torch with labels"):
        value = FORMS[form]()
        run = fw.Simulation(
            model=Net,
            data=federate((value, FORMS[form]()), clients=4),
            rule=fw.rules.Median(),
            attack=attack,
            byzantine=1,
            clients=algorithm,
            threads=threads,
        )
        records = list(run.run(rounds=3, evaluate_every=1))
        rows.append((run.progress.parameters.clone(), [(r.accuracy, r.loss) for r in records]))
    assert torch.equal(rows[0][0], rows[1][0])
    assert rows[0][1] == rows[1][1]


def test_a_rule_with_root_data_and_an_attack_with_an_aim_take_lazy_samples() -> None:
    data = federate((Labelled(), Labelled()), clients=4)
    run = fw.Simulation(
        model=Net,
        data=data,
        rule=fw.rules.FLTrust(),
        attack=fw.attacks.Backdoor(size=1),
        byzantine=1,
        clients=fw.clients.Gradient(batch_size=3),
        root=5,
    )
    [record] = run.run(rounds=1, evaluate_every=1)
    assert record.confidence is not None


def test_checkpoints_tell_lazy_data_from_other_data(tmp_path: Any) -> None:
    def run(read: Callable[[int], Any]) -> None:
        simulation = fw.Simulation(
            model=Net,
            data=federate((Labelled(read), Labelled()), clients=4),
            rule=fw.rules.Mean(),
            clients=fw.clients.Gradient(batch_size=3),
        )
        list(simulation.run(rounds=1, checkpoint=tmp_path / "run.pt"))

    run(lambda i: INPUTS[i])
    run(lambda i: INPUTS[i])
    with pytest.raises(sim.CheckpointError, match="data"):
        run(lambda i: INPUTS[i] * (2 if i == 5 else 1))


def test_a_lazy_batch_of_nothing_and_of_none() -> None:
    lazy = Lazy(lambda i: INPUTS[i], 12)
    assert lazy[torch.empty(0, dtype=torch.int64)].shape == (0, 3, 5, 4)
    assert lazy.to("meta") is lazy
    with pytest.raises(ValueError, match="needs samples, got none"):
        Lazy(lambda i: INPUTS[i], 0)
