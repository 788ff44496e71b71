"""Files of data sets, in every format that is read: damaged ones are refused in a sentence, or hold sound data."""

from __future__ import annotations

import csv
import gzip
import io
import json
import pickle
import random
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fedward.data import cifar, leaf
from fedward.data.content import Files, FormatError, members
from fedward.data.idx import read_four
from fedward.data.images import decoded
from fedward.data.mat import read_mat
from fedward.data.stored import Stored, checked_labels, pixels
from fedward.data.tables import read_csv, read_npz, read_parquet
from fedward.data.texts import read_text_columns, read_texts
from tests.fuzz.mutations import attempt, damaged, in_time, odd
from tests.fuzz.run_folders import in_memory
from tests.fuzz.table import Tried

SURFACE = "files of data sets"
WEIGHT = 6.0

GREY = np.arange(4 * 4 * 4, dtype=np.uint8).reshape(4, 4, 4)
COLOUR = np.arange(2 * 3072, dtype=np.uint32).astype(np.uint8).reshape(2, 3072)
LABELS = np.array([0, 1, 2, 1], dtype=np.uint8)


@dataclass(frozen=True)
class Held:
    """A file in memory."""

    name: str
    content: bytes = field(repr=False)

    def read_bytes(self) -> bytes:
        return self.content

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Format:
    """A way in which data lie in files.

    Attributes:
        read: makes a training and a test set of them.
        files: sound ones, by name.
        often: how often it is tried beside the others, which are slower or faster.
        images: channels of its images; None of texts.
        value: the JSON value that the first file is, if it is one.
    """

    read: Callable[[Files], tuple[Stored, Stored]]
    files: dict[str, bytes]
    often: int = 4
    images: int | None = 1
    value: Any = None


def _idx(array: np.ndarray) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


