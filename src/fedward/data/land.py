"""EuroSAT: images in folders, one for each class, or in the archive that holds these."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..disk import open_regular
from ..registry.entries import register
from .content import ARCHIVE_ERRORS, Files, FormatError, Member, Readable, raw, zip_entries
from .dataset import Dataset
from .images import decoded
from .known import load_source
from .sources import Filing, Source
from .stored import Stored

if TYPE_CHECKING:
    from .content import Location

# Of ImageNet's images, which the models were trained on first that papers train on these.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLASSES = (
    "AnnualCrop",
    "Forest",
    "HerbaceousVegetation",
    "Highway",
    "Industrial",
    "Pasture",
    "PermanentCrop",
    "Residential",
    "River",
    "SeaLake",
)
HELD_OUT = 0.2
"""Share of the images that is the test set here, since no split is published."""


def _unsplit(files: Files) -> tuple[Stored, Stored]:
    """Training and test set, the latter drawn at random, the same one every time."""
    images, labels = [], []
    for label, name in enumerate(CLASSES):
        for file in _within(files[name], name):
            images.append(decoded(raw(file), file, "RGB"))
            labels.append(label)
            if images[-1].shape != images[0].shape:
                expected, found = (f"{image.shape[1]} x {image.shape[0]}" for image in (images[0], images[-1]))
                raise FormatError(f"expected an image of {expected}, found {found}", file)
    first = files[CLASSES[0]]
    count = round(HELD_OUT * len(images))
    if count == 0:
        raise FormatError(f"expected 27,000 images, found {len(images)}", first)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0)).numpy()
    samples, classes = np.stack(images), np.asarray(labels)
    train, test = (np.sort(part) for part in (order[count:], order[:count]))
    return (
        Stored(samples=samples[train], labels=classes[train], files=(first, first)),
        Stored(samples=samples[test], labels=classes[test], files=(first, first)),
    )


def _within(place: Readable, name: str) -> Iterator[Readable]:
    """The images of a class, in order of their names."""
    if isinstance(place, Path) and place.is_dir():
        yield from sorted(place.glob("*.jpg"))
        return
    assert isinstance(place, Path)
    try:
        with open_regular(place) as file, zipfile.ZipFile(file) as archive:
            entries = zip_entries(archive, place.stat().st_size, place)
            for entry in sorted(entries, key=lambda entry: entry.filename):
                path = PurePosixPath(entry.filename)
                if path.parent.name == name and path.suffix == ".jpg":
                    yield Member(archive=place, name=entry.filename, content=archive.read(entry))
    except FormatError:
        raise
    except ARCHIVE_ERRORS as error:
        raise FormatError(f"expected an archive, found a damaged one or none: {error}", place) from error


@dataclass(frozen=True, kw_only=True)
class _Folders(Filing):
    """A folder for each class, on disk or in an archive that is read as it is."""

    def found(self, place: Location) -> Files:
        if self.archive:
            return super().found(place)
        found: list[Files] = [{n: place / f / n for n in self.files if (place / f / n).is_dir()} for f in self.folders]
        return max(found, key=len)

    def read(self, files: Files) -> tuple[Stored, Stored]:
        return self.reader(files)


EUROSAT = Source(
    name="eurosat",
    base="https://huggingface.co/datasets/torchgeo/eurosat/resolve/c877bcd43f099cd0196738f714544e355477f3fd/",
    download=("EuroSAT.zip",),
    filings=(
        _Folders(files=CLASSES, reader=_unsplit, folders=("", "2750", "EuroSAT/2750", "EuroSAT_RGB")),
        _Folders(files=CLASSES, reader=_unsplit, archive="EuroSAT.zip"),
    ),
    sha256={"EuroSAT.zip": "c8fa014336c82ac7804f0398fcb19387"},
)


@register("eurosat", kind="data set", paper="Helber et al. 2019")
def eurosat(path: str | PathLike[str] | None = None, *, download: bool = True) -> Dataset:
    """Land seen from a satellite in ten classes: 27,000 colour images of 64 x 64, a fifth of them held out."""
    return load_source(EUROSAT, path, download=download, mean=IMAGENET[0], std=IMAGENET[1])
