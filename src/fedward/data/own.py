"""Data of anybody's own: whatever people hold samples and labels in, as a `Dataset`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, Subset

from .adapters import Part, inputs_of, is_table, is_torch, labels_of, of_table, of_torch, refuse_frames
from .dataset import Dataset, Split
from .lazy import Lazy, fault_of
from .sources import OwnDataError
from .tokens import Tokenizer, wordless

__all__ = ["hold_out", "own_dataset"]

_TRAIN = ("train", "training")
_TEST = ("test", "validation", "valid", "val")
_MOST_CLASSES = 100_000
_FORMS = (
    "a fedward.data.Dataset; (train, test), each a pair of inputs and labels, a torch Dataset or a Hugging Face "
    'Dataset; or {"train": ..., "test": ...}'
)


def own_dataset(value: Any, name: str = "own") -> Dataset:
    """A data set of whatever people hold one in.

    A pair (train, test) or a mapping with these keys. Each of the two is a pair of inputs and labels (tensors, arrays,
    lists of texts), a `torch.utils.data.Dataset`, which is read when samples are needed, or a Hugging Face Dataset
    with a column of labels and one of images or texts, or columns of numbers. Bytes are taken for pixels and scaled to
    [0, 1], texts are made into tokens by a `Tokenizer` of the training set, other numbers stay as they are.

    Args:
        value: the data.
        name: in records and checkpoints.

    Raises:
        OwnDataError: it is nothing of the kind, the test set is missing, labels, samples and classes do not fit, or
            a data set of yours raised an error: the message says where.

    Examples:
        >>> import torch
        >>> train, test = (torch.randn(90, 4), torch.arange(90) % 3), (torch.randn(30, 4), torch.arange(30) % 3)
        >>> mine = own_dataset((train, test), name="mine")
        >>> mine.name, len(mine.train), len(mine.test), mine.classes
        ('mine', 90, 30, 3)
    """
    if isinstance(value, Dataset):
        return value
    try:
        train, test = (_part(part, which) for part, which in zip(_two(value, name), ("train", "test"), strict=True))
        return _together(name, train, test)
    except Exception as error:
        told = fault_of(error)
        if told is None:
            raise
        raise OwnDataError(f"{name}: {told}") from error


def hold_out(data: Any, share: float = 0.2, seed: int = 0) -> tuple[Any, Any]:
    """A training and a test set of data without one: a pair of inputs and labels, or a data set of PyTorch's or others.

    Args:
        data: with a length: a pair, a data set of PyTorch's, a Hugging Face Dataset, or a mapping with one as "train".
        share: of the samples that are held out, drawn at random; at least one is, and one is left.
        seed: of the draw.

    Returns:
        (train, test), as `own_dataset` takes them.

    Raises:
        ValueError: fewer than two samples, or nobody knows how many, or a share that is not between 0 and 1, or frames
            of pandas.
    """
    if isinstance(data, Mapping):
        data = _of_mapping(data)
    refuse_frames(data, "data")
    if not hasattr(data, "__len__"):
        raise ValueError(f"{type(data).__name__} does not say how many samples it has: nothing is held out of it")
    count = len(data[1]) if _is_pair(data) else len(data)
    if not 0 < share < 1 or count < 2:
        raise ValueError(f"a share between 0 and 1 of two samples or more is held out, got {share} of {count}")
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    cut = min(max(round(share * count), 1), count - 1)
    test, train = order[:cut].sort().values, order[cut:].sort().values
    if is_table(data) and hasattr(data, "select"):  # a table again, of texts or numbers, which has its classes
        return data.select(train.tolist()), data.select(test.tolist())
    if not _is_pair(data):
        return Subset(data, train.tolist()), Subset(data, test.tolist())
    parts = [[_chosen(side, places) for side in data] for places in (train, test)]
    return tuple(parts[0]), tuple(parts[1])


def _of_mapping(data: Mapping[Any, Any]) -> Any:
    """What a mapping without a test set has to train with."""
    found = next((data[key] for key in _TRAIN if key in data), None)
    if found is None:
        raise ValueError(f"a share is held out of 'train', got {', '.join(map(repr, data)) or 'nothing'}")
    return found


def _chosen(side: Any, places: Tensor) -> Any:
    if isinstance(side, list):
        return [side[i] for i in places.tolist()]
    return side[places.numpy() if isinstance(side, np.ndarray) else places]


# --- training and test set ----------------------------------------------------------------------------------


def _two(value: Any, name: str) -> tuple[Any, Any]:
    """The training and the test set."""
    if not isinstance(value, tuple | list):
        refuse_frames(value, "train")
    if isinstance(value, Mapping):
        found = [next((value[key] for key in keys if key in value), None) for keys in (_TRAIN, _TEST)]
        if found[0] is None or found[1] is None:
            raise ValueError(
                f"'train' and 'test' are needed, got {', '.join(map(repr, value)) or 'nothing'}; "
                "without a test set let fedward.data.hold_out(data, share=0.2) make one"
            )
        return found[0], found[1]
    if _is_pair(value) or is_table(value) or is_torch(value):
        raise ValueError(
            "a test set is needed besides the training set: return (train, test), or let "
            "fedward.data.hold_out(data, share=0.2) make one"
        )
    if isinstance(value, tuple | list) and len(value) == 2:
        return value[0], value[1]
    many = f" of {len(value)}" if isinstance(value, tuple | list) else ""
    raise ValueError(f"{name} returns {type(value).__name__}{many}; a data set is {_FORMS}")


def _is_pair(value: Any) -> bool:
    """Whether this is inputs and labels. Lists hold samples or labels, tuples hold training and test set."""
    return (
        isinstance(value, tuple | list)
        and len(value) == 2
        and all(isinstance(side, Tensor | np.ndarray | Lazy | list) for side in value)
    )


def _part(value: Any, which: str) -> Part:
    refuse_frames(value, which)
    if isinstance(value, Split):
        owners = None if value.owners is None else value.owners.tolist()
        return Part(inputs=value.inputs, labels=value.labels, owners=owners)
    if _is_pair(value):
        inputs, labels = value
        return Part(inputs=inputs_of(inputs, which), labels=labels_of(labels, which))
    if is_table(value):
        return of_table(value, which)
    if isinstance(value, IterableDataset):
        raise ValueError(f"{which} can only be gone through, {type(value).__name__}; a data set with numbers is needed")
    if is_torch(value):
        return of_torch(value, which)
    raise ValueError(f"{which} is {type(value).__name__}; a data set is {_FORMS}")


def _together(name: str, train: Part, test: Part) -> Dataset:
    """The data set of both, checked."""
    for part, which in ((train, "train"), (test, "test")):
        if len(part.inputs) != len(part.labels):
            raise ValueError(
                f"{which} has {len(part.inputs)} samples and {len(part.labels)} labels: one for each is needed"
            )
        if len(part.labels) == 0:
            raise ValueError(f"{which} has no samples")
    classes = _classes(train, test)
    vocabulary = None
    inputs = [train.inputs, test.inputs]
    if isinstance(train.inputs, list) or isinstance(test.inputs, list):
        inputs, vocabulary = _tokens(train.inputs, test.inputs)
    elif not train.inputs.dtype.is_floating_point and len(train.inputs.shape) == 2:
        inputs, vocabulary = [train.inputs, test.inputs], _highest_token(train.inputs, test.inputs)
    splits = []
    names: dict[Any, int] = {}
    for held, part in zip(inputs, (train, test), strict=True):
        assert not isinstance(held, list)
        splits.append(Split(inputs=held, labels=part.labels, owners=_numbered(part.owners, names)))
    first, second = (tuple(split.inputs.shape[1:]) for split in splits)
    if first != second:
        raise ValueError(f"samples of train are {first}, those of test {second}: bring them to one size")
    return Dataset(name=name, train=splits[0], test=splits[1], classes=classes, vocabulary=vocabulary)


def _numbered(owners: list[Any] | None, names: dict[Any, int]) -> Tensor | None:
    """Owners as numbers, the same in both splits."""
    return None if owners is None else torch.tensor([names.setdefault(owner, len(names)) for owner in owners])


def _classes(train: Part, test: Part) -> int:
    """How many classes there are: as many as are said, or as the training set's labels go up to."""
    labels = train.labels
    lowest, highest = int(labels.min()), int(labels.max())
    classes = train.classes or highest + 1
    if lowest < 0 or highest >= classes:
        wrong = lowest if lowest < 0 else highest
        raise ValueError(f"labels are whole numbers from 0 to {classes - 1}, one of train is {wrong}")
    if train.classes is None and (classes > _MOST_CLASSES or (lowest > 0 and highest > lowest)):
        raise ValueError(
            f"labels of train go from {lowest} to {highest}: count classes from 0, as "
            "numpy.unique(labels, return_inverse=True)[1] does"
        )
    if lowest == highest:
        raise ValueError(f"all {len(labels)} samples of train are of class {lowest}: two classes or more are needed")
    beyond = test.labels[(test.labels < 0) | (test.labels >= classes)]
    if len(beyond):
        raise ValueError(f"test has label {int(beyond[0])}, and train has the {classes} classes 0 to {classes - 1}")
    return classes


