"""`Stored`: what files hold of a split, as they hold it; and what is made of it once it is found to be in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
import torch
from torch import Tensor

from .content import FormatError, Readable


@dataclass(frozen=True, kw_only=True, eq=False)
class Stored:
    """Samples and labels as files hold them.

    Args:
        samples: images, (N, H, W), (N, C, H, W) or (N, H, W, C), unsigned bytes or numbers from 0 to 1; or (N,) texts.
        labels: (N,) whole numbers from 0.
        files: where the samples and where the labels come from, for messages.
        owners: (N,) whose each sample is, for `Natural`, if that is known.
    """

    samples: np.ndarray
    labels: np.ndarray
    files: tuple[Readable, Readable]
    owners: np.ndarray | None = None


def joined(parts: Sequence[Stored]) -> Stored:
    """Several files of one split, in order.

    Raises:
        FormatError: their images differ in size.
    """
    first = parts[0]
    for part in parts[1:]:
        if part.samples.shape[1:] != first.samples.shape[1:]:
            expected, found = _size(first.samples), _size(part.samples)
            raise FormatError(
                f"expected images of {expected} as in {short_name(first.files[0])}, found {found}", part.files[0]
            )
    if len(parts) == 1:
        return first
    return Stored(
        samples=np.concatenate([part.samples for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        files=first.files,
    )


def channels_first(images: np.ndarray) -> np.ndarray:
    """(N, H, W), (N, H, W, C) or (N, C, H, W) as (N, C, H, W); channels are 1, 3 or 4."""
    if images.ndim == 3:
        return images[:, None]
    if images.ndim == 4 and images.shape[1] not in (1, 3, 4) and images.shape[3] in (1, 3, 4):
        return images.transpose(0, 3, 1, 2)
    return images


def pixels(split: Stored, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """The images as (N, C, H, W) float32, scaled to [0, 1] and then normalised by channel: (x - mean) / std.

    Raises:
        FormatError: they have not so many channels, or hold something that is no brightness.
    """
    images = channels_first(split.samples)
    file = split.files[0]
    if images.ndim != 4 or images.shape[1] != len(mean):
        shape = " x ".join(map(str, split.samples.shape))
        raise FormatError(f"expected images of {len(mean)} channel{'s' * (len(mean) > 1)}, found {shape}", file)
    inputs = torch.from_numpy(np.ascontiguousarray(images)).to(torch.float32)
    if images.dtype == np.uint8:
        inputs.div_(255)
    elif wrong := _no_brightness(inputs):
        raise FormatError(f"expected bytes or numbers from 0 to 1, found {wrong}", file)
    # By channel and with numbers: the same operations, to the last bit, whether there is one channel or three.
    for channel, (m, s) in enumerate(zip(mean, std, strict=True)):
        inputs[:, channel].sub_(m).div_(s)
    return inputs


def checked_labels(split: Stored, classes: int) -> Tensor:
    """The labels as (N,) int64.

    Raises:
        FormatError: not one for each image, no whole numbers, or out of range.
    """
    labels, file = split.labels, split.files[1]
    if labels.ndim != 1 or len(labels) != len(split.samples):
        raise FormatError(
            f"expected {len(split.samples)} labels as {short_name(split.files[0])} has samples, found {len(labels)}",
            file,
        )
    if len(labels) == 0:
        raise FormatError("expected samples, found none", file)
    if labels.dtype.kind not in "iu":
        raise FormatError(f"expected whole numbers for labels, found {labels.dtype}", file)
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest >= classes:
        raise FormatError(f"expected labels from 0 to {classes - 1}, found {lowest if lowest < 0 else highest}", file)
    return torch.from_numpy(labels.astype(np.int64))


def check_several(labels: Tensor, split: Stored) -> None:
    """Refuse labels that are all the same.

    Raises:
        FormatError: they are.
    """
    present = labels.bincount().nonzero()
    if len(present) < 2:
        raise FormatError(
            f"expected samples of two classes or more, found {len(labels)} of class {int(present[0])} alone",
            split.files[1],
        )


def _no_brightness(values: Tensor) -> str:
    """What is wrong with pixels that are not bytes."""
    if not bool(torch.isfinite(values).all()):
        return "NaN or infinite pixels: drop or repair these images"
    lowest, highest = float(values.min()), float(values.max())
    return f"{lowest:g} to {highest:g}" if lowest < 0 or highest > 1 else ""


def short_name(file: Readable) -> str:
    """A file's name without its folder and .gz."""
    return PurePath(str(file)).name.removesuffix(".gz")


def _size(images: np.ndarray) -> str:
    return " x ".join(map(str, images.shape[1:]))