def _npz(**arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def _csv(rows: list[list[Any]]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue().encode()


def _parquet(columns: dict[str, Any]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    out = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), out)
    return out.getvalue()


def _png() -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(GREY[0]).save(out, "PNG")
    return out.getvalue()


def _mat() -> bytes:
    from scipy import io as scipy_io

    out = io.BytesIO()
    scipy_io.savemat(out, {"X": np.zeros((32, 32, 3, 2), dtype=np.uint8), "y": np.array([[1], [10]])})
    return out.getvalue()


def _archive(kind: str) -> bytes:
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped:
            zipped.writestr("folder/a", b"a" * 100)
            zipped.writestr("folder/b.gz", gzip.compress(b"b" * 100))
    else:
        with tarfile.open(fileobj=out, mode="w:gz") as tar:
            info = tarfile.TarInfo("folder/a")
            info.size = 100
            tar.addfile(info, io.BytesIO(b"a" * 100))
    return out.getvalue()


def _members(files: Files) -> tuple[Stored, Stored]:
    """What an archive on disk holds, which is no data set: its members are looked at here."""
    [content] = files.values()
    with tempfile.TemporaryDirectory(dir=in_memory()) as name:
        place = Path(name) / "archive"
        place.write_bytes(content.read_bytes())
        found = members(place, ("a", "b"), 1 << 20)
        if any(len(member.read_bytes()) > 1 << 20 for member in found.values()):
            raise AssertionError("more than the limit")
    raise FormatError("no data set")


def _image(files: Files) -> tuple[Stored, Stored]:
    [content] = files.values()
    image = decoded(content.read_bytes(), content, "L", 4)
    assert image.shape == (4, 4)
    raise FormatError("no data set")


LEAF_VALUE = {"user_data": {"u": {"x": [[0.5] * 784] * 2, "y": [0, 1]}, "v": {"x": [[0.0] * 784], "y": [2]}}}
ROLES_VALUE = {"user_data": {"u": {"x": ["abc", "bcd"], "y": ["d", "e"]}}}
GREY_ROWS = [
    ["label", *(f"p{i}" for i in range(16))],
    *([int(label), *map(int, image.flatten())] for image, label in zip(GREY, LABELS, strict=True)),
]
TEXT_ROWS = [["label", "title", "text"], ["1", "a title", "words, and words"], ["2", "another", "text"]]


def formats() -> list[Format]:
    """All that are read."""
    four = {"a": _idx(GREY), "b": _idx(LABELS), "c": _idx(GREY), "d": _idx(LABELS)}
    record = bytes([3]) + COLOUR[0].tobytes()
    batch = pickle.dumps({b"data": COLOUR, b"labels": [0, 1]}, protocol=2)
    one = _npz(x_train=GREY, y_train=LABELS, x_test=GREY, y_test=LABELS)
    images = _parquet({"image": [_png(), _png()], "label": [0, 1]})
    texts = _parquet({"text": ["some words", "more"], "label": [0, 1]})
    written, said = json.dumps(LEAF_VALUE).encode(), json.dumps(ROLES_VALUE).encode()
    return [
        Format(read_four, four, often=30),
        Format(read_four, {name: gzip.compress(content, 1) for name, content in four.items()}, often=20),
        Format(cifar.TEN_BINARY, {"train": record * 2, "test": record}, images=3, often=20),
        Format(cifar.TEN_PYTHON, {"train": batch, "test": batch}, images=3, often=15),
        Format(read_npz, {"one.npz": one}, often=3),
        Format(read_npz, {f"{p}.npz": _npz(images=GREY, labels=LABELS) for p in ("train", "test")}, often=3),
        Format(read_csv, {f"{part}.csv": _csv(GREY_ROWS) for part in ("train", "test")}, often=10),
        Format(read_texts, {f"{part}.csv": _csv(TEXT_ROWS) for part in ("train", "test")}, images=None, often=15),
        Format(read_parquet, {f"{part}.parquet": images for part in ("train", "test")}, often=1),
        Format(read_text_columns, {f"{p}.parquet": texts for p in ("train", "test")}, images=None, often=1),
        Format(leaf.read_writers, {"train/a.json": written, "test/a.json": written}, value=LEAF_VALUE, often=2),
        Format(leaf.read_roles, {"train/a.json": said, "test/a.json": said}, images=None, value=ROLES_VALUE, often=10),
        Format(read_mat, {"train.mat": _mat(), "test.mat": _mat()}, images=3, often=2),
        Format(_members, {"archive": _archive("zip")}, often=5),
        Format(_members, {"archive": _archive("tar")}, often=5),
        Format(_image, {"image.png": _png()}, often=5),
    ]


def try_inputs(count: int, seed: int) -> Tried:
    """So many data sets."""
    rng = random.Random(seed)
    tried = Tried()
    known = formats()
    shares = [each.often for each in known]
    for number in range(count):
        kind = rng.choices(known, shares)[0]
        files = _hostile(rng, kind)

        def work(kind: Format = kind, files: Files = files) -> str | None:
            with in_time():
                return _unsound(kind, kind.read(files))

        attempt(tried, f"seed {seed}, data set {number} ({', '.join(kind.files)})", work, (FormatError,))
    return tried


def _hostile(rng: random.Random, kind: Format) -> Files:
    contents = dict(kind.files)
    chosen = rng.choice(list(contents))
    if kind.value is not None and rng.random() < 0.5:
        contents[chosen] = json.dumps(odd(rng, kind.value)).encode()
    else:
        contents[chosen] = damaged(rng, contents[chosen])
    return {name: Held(name, content) for name, content in contents.items()}


def _unsound(kind: Format, read: tuple[Stored, Stored]) -> str | None:
    """What is wrong with what was read; None if nothing is, or if the next step says so in a sentence."""
    for part in read:
        labels = checked_labels(part, 100)
        if len(labels) != len(part.samples):
            return f"{len(labels)} labels of {len(part.samples)} samples"
        if kind.images is not None:
            channels = kind.images
            if not pixels(part, (0.5,) * channels, (0.5,) * channels).isfinite().all():
                return "pixels that are not finite"
    return None
