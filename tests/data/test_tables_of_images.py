"""Images in tables, csv or parquet: what is read, and what is refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fedward.data import Dataset, load
from fedward.data.sources import DataError
from tests.data.test_more_sets import RANDOM, png, raw


def csv_of(images: np.ndarray, labels: np.ndarray, header: bool) -> str:
    rows = [",".join(map(str, [label, *image.flatten()])) for image, label in zip(images, labels, strict=True)]
    names = ["label", *(f"pixel{i}" for i in range(images[0].size))]
    return "\n".join([",".join(names), *rows] if header else rows) + "\n"


@pytest.mark.parametrize("form", ["csv", "csv with header", "parquet", "npz of both", "npz"])
def test_mnist_as_a_table(tmp_path: Path, form: str) -> None:
    images = RANDOM.integers(0, 256, (12, 28, 28), dtype=np.uint8)
    labels = np.arange(12) % 10
    for part in ("train", "test"):
        if form.startswith("csv"):
            (tmp_path / f"mnist_{part}.csv").write_text(csv_of(images, labels, header="header" in form))
        elif form == "parquet":
            parquet(tmp_path / f"{part}-00000-of-00001.parquet", [png_of(image) for image in images], labels)
        elif form == "npz":
            np.savez(tmp_path / f"{part}.npz", x=images, y=labels)
    if form == "npz of both":
        np.savez(tmp_path / "mnist.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    made = load("mnist", tmp_path)
    assert made.train.labels.tolist() == labels.tolist()
    np.testing.assert_allclose(raw(made.test)[:, 0], (images / 255 - 0.1307) / 0.3081, atol=1e-5)


NUMBERED = [str(i) for i in range(784)]


@pytest.mark.parametrize(
    ("header", "place"),
    [(["label", *NUMBERED], 0), ([*NUMBERED, "label"], 784), (["0", "Class", *NUMBERED[1:]], 1), ([], 0)],
)
def test_a_first_row_with_a_word_is_a_header(tmp_path: Path, header: list[str], place: int) -> None:
    images = RANDOM.integers(0, 256, (12, 784))
    labels = np.arange(12) % 10
    rows = np.insert(images, place, labels, axis=1)
    for part in ("train", "test"):
        lines = [header, *rows.tolist()] if header else rows.tolist()
        (tmp_path / f"{part}.csv").write_text("".join(",".join(map(str, line)) + "\n" for line in lines))
    made = load("mnist", tmp_path)
    assert made.train.labels.tolist() == labels.tolist()
    np.testing.assert_allclose(raw(made.test).reshape(12, -1), (images / 255 - 0.1307) / 0.3081, atol=1e-5)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (["digit", *NUMBERED], "digit;"),
        ([*NUMBERED, "digit"], "digit;"),
        (["", *NUMBERED], "one without a name;"),
        ([f"p{i}" for i in range(785)], r"p0, p1, p2, p3, p4, \.\.\.;"),
    ],
)
def test_a_header_that_does_not_say_where_labels_are_is_refused(tmp_path: Path, header: list[str], found: str) -> None:
    for part in ("train", "test"):
        lines = [header, *([["0"] * 785] * 12)]
        (tmp_path / f"{part}.csv").write_text("".join(",".join(line) + "\n" for line in lines))
    with pytest.raises(DataError, match=f"expected a column of labels, called labels, label, .* found {found} call it"):
        load("mnist", tmp_path)


def png_of(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "png")
    return out.getvalue()


def parquet(file: Path, images: list[bytes], labels: np.ndarray) -> None:
    import pyarrow
    from pyarrow import parquet as pq

    cells = [{"bytes": image, "path": None} for image in images]
    pq.write_table(pyarrow.table({"image": cells, "label": labels}), file)


BAD_TABLE: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "csv: pixels": ("train.csv", lambda f: f.write_text("1,2,300\n"), r"expected pixels from 0 to 255, found 2 to 300"),
    "csv: text": ("train.csv", lambda f: f.write_text("1,2,3\nx,4,5\n"), r"expected rows of a label and pixels"),
    "csv: fractions": ("train.csv", lambda f: f.write_text("1,2,3.5\n2,4,5\n"), r"all whole numbers, found .*3\.5"),
    "csv: not square": (
        "train.csv",
        lambda f: f.write_text("1,2,3\n2,4,5\n"),
        r"expected the pixels of a square image",
    ),
    "csv: empty": ("train.csv", lambda f: f.write_text(""), r"expected rows of a label and pixels"),
    "npz: names": (
        "train.npz",
        lambda f: np.savez(f, a=1, b=2),
        r"expected images, called images, image, .* found a, b",
    ),
    "npz: objects": (
        "train.npz",
        lambda f: np.savez(f, images=np.array([{}], dtype=object), labels=[1]),
        r"expected an \.npz file of plain arrays",
    ),
    "parquet: damaged": (
        "train.parquet",
        lambda f: f.write_bytes(b"PAR1"),
        r"expected a Parquet file, found something",
    ),
    "parquet: no image": ("train.parquet", lambda f: parquet(f, [b"x"], np.array([1])), r"expected an image file"),
    "parquet: sizes": (
        "train.parquet",
        lambda f: parquet(f, [png((2, 2)), png((3, 2))], np.array([1, 2])),
        r"expected images of one size, found \(2, 2\), \(3, 2\)",
    ),
}


@pytest.mark.parametrize("case", BAD_TABLE)
def test_a_bad_table_is_refused(tmp_path: Path, case: str) -> None:
    name, write, pattern = BAD_TABLE[case]
    for file in (tmp_path / name, tmp_path / name.replace("train", "test")):
        write(file)
    with pytest.raises(DataError, match=pattern) as caught:
        load("mnist", tmp_path)
    assert name in str(caught.value)


def test_what_is_needed_beyond_the_package_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for part in ("train", "test"):
        parquet(tmp_path / f"{part}.parquet", [png((28, 28))] * 2, np.array([0, 1]))
    assert isinstance(load("mnist", tmp_path), Dataset)
    for module, words in (("PIL", "image files needs Pillow"), ("pyarrow", "Parquet needs pyarrow")):
        with monkeypatch.context() as patch:
            patch.setitem(__import__("sys").modules, module, None)
            with pytest.raises(DataError, match=f"{words}: pip install pillow pyarrow "):
                load("mnist", tmp_path)
