"""Small data sets in files of MNIST's format."""

import gzip
import struct
from pathlib import Path

import numpy as np
import torch

from fedward.data.dataset import Dataset
from fedward.data.idx import FILES

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = FILES


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


def contents(seed: int = 0) -> dict[str, bytes]:
    """40 + 20 images of 6 x 5, labels 0 .. 9 in turn."""
    random = np.random.default_rng(seed)
    arrays = []
    for total in (40, 20):
        arrays.append(random.integers(0, 256, (total, 6, 5), dtype=np.uint8))
        arrays.append((np.arange(total) % 10).astype(np.uint8))
    return {name: idx(array) for name, array in zip(FILES, arrays, strict=True)}


def fill(folder: Path, files: dict[str, bytes], zipped: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / (f"{name}.gz" if zipped else name)).write_bytes(gzip.compress(content) if zipped else content)
    return folder


def pixels(dataset: Dataset) -> bytes:
    """The training images as they were stored."""
    raw = (dataset.train.inputs * 0.3081 + 0.1307) * 255
    return raw.round().to(torch.uint8).numpy().tobytes()
