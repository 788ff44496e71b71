"""The forms in which images lie on people's disks, and what is wrong with them when something is."""

from __future__ import annotations

import dataclasses
import gzip
import io
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedward.data import content
from fedward.data.cifar import BATCHES
from fedward.data.content import FormatError
from fedward.data.known import CIFAR10, COLOUR, SOURCES, load_source
from fedward.data.named import load
from fedward.data.sources import DataError
from fedward.data.unpickle import unpickled

MEAN, STD = (np.array(values, np.float32)[:, None, None] for values in COLOUR)


def batches(classes: int = 10) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Six batches of 20 images."""
    random = np.random.default_rng(0)
    return {
        name: (
            random.integers(0, 256, (20, 3, 32, 32), dtype=np.uint8),
            random.permutation(np.arange(20) % classes).astype(np.uint8),
        )
        for name in BATCHES
    }


def binary(images: np.ndarray, labels: np.ndarray) -> bytes:
    return np.concatenate([labels[:, None], images.reshape(len(images), -1)], axis=1).tobytes()


def python2(images: np.ndarray, labels: np.ndarray) -> bytes:
    """As published: keys and bytes are Python 2's text."""
    batch = {"data": images.reshape(len(images), -1), "labels": labels.tolist(), "batch_label": "a"}
    return pickle.dumps(batch, protocol=2)


def python3(images: np.ndarray, labels: np.ndarray) -> bytes:
    batch = {b"data": images.reshape(len(images), -1), b"labels": labels.tolist(), b"batch_label": b"a"}
    return pickle.dumps(batch, protocol=5)


