"""Data sets in files: how they are read, found, and refused."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from fedward.data import known as data
from fedward.data.idx import FILES
from fedward.data.known import load_source
from fedward.data.named import load, names
from fedward.data.sources import DataError, Source
from tests.data.idx_files import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS, contents, fill, idx, pixels

# Reading


@pytest.mark.parametrize("zipped", [True, False])
def test_reads_and_normalises(tmp_path: Path, source: Source, zipped: bool) -> None:
    files = contents()
    dataset = load_source(source, fill(tmp_path / "d", files, zipped))
    assert (dataset.name, dataset.classes, len(dataset.train), len(dataset.test)) == ("tiny", 10, 40, 20)
    assert dataset.train.inputs.shape == (40, 1, 6, 5)
    assert dataset.test.inputs.shape == (20, 1, 6, 5)
    assert dataset.train.inputs.dtype == torch.float32
    assert dataset.train.labels.dtype == torch.int64
    assert dataset.train.labels.tolist() == [i % 10 for i in range(40)]
    raw = np.frombuffer(files[TEST_IMAGES][16:], np.uint8).reshape(20, 1, 6, 5)
    expected = (raw / 255 - 0.1307) / 0.3081
    np.testing.assert_allclose(dataset.test.inputs.numpy(), expected, rtol=0, atol=1e-6)


def test_gzip_is_told_by_content_not_by_name(tmp_path: Path, source: Source) -> None:
    folder = fill(tmp_path / "d", contents())
    for name in FILES:
        (folder / f"{name}.gz").write_bytes(contents()[name])
    assert pixels(load_source(source, folder)) == contents()[TRAIN_IMAGES][16:]


def test_own_content_of_the_right_structure_is_accepted(tmp_path: Path, source: Source) -> None:
    dataset = load_source(source, fill(tmp_path / "d", contents(seed=1)))
    assert pixels(dataset) == contents(seed=1)[TRAIN_IMAGES][16:]


def test_a_tilde_in_the_path(tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    fill(tmp_path / "d", contents())
    assert len(load_source(source, "~/d").train) == 40


def short(name: str, size: int) -> dict[str, bytes]:
    return {name: contents()[name][:size]}


BAD_CONTENT = {
    "truncated images": (short(TRAIN_IMAGES, 700), r"expected 1,216 bytes .*40 x 6 x 5.* found 700"),
    "too long": ({TEST_LABELS: contents()[TEST_LABELS] + b"\0"}, r"expected 28 bytes .*20.* found 29"),
    "truncated header": (short(TEST_IMAGES, 15), r"expected at least 16 bytes, found 15"),
    "empty file": (short(TRAIN_LABELS, 0), r"expected at least 8 bytes, found 0"),
    "labels for images": (
        {TRAIN_IMAGES: contents()[TRAIN_LABELS]},
        r"expected the magic number 2051, found 2049",
    ),
    "an error page": ({TRAIN_IMAGES: b"<html>not here at all</html>"}, r"expected the magic number 2051"),
    "no samples": ({TRAIN_LABELS: idx(np.zeros(0, np.uint8))}, r"expected data, found none \(0\)"),
    "fewer labels": ({TRAIN_LABELS: idx(np.zeros(39, np.uint8))}, r"expected 40 labels .*found 39"),
    "label 10": ({TEST_LABELS: idx(np.full(20, 10, np.uint8))}, r"expected labels from 0 to 9, found 10"),
    "other size": (
        {TEST_IMAGES: idx(np.zeros((20, 5, 6), np.uint8))},
        rf"expected images of 6 x 5 as in {TRAIN_IMAGES}, found 5 x 6",
    ),
}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("case", BAD_CONTENT)
def test_wrong_structure(tmp_path: Path, source: Source, case: str, zipped: bool) -> None:
    bad, pattern = BAD_CONTENT[case]
    folder = fill(tmp_path / "d", contents() | bad, zipped)
    with pytest.raises(DataError, match=pattern) as caught:
        load_source(source, folder)
    assert str(folder / next(iter(bad))) in str(caught.value)
    assert "delete or replace this file" in str(caught.value)
    assert "apt-get install tiny" in str(caught.value)


@pytest.mark.parametrize("name", FILES)
def test_truncated_gzip(tmp_path: Path, source: Source, name: str) -> None:
    folder = fill(tmp_path / "d", contents())
    file = folder / f"{name}.gz"
    whole, size = file.read_bytes(), len(contents()[name])
    file.write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(DataError, match=r"found [\d,]+ \(damaged gzip file of [\d,]+ bytes:") as caught:
        load_source(source, folder)
    assert str(file) in str(caught.value)
    # All of the content is there, only gzip's checksum is cut short.
    file.write_bytes(whole[:-5])
    with pytest.raises(DataError, match=rf"expected {size:,} bytes .*found {size:,} \(damaged gzip file"):
        load_source(source, folder)


def test_flipped_bit_in_gzip(tmp_path: Path, source: Source) -> None:
    folder = fill(tmp_path / "d", contents())
    file = folder / f"{TRAIN_IMAGES}.gz"
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(DataError, match=rf"{TRAIN_IMAGES}.*damaged gzip"):
        load_source(source, folder)


# Finding


def test_explicit_path_is_the_only_place(tmp_path: Path, source: Source) -> None:
    good = fill(tmp_path / "cache" / "fedward" / "tiny", contents())
    assert len(load_source(source).train) == 40
    with pytest.raises(DataError, match=r"path='.*absent' is not a folder"):
        load_source(source, tmp_path / "absent")
    folder = fill(tmp_path / "partial", contents())
    (folder / f"{TEST_LABELS}.gz").unlink()
    with pytest.raises(DataError, match=rf"partial' lacks {TEST_LABELS}\. Run `apt-get install tiny`") as caught:
        load_source(source, folder)
    assert all(f"{name}.gz" in str(caught.value) for name in FILES)
    assert str(good) in str(caught.value)


def test_order_of_places(tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove one place after the other; each holds images of its own."""
    own, cache, system = tmp_path / "own", tmp_path / "cache" / "fedward" / "tiny", tmp_path / "system"
    source = dataclasses.replace(source, system=(str(system),))
    monkeypatch.setenv("FEDWARD_DATA", str(own))
    places = [own / "tiny", own, cache, system]
    for seed, place in enumerate(places):
        fill(place, contents(seed))
    for seed, place in enumerate(places):
        assert pixels(load_source(source, download=False)) == contents(seed)[TRAIN_IMAGES][16:]
        for name in FILES:
            (place / f"{name}.gz").unlink()
    with pytest.raises(DataError, match="downloading is switched off") as caught:
        load_source(source, download=False)
    assert all(str(place) in str(caught.value) for place in places)