def _tokens(train: Any, test: Any, words: int = 10_000, length: int = 32) -> tuple[list[Any], int]:
    if not (isinstance(train, list) and isinstance(test, list)):
        raise ValueError("one of train and test is text, the other is not")
    tokenizer = Tokenizer.built(train, words, length)
    tokens = [tokenizer(texts) for texts in (train, test)]
    for which, texts, made in zip(("train", "test"), (train, test), tokens, strict=True):
        if bare := wordless(made):
            remedy = "leave them out"
            if len(bare) == len(texts):
                remedy = "known are the words of the training set, of letters and digits; are these texts like its own?"
            raise ValueError(
                f"{len(bare)} of {len(texts)} texts of {which} have no known word, the first number {bare[0] + 1}, "
                f"{texts[bare[0]]!r:.80}: {remedy}"
            )
    return list(tokens), tokenizer.vocabulary


def _highest_token(train: Tensor | Lazy, test: Tensor | Lazy) -> int | None:
    """The size of a vocabulary of which these are tokens, if they are in memory to be looked at."""
    if isinstance(train, Lazy) or isinstance(test, Lazy):
        return None
    lowest = min(int(train.min()), int(test.min()))
    if lowest < 0:
        return None  # whole numbers that are no tokens
    return max(int(train.max()), int(test.max())) + 1
