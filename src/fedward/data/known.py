"""The images that papers are about, by name."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from os import PathLike
from typing import Literal

from ..registry.entries import register
from . import cifar
from .content import FormatError
from .dataset import Dataset, Split
from .idx import read_upright
from .mat import read_mat
from .sources import FOUR_IDX, Filing, Source, read_source
from .stored import Stored, check_several, checked_labels, pixels, short_name

# The statistics of MNIST's pixels, for Fashion-MNIST too: so do SignGuard's code and published numbers.
GREY = ((0.1307,), (0.3081,))
# The means of CIFAR-10's pixels, and the mean over images of the standard deviation within one: so does nearly all
# published code, SignGuard's too, though the deviation of all pixels is 0.247, 0.243, 0.262.
COLOUR = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
HOUSES = ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970))

FASHION_MNIST = Source(
    name="fashion-mnist",
    base="https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    filings=(replace(FOUR_IDX, folders=("", "raw", "FashionMNIST/raw")),),
    counts=(60_000, 10_000),
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
    counts=(60_000, 10_000),
    filings=(replace(FOUR_IDX, folders=("", "raw", "MNIST/raw")),),
    sha256={
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
)
SUBSET = Source(name="fashion-mnist-subset", packaged=True)
_TEN = tuple(f"{name}.bin" for name in cifar.BATCHES)
CIFAR10 = Source(
    name="cifar10",
    base="https://www.cs.toronto.edu/~kriz/",
    download=("cifar-10-binary.tar.gz",),
    counts=(50_000, 10_000),
    filings=(
        Filing(files=_TEN, reader=cifar.TEN_BINARY, folders=("", "cifar-10-batches-bin")),
        Filing(files=cifar.BATCHES, reader=cifar.TEN_PYTHON, folders=("", "cifar-10-batches-py")),
        Filing(files=_TEN, reader=cifar.TEN_BINARY, archive="cifar-10-binary.tar.gz"),
        Filing(files=cifar.BATCHES, reader=cifar.TEN_PYTHON, archive="cifar-10-python.tar.gz"),
    ),
    largest=1 << 28,
    sha256={"cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"},
)
CIFAR100 = Source(
    name="cifar100",
    base="https://www.cs.toronto.edu/~kriz/",
    download=("cifar-100-binary.tar.gz",),
    classes=100,
    counts=(50_000, 10_000),
    filings=(
        Filing(files=("train.bin", "test.bin"), reader=cifar.HUNDRED_BINARY, folders=("", "cifar-100-binary")),
        Filing(files=("train", "test"), reader=cifar.HUNDRED_PYTHON, folders=("", "cifar-100-python")),
        Filing(files=("train.bin", "test.bin"), reader=cifar.HUNDRED_BINARY, archive="cifar-100-binary.tar.gz"),
        Filing(files=("train", "test"), reader=cifar.HUNDRED_PYTHON, archive="cifar-100-python.tar.gz"),
    ),
    largest=1 << 28,
    sha256={"cifar-100-binary.tar.gz": "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec"},
)

SVHN = Source(
    name="svhn",
    counts=(73_257, 26_032),
    base="https://ufldl.stanford.edu/housenumbers/",
    download=("train_32x32.mat", "test_32x32.mat"),
    filings=(Filing(files=("train_32x32.mat", "test_32x32.mat"), reader=read_mat),),
    largest=1 << 28,
    sha256={
        "train_32x32.mat": "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
        "test_32x32.mat": "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
    },
)


def _emnist(split: str, classes: int, first: int = 0) -> Source:
    """A split of EMNIST; its labels count from ``first``."""
    parts = [f"emnist-{split}-{part}" for part in ("train", "test")]
    files = tuple(f"{part}-{what}" for part in parts for what in ("images-idx3-ubyte", "labels-idx1-ubyte"))
    reader = partial(read_upright, first=first)
    return Source(
        name="emnist",
        base="https://biometrics.nist.gov/cs_links/EMNIST/",
        download=("gzip.zip",),
        classes=classes,
        filings=(
            Filing(files=files, reader=reader, folders=("", "gzip", "raw", "EMNIST/raw")),
            Filing(files=files, reader=reader, archive="gzip.zip"),
        ),
        largest=1 << 30,
        sha256={"gzip.zip": "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e"},
    )


EMNIST = {"balanced": _emnist("balanced", 47), "digits": _emnist("digits", 10), "letters": _emnist("letters", 26, 1)}

SOURCES = (FASHION_MNIST, MNIST, SUBSET, CIFAR10, CIFAR100, SVHN, EMNIST["balanced"])
"""All of them. The files of the first three have the same names, so that one must not be taken for another."""


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


@register("cifar10", kind="data set", paper="Krizhevsky 2009")
def cifar10(path: str | PathLike[str] | None = None, *, download: bool = True) -> Dataset:
    """Animals and vehicles in ten classes: 50,000 + 10,000 colour images of 32 x 32."""
    return load_source(CIFAR10, path, download=download, mean=COLOUR[0], std=COLOUR[1])


@register("cifar100", kind="data set", paper="Krizhevsky 2009")
def cifar100(path: str | PathLike[str] | None = None, *, download: bool = True) -> Dataset:
    """Things in a hundred classes: 50,000 + 10,000 colour images of 32 x 32."""
    return load_source(CIFAR100, path, download=download, mean=COLOUR[0], std=COLOUR[1])


@register("svhn", kind="data set", paper="Netzer et al. 2011")
def svhn(path: str | PathLike[str] | None = None, *, download: bool = True) -> Dataset:
    """House numbers' digits in ten classes: 73,257 + 26,032 colour images of 32 x 32."""
    return load_source(SVHN, path, download=download, mean=HOUSES[0], std=HOUSES[1])


