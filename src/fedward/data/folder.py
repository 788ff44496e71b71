"""Images in folders, one for each class; read when they are needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ..registry.bounds import Count, Share
from ..registry.entries import register
from .content import FormatError, Readable, raw
from .dataset import Dataset, Split
from .images import decoded, size_of_image
from .lazy import Lazy
from .sources import OwnDataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
_TRAIN = ("train", "training")
_TEST = ("test", "val", "valid", "validation")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An image file, on disk or in an archive."""

    label: str
    file: Readable


@register("image-folder", kind="data set")
def image_folder(
    path: str | PathLike[str] | None = None,
    *,
    size: Count | None = None,
    held_out: Share | None = None,
    mode: Literal["rgb", "grey"] = "rgb",
) -> Dataset:
    """Images of your own, read when they are needed: train/CLASS/*.png and test/CLASS/*.png below a folder.

    Pixels are scaled to [0, 1] and not normalised further.

    Args:
        path: the folder (--data-path).
        size: height and width that all are scaled to; if not given, they must have one size.
        held_out: share of the images that is the test set, drawn at random, where there are no folders train and test.
        mode: colours, three channels whatever the files have, or grey, one.

    Raises:
        OwnDataError: no such folder, a class or the test set is missing, or images differ in size.
    """
    if path is None:
        raise OwnDataError("image-folder needs a folder: path= (--data-path), in it train/CLASS/... and test/CLASS/...")
    folder = Path(os.path.expanduser(path))
    if not folder.is_dir():
        raise OwnDataError(f"image-folder: path={str(path)!r} is not a folder")
    reads = partial(_picture, size=size, mode="L" if mode == "grey" else "RGB")
    try:
        train, test = _parts(folder, held_out)
        return _dataset(folder, train, test, reads, size)
    except FormatError as error:
        raise OwnDataError(f"image-folder: {error.file}: {error}") from error


def _parts(folder: Path, held_out: float | None) -> tuple[list[Picture], list[Picture]]:
    """Images of the training and of the test set."""
    train, test = (next((folder / n for n in names if (folder / n).is_dir()), None) for names in (_TRAIN, _TEST))
    if held_out is not None:
        if train is not None and test is not None:
            raise FormatError("expected a folder without train and test, of which a share is held out", folder)
        if test is not None and any(child.is_dir() for child in test.iterdir()):
            raise FormatError(
                "expected no folder of this name beside classes of which a share is held out, found one with classes: "
                "move those beside it into train and leave out held_out, or move this one away",
                test,
            )
        return _held_out(list(_on_disk(train or folder)), held_out, folder)
    if train is None or test is None:
        lacking = [name for name, found in (("train", train), ("test", test)) if found is None]
        missing = f"{' and '.join(lacking)} {'are' if len(lacking) > 1 else 'is'} missing"
        raise FormatError(f"expected folders train and test, {missing}; or say held_out=0.2", folder)
    return list(_on_disk(train)), list(_on_disk(test))


def _on_disk(folder: Path) -> Iterator[Picture]:
    for own in sorted(child for child in folder.iterdir() if child.is_dir()):
        for file in sorted(own.rglob("*")):
            if file.suffix.lower() in SUFFIXES:
                yield Picture(label=own.name, file=file)


def _held_out(pictures: list[Picture], share: float, folder: Path) -> tuple[list[Picture], list[Picture]]:
    """Training and test set, the latter drawn at random, the same ones every time."""
    count = round(share * len(pictures))
    if not 0 < count < len(pictures):
        raise FormatError(f"expected images to hold a share of {share} out of, found {len(pictures)}", folder)
    order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(0)).tolist()
    return [pictures[i] for i in sorted(order[count:])], [pictures[i] for i in sorted(order[:count])]


def _dataset(
    folder: Path,
    train: list[Picture],
    test: list[Picture],
    read: Callable[[Picture], Tensor],
    size: int | None,
) -> Dataset:
    classes = sorted({picture.label for picture in train})
    if len(classes) < 2 or not test:
        found = f"{', '.join(classes) or 'none'} to train with, {len(test)} images to test with"
        raise FormatError(f"expected a folder of images for each of two classes or more, found {found}", folder)
    unknown = [picture for picture in test if picture.label not in classes]
    if unknown:
        known = ", ".join(classes[:10])
        raise FormatError(f"expected a class of the training set, {known}, found {unknown[0].label}", unknown[0].file)
    _check_heads([*train, *test], alike=size is None)
    splits = [
        Split(
            inputs=Lazy(partial(_read_of, part, read), len(part), partial(_name_of, part)),
            labels=torch.tensor([classes.index(picture.label) for picture in part]),
        )
        for part in (train, test)
    ]
    return Dataset(name=folder.resolve().name, train=splits[0], test=splits[1], classes=len(classes))


def _read_of(part: list[Picture], read: Callable[[Picture], Tensor], i: int) -> Tensor:
    return read(part[i])


def _name_of(part: list[Picture], i: int) -> str:
    return str(part[i].file)


def _check_heads(pictures: list[Picture], *, alike: bool) -> None:
    """Refuse what is no image, and images that differ in size where they must not; only their heads are read."""
    expected = size_of_image(pictures[0].file)
    for picture in pictures[1:]:
        found = size_of_image(picture.file)
        if alike and found != expected:
            raise FormatError(
                f"expected an image of {expected[0]} x {expected[1]} as {pictures[0].file}, "
                f"found {found[0]} x {found[1]}; bring them to one size, or say size=32",
                picture.file,
            )


def _picture(picture: Picture, size: int | None, mode: str) -> Tensor:
    """One image as (C, H, W) from 0 to 1."""
    pixels = torch.from_numpy(np.array(decoded(raw(picture.file), picture.file, mode, size)))
    image = pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)
    return image.to(torch.float32).div_(255).contiguous()
