"""LEAF's data sets, whose samples belong to somebody: handwriting by writer, lines of plays by role."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..registry.entries import register
from .content import Files, FormatError, Readable, content_of
from .dataset import Dataset, Split
from .sources import Patterns, Source, located
from .stored import Stored, check_several, checked_labels, pixels

LETTERS = "\n !\"&'(),-.0123456789:;>?ABCDEFGHIJKLMNOPQRSTUVWXYZ[]abcdefghijklmnopqrstuvwxyz}"
"""Characters of Shakespeare as LEAF prepares it; a token, and the class of the next character, is the place in here."""


def _source(name: str, classes: int, reader: Any, options: str) -> Source:
    return Source(
        name=name,
        base="https://github.com/TalwalkarLab/leaf",
        classes=classes,
        filings=(Patterns(files=("train/*.json", "test/*.json"), reader=reader, folders=("", "data")),),
        tables={},
        made=f"Run LEAF's data/{name}/preprocess.sh {options} (https://github.com/TalwalkarLab/leaf)",
    )


def read_writers(files: Files) -> tuple[Stored, Stored]:
    """JSON files of 28 x 28 images and classes by user, those below train first."""
    return _both(files, _images)


def read_roles(files: Files) -> tuple[Stored, Stored]:
    """JSON files of lines and the character that follows each by user, those below train first."""
    return _both(files, _lines)


FEMNIST = _source("femnist", 62, read_writers, "-s niid --sf 0.05 -k 0 -t sample")
SHAKESPEARE = _source("shakespeare", len(LETTERS), read_roles, "-s niid --sf 0.2 -k 0 -t sample")
LEAF_SOURCES = (FEMNIST, SHAKESPEARE)


@register("femnist", kind="data set", paper="Caldas et al. 2018")
def femnist(path: str | PathLike[str] | None = None, *, download: bool = True) -> Dataset:
    """Handwritten digits and letters in 62 classes, by writer (`natural`): JSON files that LEAF makes."""
    return _dataset(FEMNIST, path, download, lambda part: pixels(part, (0.0,), (1.0,)))


@register("shakespeare", kind="data set", paper="McMahan et al. 2017")
def shakespeare(path: str | PathLike[str] | None = None, *, download: bool = True) -> Dataset:
    """The next of 80 characters in plays, by role (`natural`): JSON files that LEAF makes."""
    made = _dataset(SHAKESPEARE, path, download, lambda part: torch.from_numpy(part.samples.astype(np.int64)))
    return replace(made, vocabulary=len(LETTERS))


def _dataset(
    source: Source, path: str | PathLike[str] | None, download: bool, inputs: Callable[[Stored], Tensor]
) -> Dataset:
    """What the files hold, by owners."""
    with located(source, path, download=download) as found:
        parts = found.read()
        splits = []
        for part in parts:
            assert part.owners is not None
            labels, owners = checked_labels(part, source.classes), torch.from_numpy(part.owners)
            splits.append(Split(inputs=inputs(part), labels=labels, owners=owners))
        check_several(splits[0].labels, parts[0])
        return Dataset(name=source.name, train=splits[0], test=splits[1], classes=source.classes)


# --- reading ------------------------------------------------------------------------------------------------


def _both(files: Files, read: Any) -> tuple[Stored, Stored]:
    """Both splits, whose owners are numbered alike."""
    users: dict[str, int] = {}
    train, test = (
        _joined([(file, user, held) for file in part for user, held in _users(file)], users, read)
        for part in (
            [file for name, file in files.items() if name.startswith("train")],
            [file for name, file in files.items() if not name.startswith("train")],
        )
    )
    return train, test


def _joined(held: list[tuple[Readable, str, Mapping[str, Any]]], users: dict[str, int], read: Any) -> Stored:
    samples, labels, owners = [], [], []
    for file, user, data in held:
        x, y = read(user, data, file)
        if len(x) != len(y):
            raise FormatError(f"expected as many labels as samples of user {user}, found {len(y)} and {len(x)}", file)
        if y.ndim != 1:
            raise FormatError(f"expected one label for each sample of user {user}, found {y.shape}", file)
        samples.append(x)
        labels.append(y)
        owners.append(np.full(len(y), users.setdefault(user, len(users)), dtype=np.int64))
    sizes = {part.shape[1:] for part in samples}
    file = held[0][0]
    if len(sizes) != 1:
        raise FormatError(f"expected samples of one length, found {', '.join(map(str, sorted(sizes)[:3]))}", file)
    return Stored(
        samples=np.concatenate(samples),
        labels=np.concatenate(labels),
        files=(file, file),
        owners=np.concatenate(owners),
    )


def _users(file: Readable) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every user who has a sample, with x and y."""
    try:
        data = json.loads(content_of(file))["user_data"]
        held = [(str(user), {"x": list(own["x"]), "y": list(own["y"])}) for user, own in data.items()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FormatError(
            f"expected LEAF's JSON, user_data with x and y for each user, found something else: {error!r:.80}", file
        ) from error
    if not any(own["y"] for _, own in held):
        raise FormatError("expected users with samples, found none", file)
    return ((user, own) for user, own in held if own["y"] or own["x"])


def _images(user: str, data: Mapping[str, Any], file: Readable) -> tuple[np.ndarray, np.ndarray]:
    try:
        images = np.asarray(data["x"], dtype=np.float32).reshape(len(data["x"]), 28, 28)
        return images, np.asarray(data["y"], dtype=np.int64)
    except (ValueError, TypeError, OverflowError) as error:
        raise FormatError(f"expected images of 784 numbers and classes of user {user}, found {error}", file) from error


def _lines(user: str, data: Mapping[str, Any], file: Readable) -> tuple[np.ndarray, np.ndarray]:
    texts = [*data["x"], *data["y"]]
    if wrong := [text for text in texts if not isinstance(text, str) or set(text) - set(LETTERS)][:1]:
        raise FormatError(
            f"expected lines of the {len(LETTERS)} characters of LEAF's, user {user} has {wrong[0]!r:.80}", file
        )
    places = {letter: i for i, letter in enumerate(LETTERS)}
    if len({len(line) for line in data["x"]}) != 1 or any(len(next_) != 1 for next_ in data["y"]):
        raise FormatError(f"expected lines of one length and single characters after them of user {user}", file)
    lines = np.array([[places[c] for c in line] for line in data["x"]], dtype=np.int64)
    return lines, np.array([places[c] for c in data["y"]], dtype=np.int64)