def test_cache_below_home(tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    fill(tmp_path / ".cache" / "fedward" / "tiny", contents())
    assert len(load_source(source, download=False).train) == 40


@pytest.mark.parametrize("below", ["", "tiny"])
def test_own_folder_must_not_be_incomplete(
    tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    fill(tmp_path / "cache" / "fedward" / "tiny", contents())
    folder = fill(tmp_path / "own" / below, contents())
    (folder / f"{TRAIN_LABELS}.gz").unlink()
    monkeypatch.setenv("FEDWARD_DATA", str(tmp_path / "own"))
    with pytest.raises(DataError, match=rf"{folder} \(from FEDWARD_DATA\) lacks {TRAIN_LABELS}"):
        load_source(source)


def test_own_folder_must_exist(tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "cache" / "fedward" / "tiny", contents())
    monkeypatch.setenv("FEDWARD_DATA", str(tmp_path / "mistyped"))
    with pytest.raises(DataError, match=r"FEDWARD_DATA='.*mistyped' is not a folder"):
        load_source(source)


def test_another_data_set_is_not_taken_for_this_one(
    tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of all data sets have the same names."""
    folder = fill(tmp_path / "d", contents())
    monkeypatch.setattr(data, "SOURCES", (*data.SOURCES, source))
    assert len(load_source(source, folder).train) == 40
    with pytest.raises(DataError, match="this is tiny, not mnist"):
        load("mnist", folder)


def test_unreadable_file_is_a_data_error(tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fill(tmp_path / "d", contents())

    def refuse(path: Path, most: int) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("fedward.data.content.read_bounded", refuse)
    with pytest.raises(DataError, match=r"Permission denied: .*Run `apt-get install tiny`"):
        load_source(source, folder)


def test_names_and_unknown_names() -> None:
    assert {"fashion-mnist", "fashion-mnist-subset", "mnist", "cifar10"} <= set(names())
    with pytest.raises(ValueError, match="did you mean 'fashion-mnist'") as caught:
        load("FashionMNISTS")
    assert sum(f"{name}," in str(caught.value) for name in names()) >= 4
    with pytest.raises(ValueError, match=rf"unknown data set 'qqq'\. .* and {len(names()) - 5} others \(fedward list"):
        load("qqq")
