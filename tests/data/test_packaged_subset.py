"""The part of Fashion-MNIST that is packaged, and the script that makes it."""

import gzip
import hashlib
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch

from fedward.data import known as data
from fedward.data.dataset import Dataset
from fedward.data.idx import FILES
from fedward.data.named import load
from fedward.data.sources import Source
from tests.data.idx_files import TEST_IMAGES, TRAIN_IMAGES, TRAIN_LABELS, contents, fill, idx

DEBIAN = Path("/usr/share/datasets/fashion-mnist")


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
