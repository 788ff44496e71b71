"""The same few images, in all the forms in which somebody may hold them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Subset, TensorDataset

from fedward.data import Split

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

    def select(self, places: Any) -> Table:
        classes = getattr(self.features.get("label"), "num_classes", None)
        return Table(classes, **{name: [column[i] for i in places] for name, column in self.columns.items()})


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


def part(inputs: Any = INPUTS, labels: Any = LABELS) -> tuple[Any, Any]:
    return inputs, labels
