"""EMNIST, SVHN, EuroSAT, and folders of images: what is read, and what is refused."""

from __future__ import annotations

import gzip
import io
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

from fedward.data import Lazy, load
from fedward.data.land import CLASSES
from fedward.data.sources import DataError

RANDOM = np.random.default_rng(0)


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


@pytest.mark.parametrize("part", ["test", "val"])
def test_a_test_folder_without_one_to_train_with_is_no_class(tmp_path: Path, part: str) -> None:
    folder = pictures(tmp_path / "pets", parts=("", part), each=10)
    with pytest.raises(DataError, match=rf"{part}: expected no folder of this name beside classes .*into train"):
        load("image-folder:held_out=0.25", folder)
    # Images themselves, and no classes, lie in a folder that is a class.
    for name in ("cat", "dog"):
        for file in (folder / part / name).iterdir():
            file.rename(folder / part / f"{name}-{file.name}")
        (folder / part / name).rmdir()
    assert load("image-folder:held_out=0.25", folder).classes == 3


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
    "no image that would be scaled": (
        changed("test/dog/2.png", b"no picture"),
        ":size=4",
        r"dog/2\.png: expected an image file, found something else",
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
