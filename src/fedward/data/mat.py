"""Reading the MATLAB files that SVHN was published in."""

from __future__ import annotations

import io

import numpy as np

from .content import Files, FormatError, Readable, content_of
from .stored import Stored


def read_mat(files: Files) -> tuple[Stored, Stored]:
    """Two files of images ``X``, (32, 32, 3, N), and labels ``y``, (N, 1), in which 10 stands for the digit 0."""
    train, test = (_mat(file) for file in files.values())
    return train, test


def _mat(file: Readable) -> Stored:
    from scipy import io as scipy_io  # takes a while to load

    try:
        held = scipy_io.loadmat(io.BytesIO(content_of(file)), variable_names=("X", "y"))
    except FormatError:
        raise
    except Exception as error:  # damaged ones raise whatever their bytes happen to mean
        raise FormatError(f"expected a MATLAB file, found something else: {error!r:.120}", file) from error
    images, labels = held.get("X"), held.get("y")
    if images is None or labels is None:
        raise FormatError("expected X and y in it, found neither or one alone", file)
    if images.ndim != 4 or images.dtype != np.uint8 or labels.dtype.kind not in "iu":
        found = f"{images.dtype} {images.shape} and {labels.dtype}"
        raise FormatError(f"expected bytes (H, W, 3, N) and whole numbers, found {found}", file)
    labels = labels.reshape(-1).astype(np.int64)
    labels[labels == 10] = 0
    return Stored(samples=np.ascontiguousarray(images.transpose(3, 2, 0, 1)), labels=labels, files=(file, file))