def npz(images: np.ndarray, labels: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez(out, images=images.transpose(0, 2, 3, 1), labels=labels)
    return out.getvalue()


FORMS: Mapping[str, tuple[Callable[..., bytes], str]] = {
    "binary": (binary, "{}.bin"),
    "gzipped": (lambda *batch: gzip.compress(binary(*batch), 1), "{}.bin.gz"),
    "below": (binary, "cifar-10-batches-bin/{}.bin"),
    "python 2": (python2, "{}"),
    "python 3": (python3, "cifar-10-batches-py/{}"),
    "npz": (npz, "cifar10_{}.npz"),
}


def written(folder: Path, form: str) -> Path:
    make, name = FORMS[form]
    for batch, parts in batches().items():
        file = folder / name.format(batch)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(make(*parts))
    return folder


def assert_is_cifar(folder: Path) -> None:
    dataset = load("cifar10", folder)
    all_images = [images for images, _ in batches().values()]
    all_labels = [labels for _, labels in batches().values()]
    expected = (np.concatenate(all_images[:-1]).astype(np.float32) / 255 - MEAN) / STD
    np.testing.assert_allclose(dataset.train.inputs.numpy(), expected, rtol=0, atol=2e-6)
    np.testing.assert_allclose(
        dataset.test.inputs.numpy(), (all_images[-1].astype(np.float32) / 255 - MEAN) / STD, rtol=0, atol=2e-6
    )
    assert dataset.train.labels.tolist() == np.concatenate(all_labels[:-1]).tolist()
    assert dataset.test.labels.tolist() == all_labels[-1].tolist()
    assert (dataset.name, dataset.classes, dataset.shape) == ("cifar10", 10, (3, 32, 32))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_cifar_is_the_same_data(tmp_path: Path, form: str) -> None:
    assert_is_cifar(written(tmp_path / "d", form))


@pytest.mark.parametrize("form", ["binary", "python", "archive"])
def test_the_class_of_cifar_100_is_the_fine_label(tmp_path: Path, form: str) -> None:
    """A record has two labels, of which the first one is one of 20 coarse classes."""
    images, _ = batches()["test_batch"]
    coarse, fine = (np.arange(20) % 20).astype(np.uint8), (np.arange(20) * 5 + 4).astype(np.uint8)
    for name in ("train", "test"):
        records = np.concatenate([coarse[:, None], fine[:, None], images.reshape(20, -1)], axis=1).tobytes()
        held = {"data": images.reshape(20, -1), "coarse_labels": coarse.tolist(), "fine_labels": fine.tolist()}
        folder = tmp_path / ("inside" if form == "archive" else "")
        folder.mkdir(exist_ok=True)
        file = folder / (name if form == "python" else f"{name}.bin")
        file.write_bytes(pickle.dumps(held, protocol=2) if form == "python" else records)
    if form == "archive":
        with tarfile.open(tmp_path / "cifar-100-binary.tar.gz", "w:gz") as tar:
            tar.add(tmp_path / "inside", "cifar-100-binary")
    made = load("cifar100", tmp_path)
    assert made.classes == 100
    assert made.train.labels.tolist() == made.test.labels.tolist() == fine.tolist()
    inputs = made.train.inputs[:].numpy()
    np.testing.assert_allclose(inputs, (images.astype(np.float32) / 255 - MEAN) / STD, rtol=0, atol=2e-6)


def test_cifar_100_under_the_names_of_cifar_10_is_refused(tmp_path: Path) -> None:
    images, labels = batches()["test_batch"]
    records = np.concatenate([labels[:, None], labels[:, None], images.reshape(20, -1)], axis=1).tobytes()
    for name in BATCHES:
        (tmp_path / f"{name}.bin").write_bytes(records)
    with pytest.raises(DataError, match=r"data_batch_1\.bin: expected records of 3,073 bytes, found 61,480 bytes"):
        load("cifar10", tmp_path)


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_an_archive_is_read_as_it_is(tmp_path: Path, kind: str) -> None:
    inside = written(tmp_path / "d", "below") / "cifar-10-batches-bin"
    archive = tmp_path / "a" / CIFAR10.download[0]
    archive.parent.mkdir()
    if kind == "tar":
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(inside, "cifar-10-batches-bin")
    else:
        with zipfile.ZipFile(archive, "w") as zipped:
            for file in inside.iterdir():
                zipped.write(file, f"cifar-10-batches-bin/{file.name}")
    assert_is_cifar(archive.parent)
    assert [file.name for file in archive.parent.iterdir()] == [archive.name]  # nothing is unpacked


def test_an_archive_that_lacks_a_file_or_is_damaged(tmp_path: Path) -> None:
    inside = written(tmp_path / "d", "below") / "cifar-10-batches-bin"
    archive = tmp_path / "a" / CIFAR10.download[0]
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(inside / "data_batch_1.bin", "data_batch_1.bin")
    with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz: it lacks data_batch_2\.bin, .*; delete or replace"):
        load("cifar10", archive.parent)
    for damaged in (b"<html>please log in</html>", archive.read_bytes()[:-200], b"PK\x03\x04 and nothing"):
        archive.write_bytes(damaged)
        with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz: expected an archive, found a damaged one"):
            load("cifar10", archive.parent)


def test_a_member_of_an_archive_may_not_fill_the_memory(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("big.bin", bytes(100_000))
    with pytest.raises(FormatError, match=r"big\.bin in it holds more than 1,000 bytes"):
        content.members(archive, {"big.bin"}, limit=1_000)
    file = tmp_path / "big.gz"
    file.write_bytes(gzip.compress(bytes(10_000_000)))
    with pytest.raises(FormatError, match=r"and more: a file may hold 1,000 bytes"):
        content.content_of(file, limit=1_000)


def edited(folder: Path, form: str, name: str, make: Callable[[bytes], bytes]) -> Path:
    written(folder, form)
    file = folder / name
    file.write_bytes(make(file.read_bytes()))
    return folder


def shrunk(raw: bytes) -> bytes:
    with np.load(io.BytesIO(raw)) as arrays:
        return npz(arrays["images"].transpose(0, 3, 1, 2)[:, :, :28, :28], arrays["labels"])


def grey(raw: bytes) -> bytes:
    with np.load(io.BytesIO(raw)) as arrays:
        return npz(arrays["images"].transpose(0, 3, 1, 2)[:, :1], arrays["labels"])


def relabelled(labels: Any) -> Callable[[bytes], bytes]:
    def make(raw: bytes) -> bytes:
        with np.load(io.BytesIO(raw)) as arrays:
            return npz(arrays["images"].transpose(0, 3, 1, 2), np.asarray(labels))

    return make


def floats(value: float) -> Callable[[bytes], bytes]:
    def make(raw: bytes) -> bytes:
        with np.load(io.BytesIO(raw)) as arrays:
            images = arrays["images"].transpose(0, 3, 1, 2) / np.float32(255)
            images[3, 1, 4, 5] = value
            return npz(images, arrays["labels"])

    return make


BAD: Mapping[str, tuple[str, str, Callable[[bytes], bytes], str]] = {
    "truncated": ("binary", "data_batch_2.bin", lambda raw: raw[:-1], r"records of 3,073 bytes, found 61,459 bytes"),
    "too long": ("binary", "data_batch_2.bin", lambda raw: raw + b"\0", r"records of 3,073 bytes, found 61,461 bytes"),
    "empty": ("binary", "test_batch.bin", lambda raw: b"", r"records of 3,073 bytes, found 0 bytes"),
    "CIFAR-100's": ("binary", "data_batch_1.bin", lambda raw: raw + raw[:20], r"records of 3,073 bytes"),
    "label 10": ("binary", "test_batch.bin", lambda raw: b"\x0a" + raw[1:], r"labels from 0 to 9, found 10"),
    "no pickle": ("python 2", "data_batch_1", lambda raw: b"<html>", r"expected a pickle of arrays"),
    "half a pickle": ("python 2", "data_batch_1", lambda raw: raw[:1000], r"expected a pickle of arrays"),
    "a list": ("python 2", "data_batch_1", lambda raw: pickle.dumps([1]), r"expected a dictionary, found list"),
    "no data": (
        "python 2",
        "data_batch_1",
        lambda raw: pickle.dumps({"labels": [1]}),
        r"expected data and labels, found labels",
    ),
    "data of text": (
        "python 2",
        "data_batch_1",
        lambda raw: pickle.dumps({"labels": [1], "data": "x"}),
        r"expected data of N x 3072 bytes, found str",
    ),
    "no npz": ("npz", "cifar10_test_batch.npz", lambda raw: b"<html>", r"expected an \.npz file of plain arrays"),
    "half an npz": ("npz", "cifar10_test_batch.npz", lambda raw: raw[:5000], r"expected an \.npz file of plain arrays"),
    "other size": ("npz", "cifar10_test_batch.npz", shrunk, r"expected images of 32 x 32 as in .*, found 28 x 28"),
    "one batch of another size": ("npz", "cifar10_data_batch_3.npz", shrunk, r"expected images of 32 x 32 x 3 as in"),
    "grey": ("npz", "cifar10_test_batch.npz", grey, r"expected images of 3 channels, found 20 x 32 x 32 x 1"),
    "NaN": ("npz", "cifar10_test_batch.npz", floats(np.nan), r"found NaN or infinite pixels: drop or repair"),
    "too bright": ("npz", "cifar10_test_batch.npz", floats(7.0), r"numbers from 0 to 1, found 0 to 7"),
    "negative label": (
        "npz",
        "cifar10_test_batch.npz",
        relabelled([-1] * 20),
        r"expected labels from 0 to 9, found -1",
    ),
    "fewer labels": ("npz", "cifar10_test_batch.npz", relabelled([1] * 19), r"expected 20 labels .* found 19"),
    "labels as floats": (
        "npz",
        "cifar10_test_batch.npz",
        relabelled([0.5] * 20),
        r"expected whole numbers for labels, found float64",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_named_with_what_is_wrong_and_the_remedy(tmp_path: Path, case: str) -> None:
    form, name, make, pattern = BAD[case]
    folder = edited(tmp_path / "d", form, name, make)
    with pytest.raises(DataError, match=pattern) as caught:
        load("cifar10", folder)
    assert str(folder) in str(caught.value)
    assert "delete or replace this file" in str(caught.value)
    assert "Put the file cifar-10-binary.tar.gz into" in str(caught.value)
    assert CIFAR10.base in str(caught.value)


def test_a_training_set_of_one_class_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path / "d", "npz")
    for i in range(1, 6):
        file = folder / f"cifar10_data_batch_{i}.npz"
        file.write_bytes(relabelled([3] * 20)(file.read_bytes()))
    with pytest.raises(DataError, match=r"expected samples of two classes or more, found 100 of class 3 alone"):
        load("cifar10", folder)


# --- pickles ------------------------------------------------------------------------------------------------


class Hostile:
    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> Any:
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize("call", [os.mkdir, eval, getattr, np.load, torch.load, pickle.loads])
def test_a_pickle_runs_nothing(tmp_path: Path, call: Callable[..., Any], protocol: int) -> None:
    made = tmp_path / "made"
    argument = f"__import__('os').mkdir({str(made)!r})" if call is eval else str(made)
    file = tmp_path / "batch"
    file.write_bytes(pickle.dumps({"data": Hostile(call, argument)}, protocol=protocol))
    with pytest.raises(FormatError, match=r"it wants [\w.]+"):
        unpickled(file)
    assert not made.exists()


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_pickle_of_arrays_bytes_text_and_numbers_is_read(tmp_path: Path, protocol: int) -> None:
    held = {
        "a": np.arange(6, dtype=np.uint8).reshape(2, 3),
        b"b": [1, 2.5, "x", b"\xff", None, True],
        "c": (np.ones(2),),
    }
    file = tmp_path / "batch"
    file.write_bytes(pickle.dumps(held, protocol=protocol))
    found = unpickled(file)
    assert np.array_equal(found["a"], held["a"])
    assert found[b"b"] == held[b"b"]
    assert np.array_equal(found["c"][0], np.ones(2))


# --- one contract for all -----------------------------------------------------------------------------------


def test_what_is_not_there_is_described_for_every_data_set() -> None:
    for source in SOURCES:
        if source.packaged:
            continue
        with pytest.raises(DataError, match="downloading is switched off") as caught:
            load_source(dataclasses.replace(source, system=()), download=False)
        text = str(caught.value)
        assert all(name in text for name in source.fetched)
        assert all(place in text for place in (str(source.cache), "--data-path", "FEDWARD_DATA", source.base))


def test_every_download_is_over_https_and_has_a_checksum() -> None:
    for source in SOURCES:
        if source.packaged:
            continue
        assert source.base.startswith("https://")
        for name in source.fetched:
            assert name in source.sha256 or name.removesuffix(".gz") in source.sha256


def test_nothing_is_fetched_over_plain_http() -> None:
    with pytest.raises(DataError, match=r"http://example\.org/: fetched over https alone"):
        load_source(dataclasses.replace(CIFAR10, base="http://example.org/"))


def test_data_sets_side_by_side_in_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the folder FEDWARD_DATA itself a table must have the data set's name; in a folder of its own, need not."""
    shared = written(tmp_path / "d", "npz")
    monkeypatch.setenv("FEDWARD_DATA", str(shared))
    assert load("cifar10", download=False).name == "cifar10"
    with pytest.raises(DataError, match="downloading is switched off"):
        load("cifar100", download=False)
    for file in shared.iterdir():
        file.rename(shared / file.name.replace("cifar10_", ""))
    with pytest.raises(DataError, match="downloading is switched off"):
        load("cifar10", download=False)
    assert load("cifar10", shared).name == "cifar10"
