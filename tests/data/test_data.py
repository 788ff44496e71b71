import dataclasses
import functools
import gzip
import hashlib
import http.server
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fedward.data import known as data
from fedward.data.dataset import Dataset, Split
from fedward.data.dealing import federate
from fedward.data.idx import FILES
from fedward.data.known import load_source
from fedward.data.named import load, names
from fedward.data.partition import IID, SFraction
from fedward.data.sources import DataError, Source

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = FILES
DEBIAN = Path("/usr/share/datasets/fashion-mnist")


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


def contents(seed: int = 0) -> dict[str, bytes]:
    """40 + 20 images of 6 x 5, labels 0 .. 9 in turn."""
    random = np.random.default_rng(seed)
    arrays = []
    for total in (40, 20):
        arrays.append(random.integers(0, 256, (total, 6, 5), dtype=np.uint8))
        arrays.append((np.arange(total) % 10).astype(np.uint8))
    return {name: idx(array) for name, array in zip(FILES, arrays, strict=True)}


def fill(folder: Path, files: dict[str, bytes], zipped: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / (f"{name}.gz" if zipped else name)).write_bytes(gzip.compress(content) if zipped else content)
    return folder


def pixels(dataset: Dataset) -> bytes:
    """The training images as they were stored."""
    raw = (dataset.train.inputs * 0.3081 + 0.1307) * 255
    return raw.round().to(torch.uint8).numpy().tobytes()


