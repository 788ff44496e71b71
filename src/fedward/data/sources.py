"""Data sets in the four IDX files in which MNIST was first published: found on this machine or downloaded, checked."""

from __future__ import annotations

import os
import tempfile
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from importlib import resources
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch

from ..failures import MendableError
from ..registry.entries import register
from .dataset import Dataset, Split
from .idx import CHUNK, IdxError, digest, read, read_idx

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    Files: TypeAlias = dict[str, Path | Traversable]

TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
FILES = TRAIN + TEST
# The statistics of MNIST's pixels, for Fashion-MNIST too: so do SignGuard's code and published numbers.
MEAN, STD = 0.1307, 0.3081
# No file of these data sets is half as large; what comes from the network is cut off here.
LARGEST = 1 << 27
TIMEOUT = 30.0  # seconds without a byte


class DataError(MendableError, RuntimeError):
    """A data set cannot be had: the message says which file, what is wrong with it and what to do."""

    hint = "Or take the data that comes with fedward: --data fashion-mnist-subset."


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a data set comes from and how to know it.

    Args:
        name: its name in the registry, in messages and in the cache.
        sha256: by name of file, of the decompressed content: a re-compressed copy is still the same data.
        base: the address of the folder with the four gzipped files.
        classes: labels are below this.
        system: folders in which a package of the operating system installs the files.
        install: the command that installs that package.
        packaged: the files are part of fedward.
    """

    name: str
    sha256: Mapping[str, str] = field(default_factory=dict, repr=False)
    base: str = ""
    classes: int = 10
    system: tuple[str, ...] = ()
    install: str = ""
    packaged: bool = False

    def remedy(self) -> str:
        """How a user gets hold of the data."""
        if self.packaged:
            return "Reinstall fedward, which ships this data set."
        files = ", ".join(f"{name}.gz" for name in FILES)
        package = f"run `{self.install}`, or " if self.install else ""
        place = f"put the four files {files} (also without .gz) into {_cache(self)}"
        named = "a folder named by path= (--data-path) or by the environment variable FEDWARD_DATA"
        text = f"{package}{place} or into {named}"
        return f"{text[0].upper()}{text[1:]}. Their address: {self.base}"

    def error(self, wrong: str, file: Path | Traversable | None = None) -> DataError:
        """What is wrong, with which file if it is there at all, and the remedy."""
        text = wrong if file is None else f"{file}: {wrong}; delete or replace this file"
        return DataError(f"{text}. {self.remedy()}")


FASHION_MNIST = Source(
    name="fashion-mnist",
    base="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    system=("/usr/share/datasets/fashion-mnist",),
    install="apt-get install dataset-fashion-mnist",
    sha256={
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
)
MNIST = Source(
    name="mnist",
    base="https://ossci-datasets.s3.amazonaws.com/mnist/",
    sha256={
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
)
SUBSET = Source(name="fashion-mnist-subset", packaged=True)

SOURCES = (FASHION_MNIST, MNIST, SUBSET)
"""Whose files have the same names, so that one must not be taken for another."""


@register("fashion-mnist", kind="data set", paper="Xiao et al. 2017")
def fashion_mnist(path: str | PathLike[str] | None = None, *, download: bool = True) -> Dataset:
    """Clothes in ten classes: 60,000 + 10,000 grey images of 28 x 28."""
    return load_source(FASHION_MNIST, path, download=download)


@register("mnist", kind="data set", paper="LeCun et al. 1998")
def mnist(path: str | PathLike[str] | None = None, *, download: bool = True) -> Dataset:
    """Handwritten digits: 60,000 + 10,000 grey images of 28 x 28."""
    return load_source(MNIST, path, download=download)


@register("fashion-mnist-subset", kind="data set", paper="Xiao et al. 2017")
def fashion_mnist_subset(path: str | PathLike[str] | None = None, *, download: bool = True) -> Dataset:
    """10,000 + 2,000 images of Fashion-MNIST, as many of each class, which come with the package."""
    return load_source(SUBSET, path, download=download)


def load_source(source: Source, path: str | PathLike[str] | None = None, *, download: bool = True) -> Dataset:
    """A data set from its four files, with pixels scaled to [0, 1] and then normalised: (x - 0.1307) / 0.3081.

    They are looked for in `path`, and nowhere else if that is given; then in the folder FEDWARD_DATA of the
    environment (its subfolder of that name, then the folder itself); in the user's cache (XDG_CACHE_HOME or ~/.cache,
    in it fedward and the name); where Debian's dataset-fashion-mnist has them. At last they are downloaded into the
    cache, and their checksums verified. Files found on this machine need the right structure but not the published
    content, so that variants of a data set can be used.

    Args:
        source: what it is, perhaps one of your own, such as a mirror.
        path: a folder with the four IDX files, gzipped or not.
        download: whether the network may be used.

    Raises:
        DataError: files are missing, damaged or of another data set.
    """
    try:
        files = _locate(source, path, download)
        _refuse_other(source, files)
        train = _read_split(source, files, *TRAIN)
        test = _read_split(source, files, *TEST)
    except OSError as error:
        raise source.error(f"{source.name}: {error}") from error
    expected, found = (" x ".join(map(str, split.inputs.shape[2:])) for split in (train, test))
    if found != expected:
        raise source.error(f"expected images of {expected} as in {TRAIN[0]}, found {found}", files[TEST[0]])
    return Dataset(name=source.name, train=train, test=test, classes=source.classes)


# Finding the files


def _cache(source: Source) -> Path:
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "fedward" / source.name


def _files(folder: Path | Traversable) -> Files:
    """Those of the four files that the folder has, plain or gzipped."""
    pairs = ((name, file) for name in FILES for file in (folder / f"{name}.gz", folder / name))
    return {name: file for name, file in pairs if file.is_file()}


def _all_files(source: Source, folder: Path | Traversable, told: str, needed: bool = True) -> Files:
    """All four files of the folder; none, if they are not needed; some of them are an error."""
    files = _files(folder)
    if len(files) < len(FILES) and (needed or files):
        lacking = ", ".join(name for name in FILES if name not in files)
        raise source.error(f"{source.name}: {told} lacks {lacking}")
    return files


def _locate(source: Source, path: str | PathLike[str] | None, download: bool) -> Files:
    """All four files."""
    if path is not None:
        folder = Path(path).expanduser()
        told = f"path={str(path)!r}"
        if not folder.is_dir():
            raise source.error(f"{source.name}: {told} is not a folder")
        return _all_files(source, folder, told)
    if source.packaged:
        return _all_files(source, resources.files("fedward.data") / "datasets" / source.name, "fedward")
    looked = []
    if root := os.environ.get("FEDWARD_DATA"):
        folder = Path(root).expanduser()
        # Neither a mistyped nor an incomplete folder may quietly give other data than the user's own.
        if not folder.is_dir():
            raise DataError(f"{source.name}: FEDWARD_DATA={root!r} is not a folder. Correct it or unset it.")
        for place in (folder / source.name, folder):
            looked.append(place)
            if files := _all_files(source, place, f"{place} (from FEDWARD_DATA)", needed=False):
                return files
    for place in (_cache(source), *map(Path, source.system)):
        looked.append(place)
        if len(files := _files(place)) == len(FILES):
            return files
    reason = "downloading is switched off"
    if download:
        try:
            return _download(source, _cache(source))
        except OSError as error:
            reason = f"the download failed: {error}"
    raise source.error(f"{source.name}: not in {', '.join(map(str, looked))}; {reason}")


def _refuse_other(source: Source, files: Files) -> None:
    """Stop if these are the files of another data set: all of them have the same names."""
    name = TRAIN[1]
    found = digest(read(files[name])[0])
    for other in SOURCES:
        if found == other.sha256.get(name) and found != source.sha256.get(name):
            raise DataError(
                f"{files[name]}: this is {other.name}, not {source.name}. Give each data set its own folder; "
                f"in the folder FEDWARD_DATA these are {source.name} and {other.name}."
            )


# Downloading


def _download(source: Source, folder: Path) -> Files:
    """Fetch the missing files into the folder; a file is there whole and verified, or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        if name in _files(folder):
            continue
        address = f"{source.base.rstrip('/')}/{name}.gz"
        handle, temporary = tempfile.mkstemp(prefix=f".{name}-", dir=folder)
        file = Path(temporary)
        try:
            with os.fdopen(handle, "wb") as out, urllib.request.urlopen(address, timeout=TIMEOUT) as answer:
                while out.tell() <= LARGEST and (chunk := answer.read(CHUNK)):
                    out.write(chunk)
            content, trouble = read(file, LARGEST)
            if trouble or digest(content) != source.sha256[name]:
                raise source.error(
                    f"{address}: the download is not the published file, or damaged: {file.stat().st_size:,} "
                    f"bytes, {len(content):,} decompressed{trouble}, SHA-256 {digest(content)}, expected "
                    f"{source.sha256[name]}. Nothing of it was kept; try again"
                )
            os.replace(file, folder / f"{name}.gz")
        except (OSError, HTTPException) as error:
            raise OSError(f"{address}: {error}") from error
        finally:
            file.unlink(missing_ok=True)
    return _files(folder)


# Reading


def _read_idx(source: Source, file: Path | Traversable, dims: int) -> np.ndarray:
    try:
        return read_idx(file, dims)
    except IdxError as error:
        raise source.error(str(error), file) from error


def _read_split(source: Source, files: Files, images_name: str, labels_name: str) -> Split:
    images = _read_idx(source, files[images_name], 3)
    labels = _read_idx(source, files[labels_name], 1)
    file = files[labels_name]
    if len(images) != len(labels):
        raise source.error(f"expected {len(images)} labels as {images_name} has, found {len(labels)}", file)
    if (highest := int(labels.max())) >= source.classes:
        raise source.error(f"expected labels from 0 to {source.classes - 1}, found {highest}", file)
    inputs = torch.from_numpy(images).to(torch.float32).div_(255).sub_(MEAN).div_(STD).unsqueeze(1)
    return Split(inputs=inputs, labels=torch.from_numpy(labels).to(torch.int64))
