"""Samples and labels out of what people hold them in: arrays, data sets of PyTorch's and Hugging Face's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Subset, TensorDataset

from .lazy import Lazy, as_numbers
from .tables import IMAGES, LABELS, TEXTS

OWNERS = ("owner", "writer_id", "character_id", "client_id", "user_id")
"""What columns of those are called to whom samples belong; the first that is there counts."""
_LOOKS = 16
"""Samples whose labels are held against those that a data set tells."""
_ANYTHING = ("x", "data", "inputs", "features")
"""Names of columns of images that columns of texts have, too."""
_MAIN = ("text", "sentence", "content")
"""Names of columns that are the text, or most of it, whatever else there is."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """Samples and labels of one split, before both splits are seen together.

    Args:
        inputs: a tensor or `Lazy`, or texts.
        labels: (N,).
        classes: how many, if that is said.
        owners: whose the samples are, by any names, if that is said.
    """

    inputs: Tensor | Lazy | list[str]
    labels: Tensor
    classes: int | None = None
    owners: list[Any] | None = None


def is_table(value: Any) -> bool:
    """Whether this is a data set of Hugging Face's, or looks like one."""
    return hasattr(value, "column_names") and hasattr(value, "features")


def is_torch(value: Any) -> bool:
    """Whether this is a data set of PyTorch's, or looks like one."""
    return isinstance(value, TorchDataset) or (
        hasattr(value, "__getitem__")
        and hasattr(value, "__len__")
        and not isinstance(value, Sequence | Mapping | np.ndarray)
    )


def refuse_frames(value: Any, which: str) -> None:
    """Frames and series as pandas has them are no samples by number: asked for number 0, they look for a column 0.

    Raises:
        ValueError: this is one, or a pair that holds one.
    """
    inside = isinstance(value, tuple | list) and len(value) == 2
    for part in value if inside else (value,):
        if not is_table(part) and not isinstance(part, TorchDataset) and (hasattr(part, "iloc") or _by_column(part)):
            raise ValueError(
                f"{which} {'holds' if inside else 'is'} {type(part).__name__}, which has columns by name; samples by "
                "number are needed: give (frame.drop(columns='label').to_numpy(), frame['label'].to_numpy())"
            )


def _by_column(value: Any) -> bool:
    return hasattr(value, "columns") and hasattr(value, "__getitem__") and not isinstance(value, Mapping)


def inputs_of(value: Any, which: str) -> Tensor | Lazy | list[str]:
    """Samples as a tensor, or texts as a list.

    Raises:
        ValueError: they differ in size, or are neither numbers nor texts.
    """
    if isinstance(value, Lazy):
        return value
    if isinstance(value, Tensor | np.ndarray) and value.ndim == 0:
        raise ValueError(f"{which} samples are a single number; one of them for each label is needed")
    if isinstance(value, Tensor):
        return as_numbers(value, f"{which} sample")
    if len(value) and all(isinstance(item, str) for item in value):
        return list(value)
    if isinstance(value, list):
        if any(isinstance(item, str) for item in value):
            odd = next(i for i, item in enumerate(value) if not isinstance(item, str))
            raise ValueError(
                f"{which} sample {odd} is {type(value[odd]).__name__}, others are texts: drop or repair such samples"
            )
        shapes = {np.shape(item) for item in value}
        if len(shapes) > 1:
            few = ", ".join(" x ".join(map(str, shape)) for shape in sorted(shapes)[:3])
            raise ValueError(f"{which} samples differ in size: {few}; bring them all to one")
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{which} samples are {array.dtype}; numbers or texts are needed")
    return as_numbers(torch.from_numpy(np.ascontiguousarray(array).astype(_known(array.dtype))), f"{which} sample")


def _known(dtype: np.dtype[Any]) -> Any:
    """A type that PyTorch has, which has no unsigned numbers beside bytes."""
    if dtype == np.uint8:
        return dtype
    return np.float32 if dtype.kind == "f" else np.int64


