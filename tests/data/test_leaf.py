"""LEAF's data sets: what is read, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedward.data import Natural, federate, load
from fedward.data.leaf import LETTERS
from fedward.data.sources import DataError
from tests.data.test_more_sets import raw


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