@pytest.fixture(autouse=True)
def _nothing_of_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("FEDWARD_DATA", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def source() -> Source:
    """A small data set on a server that does not exist."""
    return Source(
        name="tiny",
        base="http://127.0.0.1:9/never",
        install="apt-get install tiny",
        sha256={name: hashlib.sha256(content).hexdigest() for name, content in contents().items()},
    )


@pytest.fixture
def served(tmp_path: Path, source: Source) -> Iterator[tuple[Source, Path]]:
    """The source with a server of its own, and the folder that it serves."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    folder = fill(tmp_path / "served", contents())
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield dataclasses.replace(source, base=f"http://127.0.0.1:{server.server_port}/"), folder
        server.shutdown()
        thread.join()


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


# Downloading


def cached(tmp_path: Path) -> list[str]:
    return sorted(file.name for file in (tmp_path / "cache").rglob("*") if file.is_file())


def test_download_into_the_cache_and_once_only(tmp_path: Path, served: tuple[Source, Path]) -> None:
    source, folder = served
    with pytest.raises(DataError, match="downloading is switched off"):
        load_source(source, download=False)
    assert pixels(load_source(source)) == contents()[TRAIN_IMAGES][16:]
    assert cached(tmp_path) == sorted(f"{name}.gz" for name in FILES)
    for file in folder.iterdir():
        file.unlink()
    assert len(load_source(source).train) == 40


def test_recompressed_download_is_the_same_data(served: tuple[Source, Path]) -> None:
    source, folder = served
    (folder / f"{TRAIN_IMAGES}.gz").write_bytes(gzip.compress(contents()[TRAIN_IMAGES], 1, mtime=12345))
    assert pixels(load_source(source)) == contents()[TRAIN_IMAGES][16:]


@pytest.mark.parametrize("damage", ["other content", "truncated", "error page"])
def test_corrupted_download_leaves_nothing(tmp_path: Path, served: tuple[Source, Path], damage: str) -> None:
    source, folder = served
    file = folder / f"{TRAIN_LABELS}.gz"
    good = file.read_bytes()
    bad = {
        "other content": gzip.compress(contents()[TRAIN_LABELS][:-1] + b"\7"),
        "truncated": good[:-3],
        "error page": b"<html>please log in</html>",
    }
    file.write_bytes(bad[damage])
    pattern = rf"{source.base}{TRAIN_LABELS}\.gz: .*not the published file.*{source.sha256[TRAIN_LABELS]}"
    with pytest.raises(DataError, match=pattern) as caught:
        load_source(source)
    assert "apt-get install tiny" in str(caught.value)
    assert cached(tmp_path) == [f"{TRAIN_IMAGES}.gz"]  # fetched before and good
    # The same folder is completed once the server is in order, and what is there is not fetched again.
    file.write_bytes(good)
    (folder / f"{TRAIN_IMAGES}.gz").unlink()
    assert len(load_source(source).train) == 40


@pytest.mark.parametrize("zipped", [True, False])
def test_endless_download_is_cut_off(
    tmp_path: Path, served: tuple[Source, Path], monkeypatch: pytest.MonkeyPatch, zipped: bool
) -> None:
    """Neither what comes nor what it unpacks to may fill the disk or the memory."""
    source, folder = served
    source = dataclasses.replace(source, largest=2_000)
    monkeypatch.setattr("fedward.data.content.CHUNK", 500)
    endless = bytes(100_000)
    (folder / f"{TRAIN_IMAGES}.gz").write_bytes(gzip.compress(endless) if zipped else endless)
    with pytest.raises(DataError, match=r": [\d,]+ bytes, [12],\d\d\d decompressed"):
        load_source(source)
    assert cached(tmp_path) == []


def assert_helpful(error: DataError, tmp_path: Path) -> None:
    text = str(error)
    assert "the download failed" in text
    assert "Run `apt-get install tiny`" in text
    assert all(f"{name}.gz" in text for name in FILES)
    assert all(place in text for place in (str(tmp_path / "cache/fedward/tiny"), "path=", "FEDWARD_DATA"))
    assert cached(tmp_path) == []


def test_server_down(tmp_path: Path, source: Source) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    source = dataclasses.replace(source, base=f"http://127.0.0.1:{port}")
    with pytest.raises(DataError, match=rf"127\.0\.0\.1:{port}/{TRAIN_IMAGES}\.gz: .*refused") as caught:
        load_source(source)
    assert_helpful(caught.value, tmp_path)


def test_file_missing_on_the_server(tmp_path: Path, served: tuple[Source, Path]) -> None:
    source, folder = served
    (folder / f"{TRAIN_IMAGES}.gz").unlink()
    with pytest.raises(DataError, match="404") as caught:
        load_source(source)
    assert_helpful(caught.value, tmp_path)


def test_silent_server_times_out(tmp_path: Path, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedward.data.sources.TIMEOUT", 0.1)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        source = dataclasses.replace(source, base=f"http://127.0.0.1:{silent.getsockname()[1]}")
        start = time.monotonic()
        with pytest.raises(DataError, match="timed out") as caught:
            load_source(source)
    assert time.monotonic() - start < 10
    assert_helpful(caught.value, tmp_path)


def test_unwritable_cache(tmp_path: Path, served: tuple[Source, Path]) -> None:
    source, _ = served
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(DataError, match=r"the download failed: .*cache"):
        load_source(source)


def test_offline_mnist_and_fashion_mnist_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for known in data.SOURCES[:2]:
        offline = dataclasses.replace(known, base="http://127.0.0.1:9/", system=())
        with pytest.raises(DataError, match="the download failed") as caught:
            load_source(offline)
        assert all(f"{name}.gz" in str(caught.value) for name in FILES)
        debian = "Run `apt-get install dataset-fashion-mnist`, or put the four files"
        assert (debian in str(caught.value)) == (known.name == "fashion-mnist")


def test_addresses_and_checksums_are_complete() -> None:
    for known in data.SOURCES[:2]:
        assert set(known.sha256) == set(FILES)
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in known.sha256.values())
        assert re.fullmatch(r"https://[\w./-]+/", known.base)
    assert len({digest for known in data.SOURCES[:2] for digest in known.sha256.values()}) == 8


# The packaged subset, and the full data set where it is installed


@pytest.fixture(scope="module")
def subset() -> Dataset:
    return load("fashion-mnist-subset", download=False)


def test_subset_is_balanced_and_complete(subset: Dataset) -> None:
    assert subset.train.inputs.shape == (10_000, 1, 28, 28)
    assert subset.test.inputs.shape == (2_000, 1, 28, 28)
    assert subset.train.labels.bincount().tolist() == [1_000] * 10
    assert subset.test.labels.bincount().tolist() == [200] * 10
    raw = subset.train.inputs * 0.3081 + 0.1307
    assert raw.min().item() == pytest.approx(0, abs=1e-6)
    assert raw.max().item() == pytest.approx(1, abs=1e-6)
    # The published mean and standard deviation of Fashion-MNIST's training pixels.
    assert raw.mean().item() == pytest.approx(0.2860, abs=0.005)
    assert raw.std().item() == pytest.approx(0.3530, abs=0.005)


def test_subset_has_the_checksums_of_its_readme() -> None:
    folder = resources.files("fedward.data") / "datasets" / "fashion-mnist-subset"
    readme = (folder / "README.md").read_text(encoding="utf-8")
    for name in FILES:
        raw = (folder / f"{name}.gz").read_bytes()
        assert f"{hashlib.sha256(gzip.decompress(raw)).hexdigest()}  {name}\n" in readme
        assert raw[4:8] == bytes(4)  # no time in the gzip header, so that making it again changes nothing
    assert "Copyright (c) 2017 Zalando SE" in readme


def test_subset_can_be_learnt(subset: Dataset) -> None:
    """Images and labels belong together: the nearest class mean is right two times out of three."""
    train, test = subset.train.inputs.flatten(1), subset.test.inputs.flatten(1)
    means = torch.stack([train[subset.train.labels == label].mean(0) for label in range(10)])
    guesses = torch.cdist(test, means).argmin(1)
    assert (guesses == subset.test.labels).float().mean().item() > 0.6


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="the Debian package dataset-fashion-mnist is not installed")
def test_full_data_set_and_where_the_subset_comes_from(subset: Dataset) -> None:
    for name, digest in data.SOURCES[0].sha256.items():
        assert hashlib.sha256(gzip.decompress((DEBIAN / f"{name}.gz").read_bytes())).hexdigest() == digest
    full = load("fashion-mnist", download=False)
    assert (len(full.train), len(full.test)) == (60_000, 10_000)
    for part, whole, each in ((subset.train, full.train, 1_000), (subset.test, full.test, 200)):
        seen, chosen = [0] * 10, []
        for position, label in enumerate(whole.labels.tolist()):
            seen[label] += 1
            if seen[label] <= each:
                chosen.append(position)
        assert torch.equal(part.labels, whole.labels[chosen])
        assert torch.equal(part.inputs, whole.inputs[chosen])


def test_script_takes_the_first_of_each_class(tmp_path: Path, source: Source) -> None:
    script = Path(__file__).parents[2] / "scripts" / "make_subset.py"
    labels = np.repeat([1, 0, 1], [1_000, 1_001, 5]).astype(np.uint8)
    images = (np.arange(len(labels)) % 251).astype(np.uint8)[:, None, None] + np.zeros((1, 2, 3), np.uint8)
    files = contents() | {TRAIN_IMAGES: idx(images), TRAIN_LABELS: idx(labels)}
    arguments = ["--source", str(fill(tmp_path / "full", files)), "--target", str(tmp_path / "made")]
    subprocess.run([sys.executable, str(script), *arguments], check=True, capture_output=True, timeout=60)
    made = {name: gzip.decompress((tmp_path / "made" / f"{name}.gz").read_bytes()) for name in FILES}
    assert made[TRAIN_LABELS] == idx(labels[:2_000])
    assert made[TRAIN_IMAGES] == idx(images[:2_000])
    assert made[TEST_IMAGES] == contents()[TEST_IMAGES]


# Dealing


def plain(total: int = 30) -> Dataset:
    split = Split(inputs=torch.zeros(total, 1, 2, 2), labels=torch.arange(total) % 3)
    return Dataset(name="plain", train=split, test=split, classes=3)


def test_federate_is_iid_by_default_and_seeded() -> None:
    state = torch.random.get_rng_state()
    dataset = plain()
    first, same, other = (federate(dataset, 4, seed=seed) for seed in (0, 0, 1))
    assert first.n == 4
    assert first.dataset is dataset
    assert [len(shard) for shard in first.shards] == [8, 8, 7, 7]
    assert sorted(torch.cat(first.shards).tolist()) == list(range(30))
    assert all(torch.equal(a, b) for a, b in zip(first.shards, same.shards, strict=True))
    assert not torch.equal(first.shards[0], other.shards[0])
    expected = IID().split(dataset.train.labels, 4, torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(first.shards, expected, strict=True))
    assert torch.equal(state, torch.random.get_rng_state())


def test_federate_uses_the_partition_it_is_given() -> None:
    dataset = plain()
    federated = federate(dataset, 3, SFraction(s=0))
    assert sorted(torch.cat(federated.shards).tolist()) == list(range(30))
    assert all(len(dataset.train.labels[shard].unique()) <= 2 for shard in federated.shards)


@dataclasses.dataclass(frozen=True)
class Fixed:
    """A partition that returns what it is told."""

    parts: tuple[Tensor, ...]

    def split(self, labels: Tensor, clients: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        return self.parts


@pytest.mark.parametrize(
    ("parts", "pattern"),
    [
        ([[0, 1, 2]], "returned 1 parts for 2 clients"),
        ([[0, 1, 2], []], "client 1 of 2 must get one or more samples.*use fewer clients"),
        ([[0, 1], [1, 2]], r"exactly once; it dealt 4 indices, 3 of them distinct, from 0 to 2"),
        ([[0], [1]], r"0 to 2 exactly once; it dealt 2 indices, 2 of them distinct, from 0 to 1"),
        ([[0, 1], [3]], "from 0 to 3"),
        ([[0, 1], [-1]], "from -1 to 1"),
        ([[[0, 1]], [2]], r"client 0 of 2 must get .*1-D int64 indices, got shape \(1, 2\)"),
        ([[0.0, 1.0], [2]], r"client 0 of 2 .*torch\.float32"),
    ],
)
def test_federate_checks_what_a_partition_returns(parts: list[list[int]], pattern: str) -> None:
    tensors = tuple(torch.tensor(part) if part else torch.zeros(0, dtype=torch.int64) for part in parts)
    with pytest.raises(ValueError, match=pattern):
        federate(plain(3), 2, Fixed(tensors))


def test_split_checks_itself() -> None:
    labels = torch.zeros(3, dtype=torch.int64)
    assert len(Split(inputs=torch.zeros(3, 1, 2, 2), labels=labels)) == 3
    with pytest.raises(ValueError, match=r"3 labels do not fit inputs \(2, 1\)"):
        Split(inputs=torch.zeros(2, 1), labels=labels)
    with pytest.raises(ValueError, match=r"must be 1-D int64, got 1-D torch\.int32"):
        Split(inputs=torch.zeros(3, 1), labels=labels.int())