def labels_of(value: Any, which: str) -> Tensor:
    """Labels as (N,) int64, of any type of whole numbers.

    Raises:
        ValueError: they are no whole numbers, or not one for each sample.
    """
    if isinstance(value, Tensor) and value.dtype == torch.bfloat16:  # which NumPy does not have
        raise ValueError(_no_whole_numbers(which, "bfloat16"))
    array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(
            f"{which} labels are {' x '.join(map(str, array.shape))}; one number for each sample is needed"
            + (" (of one-hot rows that is labels.argmax(1))" if array.ndim == 2 else "")
        )
    if array.dtype.kind not in "biu":
        raise ValueError(_no_whole_numbers(which, str(array.dtype)))
    if len(array) and array.max() > np.iinfo(np.int64).max:
        raise ValueError(f"{which} labels go up to {array.max()}; whole numbers from 0 are needed")
    return torch.from_numpy(array.astype(np.int64))


def _no_whole_numbers(which: str, dtype: str) -> str:
    remedy = "as numpy.unique(labels, return_inverse=True)[1] makes them"
    return f"{which} labels are {dtype}; whole numbers from 0 are needed, {remedy}"


# --- data sets of PyTorch's and Hugging Face's --------------------------------------------------------------


def of_torch(value: Any, which: str) -> Part:
    """Samples are read when they are needed; labels now: as they are told beside samples that agree, or one by one."""
    as_held = isinstance(value, TensorDataset) and type(value).__getitem__ is TensorDataset.__getitem__
    if as_held and len(value.tensors) == 2:
        return Part(inputs=inputs_of(value.tensors[0], which), labels=labels_of(value.tensors[1], which))
    if not hasattr(value, "__len__"):
        raise ValueError(f"{which}, {type(value).__name__}, does not say how many samples it has: give it a __len__")
    count = len(value)
    if count == 0:
        raise ValueError(f"{which} has no samples")
    inputs = Lazy(lambda i: _item(value[i], which)[0], count, f"{which} sample {{}}".format)
    told = _told_labels(value, count)
    wrong: ValueError | None = None
    if told is not None:
        try:
            labels = labels_of([_number(label) for label in told], which)
        except ValueError as error:  # names, say, and the samples may have their numbers
            wrong = error
        else:
            if not _differ(value, labels, which):
                return Part(inputs=inputs, labels=labels)
    if wrong is not None and not _is_number(_number(_item(value[0], which)[1])):
        raise wrong  # before all samples are read for nothing
    each = [_number(_item(value[i], which)[1]) for i in range(count)]
    try:
        return Part(inputs=inputs, labels=labels_of(each, which))
    except ValueError as error:
        raise wrong or error from None


def _differ(value: Any, labels: Tensor, which: str) -> bool:
    """Whether samples have other labels than they are told to have, as where a subclass makes others of them.

    Asked is the first sample of each class, of classes spread evenly where there are many. A label that is no number
    says nothing against the number told.
    """
    firsts = np.unique(labels.numpy(), return_index=True)[1]
    for i in firsts[np.linspace(0, len(firsts) - 1, min(len(firsts), _LOOKS)).astype(int)].tolist():
        own = _number(_item(value[i], which)[1])
        if _is_number(own) and own != int(labels[i]):
            return True
    return False


def _told_labels(value: Any, count: int) -> Any:
    """Labels without samples; None if the data set does not tell them."""
    if isinstance(value, Subset):
        whole: Any = value.dataset  # of known length, which its type does not say
        inner = _told_labels(whole, len(whole))
        return None if inner is None else [inner[i] for i in value.indices]
    for name in ("targets", "labels", "y"):
        told = getattr(value, name, None)
        # A data set may have a transform for labels, which these have not been through.
        if isinstance(told, Tensor | np.ndarray | list) and len(told) == count and not _relabels(value):
            return told
    return None


def _relabels(value: Any) -> bool:
    return getattr(value, "target_transform", None) is not None


def _number(label: Any) -> Any:
    """A label as a number; one that is several numbers as an array, for `labels_of` to refuse."""
    if isinstance(label, Tensor):
        return label.item() if label.numel() == 1 else label.detach().cpu().numpy()
    return label.item() if isinstance(label, np.ndarray | np.generic) and label.size == 1 else label


