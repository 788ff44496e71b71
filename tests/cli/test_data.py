"""`fedward data list` and `fedward data show`."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from fedward.cli.app import app
from fedward.data import Dataset, Split, federate, names
from fedward.report.datasets import png, write_data
from tests.cli.test_options import VALUES

OWN = """
import torch

def load(count: int = 40):
    part = (torch.rand(count, 3, 4, 4), torch.arange(count) % 4)
    return part, part
"""


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("FEDWARD_DATA", raising=False)
    (tmp_path / "shown_data.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["data", *arguments])


def test_list_says_where_each_data_set_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "cifar10_train.npz", images=np.zeros((2, 32, 32, 3), np.uint8), labels=[0, 1])
    np.savez(tmp_path / "cifar10_test.npz", images=np.zeros((2, 32, 32, 3), np.uint8), labels=[0, 1])
    monkeypatch.setenv("FEDWARD_DATA", str(tmp_path))
    rows = {row["name"]: row for row in json.loads(run("list", "--json").stdout)}
    assert set(rows) >= {"fashion-mnist-subset", "cifar10", "ag-news", "femnist", "image-folder"}
    assert set(rows) <= set(names())
    assert rows["cifar10"]["found"] == str(tmp_path)
    assert rows["svhn"]["found"] == ""
    assert "train_32x32.mat" in rows["svhn"]["remedy"]
    assert rows["fashion-mnist-subset"]["found"] == "comes with fedward"
    text = run("list").stdout
    assert "svhn: House numbers' digits" in text
    assert "not on this machine" in text


def test_show_tells_what_clients_hold(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    arguments = ("--clients", "4", "--partition", "k-classes:k=1", "-o", str(page), "--json")
    facts = json.loads(run("show", "shown_data:load:count=20", *arguments).stdout)
    assert facts == {
        "name": "shown_data.load:count=20",
        "train": 20,
        "test": 20,
        "published": None,
        "shape": [3, 4, 4],
        "classes": 4,
        "vocabulary": None,
        "class_counts": [5] * 4,
        "client_samples": [5] * 4,
        "client_classes": [1] * 4,
        "page": str(page),
    }
    html = page.read_text()
    figures = {
        name: json.loads(text)
        for name, text in re.findall(r'<script type="application/json" id="(\w+)-data">(.*?)</script>', html)
    }
    assert figures["sizes"]["data"][0]["y"] == [5] * 4
    shares = np.array(figures["shares"]["data"][0]["z"])
    assert shares.shape == (4, 4)
    assert (np.sort(shares, 0)[-1] == 1).all()
    pictures = re.findall(r'<img [^>]*src="data:image/png;base64,([^"]+)"', html)
    assert len(pictures) == 20
    assert Image.open(io.BytesIO(base64.b64decode(pictures[0]))).size == (4, 4)
    assert not re.search(r'(src|href)="http', re.sub(r"<script>.*?</script>", "", html, flags=re.S))


def test_show_in_words() -> None:
    text = run("show", "shown_data:load", "--clients", "3").stdout
    assert "shown_data.load: 40 + 40 samples of 3 x 4 x 4, 4 classes" in text
    assert "iid, 3 clients: 13 to 14 samples each, 4 classes" in text
    assert "iid, 4 clients: 10 samples each, 4 classes" in run("show", "shown_data:load", "--clients", "4").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("svhn", "--data-path", "nowhere"), "train_32x32.mat, test_32x32.mat into"),
        (("shown_data:lode",), "cannot import 'shown_data.lode'"),
        (("shown_data:load", "--partition", "k-classes:k=9", "--clients", "4"), "k must lie between"),
        (("shown_data:load", "--partition", "natural", "--clients", "4"), "needs to know whose samples are"),
        (("shown_data:load", "--partition", "mean"), "mean is a rule, a partition is needed"),
        (("shown_data:load", "--clients", "41"), "41 clients cannot share 40 samples"),
        (("shown_data:load", "-o", ".", "--clients", "4"), "is a folder; name a file to write"),
    ],
)
def test_what_cannot_be_shown_is_said(arguments: tuple[str, ...], words: str) -> None:
    outcome = run("show", *arguments)
    assert outcome.exit_code == 2
    assert words in " ".join(outcome.stderr.split())
    assert "please report it" not in outcome.stderr


@pytest.mark.parametrize("value", VALUES)
def test_what_was_not_meant_for_it_ends_in_a_sentence(value: str) -> None:
    for arguments in (("show", value), ("show", "shown_data:load", "--clients", "4", "--partition", value)):
        outcome = run(*arguments)
        assert outcome.exit_code in (0, 1, 2)
        assert outcome.exception is None or isinstance(outcome.exception, SystemExit)
        assert "please report it" not in outcome.stderr


@pytest.mark.parametrize("shape", [(3, 5, 1), (2, 7, 3)])
def test_pictures_are_png_files(shape: tuple[int, ...]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    with Image.open(io.BytesIO(png(picture))) as opened:
        assert np.array_equal(np.asarray(opened).reshape(shape), picture)


def test_a_page_about_texts_has_no_pictures(tmp_path: Path) -> None:
    split = Split(inputs=torch.ones(20, 5, dtype=torch.int64), labels=torch.arange(20) % 2)
    data = federate(Dataset(name="<t>", train=split, test=split, classes=2, vocabulary=9), 300 // 15)
    page = write_data(data, tmp_path / "t.html", "<title>").read_text()
    assert "<img" not in page
    assert "texts of 9 tokens" in page
    assert "<t>" not in page
    assert "Classes of &lt;t&gt;" in page