@register("emnist", kind="data set", paper="Cohen et al. 2017")
def emnist(
    path: str | PathLike[str] | None = None,
    *,
    split: Literal["balanced", "digits", "letters"] = "balanced",
    download: bool = True,
) -> Dataset:
    """Handwriting, grey images of 28 x 28: 47 balanced classes, 10 digits or 26 letters."""
    return replace(load_source(EMNIST[split], path, download=download), name=f"emnist-{split}")


def load_source(
    source: Source,
    path: str | PathLike[str] | None = None,
    *,
    download: bool = True,
    mean: tuple[float, ...] = GREY[0],
    std: tuple[float, ...] = GREY[1],
) -> Dataset:
    """Images from files, found as `read_source` says, scaled to [0, 1] and normalised by channel: (x - mean) / std.

    Args:
        source: what it is, perhaps one of your own, such as a mirror.
        path: a folder with the files.
        download: whether the network may be used.
        mean, std: by channel; of MNIST if not given: 0.1307 and 0.3081.

    Raises:
        DataError: files are missing, damaged or of another data set.
    """
    train, test = read_source(source, path, download=download, others=SOURCES)
    try:
        return as_dataset(source.name, train, test, source.classes, mean, std)
    except FormatError as error:
        raise source.error(str(error), error.file) from error


def as_dataset(
    name: str, train: Stored, test: Stored, classes: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> Dataset:
    """The data set that files hold, once they are found to fit together.

    Raises:
        FormatError: labels do not fit images or classes, there is one class alone, images differ in size.
    """
    splits = [Split(inputs=pixels(part, mean, std), labels=checked_labels(part, classes)) for part in (train, test)]
    check_several(splits[0].labels, train)
    expected, found = (" x ".join(map(str, split.inputs.shape[2:])) for split in splits)
    if found != expected:
        raise FormatError(
            f"expected images of {expected} as in {short_name(train.files[0])}, found {found}", test.files[0]
        )
    return Dataset(name=name, train=splits[0], test=splits[1], classes=classes)