def _item(item: Any, which: str) -> tuple[Any, Any]:
    """Input and label of one sample."""
    if isinstance(item, tuple | list) and len(item) == 2:
        return item[0], item[1]
    if isinstance(item, Mapping):
        inputs = [item[key] for key in IMAGES if key in item]
        labels = [item[key] for key in LABELS if key in item]
        if inputs and labels:
            return inputs[0], labels[0]
        raise ValueError(f"{which} has samples with {', '.join(map(str, item))}; 'image' and 'label' are needed")
    raise ValueError(f"a sample of {which} is {type(item).__name__}; (input, label) is needed")


def of_table(value: Any, which: str) -> Part:
    """A data set of Hugging Face's: texts and numbers now, images when they are needed.

    Raises:
        ValueError: no column of labels, or columns of several kinds of which nothing says what samples are.
    """
    if not (hasattr(value, "__len__") and hasattr(value, "__getitem__")):
        raise ValueError(f"{which} can only be gone through, {type(value).__name__}; load it whole, without streaming")
    if len(value) == 0:
        raise ValueError(f"{which} has no samples")
    columns = list(value.column_names)
    label = next((name for name in LABELS if name in columns), None)
    if label is None:
        raise ValueError(f"{which} has columns {', '.join(columns)}; one for labels is needed, called label")
    classes = getattr(value.features.get(label), "num_classes", None)
    labels = labels_of(list(value[label]), which)
    owner = next((name for name in OWNERS if name in columns), None)
    others = [name for name in columns if name not in (label, owner)]
    image = next((name for name in IMAGES if name in others and _may_be_images(value, name)), None)
    if image is not None:
        inputs: Any = Lazy(lambda i: value[i][image], len(value), f"{which} sample {{}}".format)
    else:
        inputs = _columns(value, others, which)
    owners = None if owner is None else list(value[owner])
    return Part(inputs=inputs, labels=labels, classes=classes, owners=owners)


def _may_be_images(value: Any, name: str) -> bool:
    """Whether a column that is called as those of images are is one. Texts are none under a name that anything has."""
    if name in _ANYTHING:
        return _kinds(value, [name]).get(name) == "other"
    return not _is_number(value[0][name])


def _columns(value: Any, names: list[str], which: str) -> Tensor | Lazy | list[str]:
    """Texts, joined, or numbers, in rows: those that are called as texts are, or all columns, if they are of one kind.

    Raises:
        ValueError: they are of several kinds, or of none.
    """
    kinds = _kinds(value, names)
    texts = [name for name, kind in kinds.items() if kind == "text"]
    called = [name for name in texts if name.lower() in TEXTS]
    # A title is seldom the whole text: it does not stand for columns beside it that may be.
    if called == texts or any(name.lower() in _MAIN for name in called):
        texts = called
    elif len(texts) < len(kinds):
        raise _undecided("texts", texts, kinds, which)
    if texts:
        return [" ".join(parts).strip() for parts in zip(*(_texts(value, n, which) for n in texts), strict=True)]
    numbers = [name for name, kind in kinds.items() if kind == "number"]
    if not numbers:
        found = ", ".join(value.column_names)
        raise ValueError(f"{which} has columns {found}; one of images or texts, or numbers, are needed")
    if len(numbers) < len(kinds):
        raise _undecided("numbers", numbers, kinds, which)
    return inputs_of(np.stack([np.asarray(list(value[name]), dtype=np.float64) for name in numbers], axis=1), which)


def _kinds(value: Any, names: list[str]) -> dict[str, str]:
    """What columns hold: "text", "number" or "other"; those that hold nothing at all are left out."""
    first = value[0]
    found = {}
    for name in names:
        held = first[name]
        if held is None:
            held = next((cell for cell in value[name] if cell is not None), None)
        if held is not None:
            found[name] = "text" if isinstance(held, str) else "number" if _is_number(held) else "other"
    return found


def _texts(value: Any, name: str, which: str) -> list[str]:
    texts = list(value[name])
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            wrong = f"{which} sample {i} has {type(text).__name__} in column {name}, others have texts"
            raise ValueError(f"{wrong}: drop or repair such samples")
    return texts


def _undecided(kind: str, names: list[str], kinds: Mapping[str, str], which: str) -> ValueError:
    beside = ", ".join(name for name in kinds if name not in names)
    return ValueError(
        f"{which} has columns of {kind} ({', '.join(names)}) beside others ({beside}), and nothing says which are the "
        "samples: call the text's column text, or keep those that are meant and the label, as select_columns does"
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number)
