"""EMNIST, SVHN, EuroSAT, LEAF's data sets, and folders of images: what is read, and what is refused."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import io as scipy_io

from fedward.data import Dataset, Lazy, Natural, federate, load
from fedward.data.land import CLASSES
from fedward.data.leaf import LETTERS
from fedward.data.sources import DataError

RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _nothing_of_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("FEDWARD_DATA", raising=False)


def raw(split: Any) -> Any:
    return split.inputs[:]


# --- EMNIST -------------------------------------------------------------------------------------------------


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


def emnist(split: str, labels: np.ndarray) -> tuple[dict[str, bytes], np.ndarray]:
    """The files as published, where images lie on their side, and the images as they should be."""
    images = RANDOM.integers(0, 256, (len(labels), 28, 28), dtype=np.uint8)
    files = {}
    for part in ("train", "test"):
        files[f"emnist-{split}-{part}-images-idx3-ubyte"] = idx(images.transpose(0, 2, 1).copy())
        files[f"emnist-{split}-{part}-labels-idx1-ubyte"] = idx(labels.astype(np.uint8))
    return files, images


@pytest.mark.parametrize(("split", "first", "classes"), [("balanced", 0, 47), ("digits", 0, 10), ("letters", 1, 26)])
@pytest.mark.parametrize("form", ["archive", "folder", "torchvision"])
def test_emnist_is_set_upright_and_counted_from_0(
    tmp_path: Path, split: str, first: int, classes: int, form: str
) -> None:
    labels = np.arange(2 * classes) % classes
    files, images = emnist(split, labels + first)
    if form == "archive":
        with zipfile.ZipFile(tmp_path / "gzip.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(f"gzip/{name}.gz", gzip.compress(content, 1))
    else:
        folder = tmp_path / ("EMNIST/raw" if form == "torchvision" else "")
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    made = load(f"emnist:split={split}", tmp_path)
    assert (made.name, made.classes, made.shape) == (f"emnist-{split}", classes, (1, 28, 28))
    assert made.train.labels.tolist() == labels.tolist()
    np.testing.assert_allclose(raw(made.train)[:, 0], (images / 255 - 0.1307) / 0.3081, atol=1e-5)


def test_letters_that_count_from_0_are_refused(tmp_path: Path) -> None:
    files, _ = emnist("letters", np.arange(26))
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=r"expected labels from 0 to 25, found -1"):
        load("emnist:split=letters", tmp_path)


# --- SVHN ---------------------------------------------------------------------------------------------------


def svhn(folder: Path, **changed: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    images = np.random.default_rng(1).integers(0, 256, (32, 32, 3, 20), dtype=np.uint8)
    held = {"X": images, "y": (np.arange(20) % 10 + 1).astype(np.uint8)[:, None], **changed}
    for name in ("train", "test"):
        scipy_io.savemat(folder / f"{name}_32x32.mat", {k: v for k, v in held.items() if v is not None})
    return folder


def test_svhn_is_read_and_its_ten_is_a_zero(tmp_path: Path) -> None:
    made = load("svhn", svhn(tmp_path / "d"))
    images = np.random.default_rng(1).integers(0, 256, (32, 32, 3, 20), dtype=np.uint8).transpose(3, 2, 0, 1)
    assert made.train.labels.tolist() == [*range(1, 10), 0] * 2
    mean, std = (np.array(v)[:, None, None] for v in ((0.4377, 0.4438, 0.4728), (0.198, 0.201, 0.197)))
    np.testing.assert_allclose(raw(made.test), (images / 255 - mean) / std, atol=1e-5)


@pytest.mark.parametrize(
    ("changed", "pattern"),
    [
        ({"X": None}, r"expected X and y in it"),
        ({"X": np.zeros((32, 32, 3))}, r"expected bytes \(H, W, 3, N\)"),
        ({"y": np.zeros((20, 1))}, r"expected bytes .* and whole numbers, found .* float64"),
        ({"y": np.full((20, 1), 11, np.uint8)}, r"expected labels from 0 to 9, found 11"),
        ({"y": np.full((20, 1), 3, np.uint8)}, r"two classes or more, found 20 of class 3 alone"),
        ({"y": np.ones((19, 1), np.uint8)}, r"expected 20 labels"),
    ],
)
def test_a_matlab_file_that_holds_something_else_is_refused(
    tmp_path: Path, changed: dict[str, Any], pattern: str
) -> None:
    with pytest.raises(DataError, match=pattern):
        load("svhn", svhn(tmp_path / "d", **changed))


@pytest.mark.parametrize("damage", [b"", b"<html>please log in</html>" * 20, None])
def test_a_damaged_matlab_file_is_refused(tmp_path: Path, damage: bytes | None) -> None:
    file = svhn(tmp_path / "d") / "train_32x32.mat"
    file.write_bytes(file.read_bytes()[:3000] if damage is None else damage)
    with pytest.raises(DataError, match=r"train_32x32\.mat: expected a MATLAB file, found something else"):
        load("svhn", file.parent)


# --- folders of images --------------------------------------------------------------------------------------


def png(shape: tuple[int, ...] = (6, 6, 3), value: int | None = None) -> bytes:
    array = RANDOM.integers(0, 256, shape, dtype=np.uint8) if value is None else np.full(shape, value, np.uint8)
    out = io.BytesIO()
    Image.fromarray(array).save(out, "png")
    return out.getvalue()


def pictures(folder: Path, parts: tuple[str, ...] = ("train", "test"), each: int = 3) -> Path:
    for part in parts:
        for label, name in enumerate(("cat", "dog")):
            (folder / part / name).mkdir(parents=True, exist_ok=True)
            for i in range(each):
                (folder / part / name / f"{i}.png").write_bytes(png(value=20 * i + label))
    return folder


def test_a_folder_of_images_is_a_data_set_that_is_read_when_needed(tmp_path: Path) -> None:
    made = load("image-folder", pictures(tmp_path / "pets"))
    assert (made.name, made.classes, made.shape) == ("pets", 2, (3, 6, 6))
    assert isinstance(made.train.inputs, Lazy)
    assert made.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert torch.allclose(raw(made.train)[:, 0, 0, 0] * 255, torch.tensor([0.0, 20, 40, 1, 21, 41]))
    assert load("image-folder:size=4,mode=grey", tmp_path / "pets").shape == (1, 4, 4)


def test_a_share_of_a_folder_is_held_out(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "pets", parts=("",), each=10)
    made, again = (load("image-folder:held_out=0.25", folder) for _ in range(2))
    assert (len(made.train), len(made.test)) == (15, 5)
    assert torch.equal(raw(made.test), raw(again.test))


def changed(name: str, content: bytes | None) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content or b"") if content is not None else (folder / name).unlink()

    return change


def emptied(part: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for file in (folder / part).rglob("*.png"):
            file.unlink()

    return change


BAD_FOLDER: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "another size": (
        changed("train/dog/1.png", png((6, 7, 3))),
        "",
        r"dog/1\.png: expected an image of 6 x 6 as .*cat/0\.png, found 7 x 6; bring them to one size, or say size=32",
    ),
    "no image": (
        changed("train/cat/1.png", b"<html>"),
        "",
        r"cat/1\.png: expected an image file, found something else",
    ),
    "unknown class": (changed("test/cow/1.png", png()), "", r"cow/1\.png: expected a class of .*cat, dog, found cow"),
    "one class": (emptied("train/cat"), "", r"two classes or more, found dog to train with, 6 images to test with"),
    "no test images": (emptied("test"), "", r"found cat, dog to train with, 0 images to test with"),
    "both ways": (lambda folder: None, ":held_out=0.5", r"expected a folder without train and test"),
    "no share": (emptied(""), ":held_out=0.5", r"without train and test|found 0"),
}


@pytest.mark.parametrize("case", BAD_FOLDER)
def test_a_folder_that_is_no_data_set_is_refused(tmp_path: Path, case: str) -> None:
    change, arguments, pattern = BAD_FOLDER[case]
    folder = pictures(tmp_path / "pets")
    change(folder)
    with pytest.raises(DataError, match=pattern):
        load(f"image-folder{arguments}", folder)


def test_a_folder_must_be_told_and_have_both_parts(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"image-folder needs a folder: path= \(--data-path\)"):
        load("image-folder")
    with pytest.raises(DataError, match=r"path='.*nowhere' is not a folder"):
        load("image-folder", tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"folders train and test, test is missing; or say held_out=0\.2"):
        load("image-folder", pictures(tmp_path / "pets", parts=("train",)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"hold a share of 0\.2 out of, found 0"):
        load("image-folder:held_out=0.2", tmp_path / "empty")


def test_an_image_that_would_fill_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = pictures(tmp_path / "pets")
    monkeypatch.setattr("fedward.data.images.MOST_PIXELS", 35)
    with pytest.raises(DataError, match=r"cat/0\.png: expected an image, found 6 x 6 pixels"):
        load("image-folder", folder)


# --- EuroSAT ------------------------------------------------------------------------------------------------


def land(each: int = 2) -> dict[str, bytes]:
    files = {}
    for label, name in enumerate(CLASSES):
        for i in range(each):
            out = io.BytesIO()
            Image.fromarray(np.full((8, 8, 3), 20 * label + i, np.uint8)).save(out, "jpeg")
            files[f"2750/{name}/{name}_{i + 1}.jpg"] = out.getvalue()
    return files


def test_eurosat_is_one_data_set_in_its_archive_and_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "EuroSAT.zip", "w") as archive:
        for name, content in land().items():
            archive.writestr(name, content)
            file = tmp_path / "unpacked" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    packed, unpacked = (load("eurosat", place) for place in (tmp_path, tmp_path / "unpacked"))
    assert (packed.classes, packed.shape, len(packed.train), len(packed.test)) == (10, (3, 8, 8), 16, 4)
    for one, other in ((packed.train, unpacked.train), (packed.test, unpacked.test)):
        assert torch.equal(raw(one), raw(other))
        assert torch.equal(one.labels, other.labels)
    brightness = (raw(packed.train)[:, 0, 0, 0] * 0.229 + 0.485) * 255
    assert torch.all((brightness / 20 - packed.train.labels).abs() < 0.3)


def test_eurosat_lacks_a_class_or_is_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "2750"
    for name in CLASSES[:9]:
        (folder / name).mkdir(parents=True)
    with pytest.raises(DataError, match=r"lacks SeaLake\. Put the file EuroSAT\.zip into"):
        load("eurosat", tmp_path)
    (folder / CLASSES[9]).mkdir()
    with pytest.raises(DataError, match=r"expected 27,000 images, found 0"):
        load("eurosat", tmp_path)
    (tmp_path / "z").mkdir()
    (tmp_path / "z" / "EuroSAT.zip").write_bytes(b"<html>")
    with pytest.raises(DataError, match=r"EuroSAT\.zip: expected an archive, found a damaged one"):
        load("eurosat", tmp_path / "z")


# --- LEAF ---------------------------------------------------------------------------------------------------


def femnist(user: int, count: int) -> dict[str, Any]:
    x = np.random.default_rng(user).random((count, 784)).round(3).tolist()
    return {"x": x, "y": [(user + i) % 62 for i in range(count)]}


def lines(user: int, count: int) -> dict[str, Any]:
    text = LETTERS[user:] + LETTERS[:user]
    return {"x": [text[i : i + 10] for i in range(count)], "y": [text[i + 10] for i in range(count)]}


def leaf(folder: Path, make: Callable[[int, int], dict[str, Any]], **changed: Any) -> Path:
    """Two files of users for the training set, one for the test set."""
    for name, users, count in (("train/a.json", (1, 2), 4), ("train/b.json", (3,), 5), ("test/a.json", (3, 1), 2)):
        data = {f"u{user}": {**make(user, count), **changed} for user in users}
        file = folder / "data" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"users": list(data), "num_samples": [count] * len(data), "user_data": data}))
    return folder


@pytest.mark.parametrize("below", ["", "data"])
def test_femnist_knows_its_writers(tmp_path: Path, below: str) -> None:
    made = load("femnist", leaf(tmp_path, femnist) / below)
    assert (made.classes, made.shape, len(made.train), len(made.test)) == (62, (1, 28, 28), 13, 4)
    assert made.train.owners is not None
    assert made.test.owners is not None
    assert made.train.owners.tolist() == [0] * 4 + [1] * 4 + [2] * 5
    assert made.test.owners.tolist() == [2, 2, 0, 0]
    np.testing.assert_allclose(raw(made.train)[:4].flatten(1), femnist(1, 4)["x"], atol=1e-6)
    assert sorted(map(len, federate(made, 3, Natural()).shards)) == [4, 4, 5]


def test_shakespeare_knows_its_roles(tmp_path: Path) -> None:
    made = load("shakespeare", leaf(tmp_path, lines))
    assert (made.classes, made.shape, made.vocabulary) == (80, (10,), 80)
    assert made.train.inputs.dtype == torch.int64
    assert "".join(LETTERS[i] for i in raw(made.train)[5]) == lines(2, 4)["x"][1]
    assert LETTERS[int(made.train.labels[5])] == lines(2, 4)["y"][1]


def test_what_leaf_makes_is_said_to_be_made_by_it(tmp_path: Path) -> None:
    for name in ("femnist", "shakespeare"):
        with pytest.raises(
            DataError, match=rf"Run LEAF's data/{name}/preprocess\.sh .* put train/\*\.json and test/"
        ) as e:
            load(name)
        assert "nobody publishes these files" in str(e.value)
    (leaf(tmp_path, lines) / "data" / "test" / "a.json").unlink()
    with pytest.raises(DataError, match=r"lacks test/\*\.json\. Run LEAF's"):
        load("shakespeare", tmp_path)


BAD_LEAF: dict[str, tuple[str, dict[str, Any], str]] = {
    "fewer labels": ("femnist", {"y": [1]}, r"expected as many labels as samples of user u1, found 1 and 4"),
    "pixels": ("femnist", {"x": [[0.5] * 783] * 4}, r"expected images of 784 numbers and classes of user u1"),
    "no users": ("femnist", {"x": [], "y": []}, r"expected users with samples, found none"),
    "letters": (
        "shakespeare",
        {"x": ["abc$"] * 4},
        r"expected lines of the 80 characters of LEAF's, user u1 has 'abc\$'",
    ),
    "lengths": ("shakespeare", {"x": ["ab", "abc", "ab", "ab"]}, r"lines of one length and single characters"),
    "numbers": ("shakespeare", {"x": [3]}, r"user u1 has 3"),
}


@pytest.mark.parametrize("case", BAD_LEAF)
def test_bad_json_of_leaf_is_refused(tmp_path: Path, case: str) -> None:
    name, change, pattern = BAD_LEAF[case]
    make = femnist if name == "femnist" else lines
    with pytest.raises(DataError, match=pattern) as caught:
        load(name, leaf(tmp_path, make, **change))
    assert ".json" in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"[1]", b'{"user_data": {"u": 3}}', b'{"user_data": {}}', b"\xff", b"[" * 100_000]
)
def test_json_of_somebody_else_is_refused(tmp_path: Path, content: bytes) -> None:
    folder = leaf(tmp_path, femnist)
    (folder / "data" / "train" / "b.json").write_bytes(content)
    with pytest.raises(DataError, match=r"b\.json: expected (LEAF's JSON|users with samples)"):
        load("femnist", folder)


# --- tables of images ---------------------------------------------------------------------------------------


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
            with pytest.raises(DataError, match=rf"{words}: pip install 'fedward\[data\]'"):
                load("mnist", tmp_path)
