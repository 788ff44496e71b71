"""Text by name, read from files and made into tokens."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from os import PathLike
from pathlib import Path

import numpy as np
import torch

from ..disk import read_bounded, replacing
from ..registry.bounds import Count
from ..registry.entries import register
from .content import Files, FormatError, Readable, raw
from .dataset import Dataset, Split
from .sources import Filing, Reader, Source, located
from .stored import Stored, check_several, checked_labels
from .tables import LABELS, TEXTS, by_split, columns_of, csv_rows, label_place, named
from .tokens import Tokenizer, wordless

_VERSION = 1
"""Of how tokens are made: another one does not find what was cached before."""


def read_texts(files: Files) -> tuple[Stored, Stored]:
    """CSV files of a training and a test set: class, title, description; with a header or without."""
    return by_split(files, _csv)


def _csv(file: Readable) -> Stored:
    rows = [row for row in csv_rows(file) if row]
    if not rows:
        raise FormatError("expected rows of a label and texts, found none", file)
    first = rows[0]
    place, texts = 0, list(range(1, len(first)))
    if not first[0].strip().isdigit():
        header = [name.strip().lower() for name in rows.pop(0)]
        place = label_place(header, file, ("class index", *LABELS))
        others = [i for i in range(len(header)) if i != place]
        texts = [i for i in others if header[i] in TEXTS] or others
    labels = []
    joined = []
    if not rows:
        raise FormatError("expected rows of a label and texts, found a header alone", file)
    for number, row in enumerate(rows, 1):
        if len(row) != len(first) or not _is_label(row[place].strip()):
            raise FormatError(f"expected a label and {len(first) - 1} texts, found row {number}: {row!r:.80}", file)
        labels.append(int(row[place]))
        joined.append(" ".join(row[i] for i in texts).strip())
    return _stored(joined, labels, file)


def _is_label(text: str) -> bool:
    """Whether it is a number of few digits: of thousands Python makes none, and a raised two is no number."""
    return text.isdecimal() and len(text) < 10


def read_text_columns(files: Files) -> tuple[Stored, Stored]:
    """Parquet files of a training and a test set: columns ``text`` and ``label``."""
    return by_split(files, _parquet)


def _parquet(file: Readable) -> Stored:
    table = columns_of(file)
    return _stored(named(table, TEXTS, "texts", file), named(table, LABELS, "labels", file), file)


def _stored(texts: Sequence[str], labels: Sequence[int], file: Readable) -> Stored:
    held = np.empty(len(texts), dtype=object)
    held[:] = texts
    return Stored(samples=held, labels=np.asarray(labels), files=(file, file))


READERS: Mapping[str, Reader] = {".parquet": read_text_columns, ".csv": read_texts, ".csv.gz": read_texts}

AG_NEWS = Source(
    name="ag-news",
    base="https://raw.githubusercontent.com/mhjabreel/CharCnn_Keras/master/data/ag_news_csv/",
    download=("train.csv", "test.csv"),
    classes=4,
    counts=(120_000, 7_600),
    filings=(
        Filing(files=("train.csv", "test.csv"), reader=read_texts, folders=("", "ag_news_csv")),
        Filing(files=("train.csv", "test.csv"), reader=read_texts, archive="ag_news_csv.tar.gz"),
    ),
    tables=READERS,
    sha256={
        "train.csv": "76a0a2d2f92b286371fe4d4044640910a04a803fdd2538e0f3f29a5c6f6b672e",
        "test.csv": "521465c2428ed7f02f8d6db6ffdd4b5447c1c701962353eb2c40d548c3c85699",
    },
)
TEXT_SOURCES = (AG_NEWS,)


@register("ag-news", kind="data set", paper="Zhang et al. 2015")
def ag_news(
    path: str | PathLike[str] | None = None, *, words: Count = 10_000, length: Count = 32, download: bool = True
) -> Dataset:
    """News in four classes, 120,000 + 7,600 texts: 0 World, 1 Sports, 2 Business, 3 Sci/Tech."""
    return load_texts(AG_NEWS, path, words=words, length=length, download=download)


def load_texts(
    source: Source,
    path: str | PathLike[str] | None = None,
    *,
    words: int = 10_000,
    length: int = 32,
    download: bool = True,
) -> Dataset:
    """Texts from files, found as `read_source` says, as tokens: (N, L) int64 by a `Tokenizer` of the training set.

    Tokens are kept in the user's cache, by the content of the files: the next time they need not be made.

    Args:
        source: what it is.
        path: a folder with the files.
        words: how many the tokenizer knows, the most frequent ones of the training set.
        length: tokens of a text.
        download: whether the network may be used.

    Raises:
        DataError: files are missing, damaged or of another data set, or a text has no known word.
    """
    with located(source, path, download=download) as found:
        cached = source.cache / f"tokens-{_key(found.files, source, words, length)}.npz"
        dataset = _of_cache(cached, source)
        if dataset is None:
            dataset = tokenized(source.name, *found.read(), source.classes, words, length)
            _keep(cached, dataset)
        return dataset


def tokenized(name: str, train: Stored, test: Stored, classes: int, words: int, length: int) -> Dataset:
    """The data set that texts make.

    Raises:
        FormatError: labels do not fit texts or classes, or a text has no known word.
    """
    train, test = _from_zero(train, test, classes)
    tokenizer = Tokenizer.built(train.samples, words, length)
    splits = []
    for part in (train, test):
        tokens = tokenizer(part.samples.tolist())
        if bare := wordless(tokens):
            raise FormatError(
                f"expected texts with words, but {len(bare)} of {len(tokens)} have none that is known, the first "
                f"number {bare[0] + 1}, {part.samples[bare[0]]!r:.80}; leave them out, or take more words than {words}",
                part.files[0],
            )
        splits.append(Split(inputs=tokens, labels=checked_labels(part, classes)))
    check_several(splits[0].labels, train)
    return Dataset(name=name, train=splits[0], test=splits[1], classes=classes, vocabulary=tokenizer.vocabulary)


def _from_zero(train: Stored, test: Stored, classes: int) -> tuple[Stored, Stored]:
    """Labels from 0 where they are counted from 1, as the published files of AG-News have them."""
    if train.labels.dtype.kind not in "iu" or train.labels.min() != 1 or train.labels.max() != classes:
        return train, test
    first, second = (Stored(samples=s.samples, labels=s.labels - 1, files=s.files) for s in (train, test))
    return first, second


# --- the cache ----------------------------------------------------------------------------------------------

_PARTS = ("train_tokens", "train_labels", "test_tokens", "test_labels")


def _key(files: Files, source: Source, words: int, length: int) -> str:
    """Of what was read and how."""
    digest = hashlib.sha256(f"{_VERSION} {source.classes} {words} {length}".encode())
    for name, file in files.items():
        digest.update(f"\n{name}\n".encode())
        digest.update(raw(file))
    return digest.hexdigest()[:16]


def _of_cache(file: Path, source: Source) -> Dataset | None:
    """What was kept; None if that is nothing, or damaged."""
    try:
        with np.load(io.BytesIO(read_bounded(file)), allow_pickle=False) as kept:
            train, train_labels, test, test_labels = (torch.from_numpy(kept[part].astype(np.int64)) for part in _PARTS)
            vocabulary = int(kept["vocabulary"])
    except Exception:  # whatever is wrong with it: it is made anew
        return None
    return Dataset(
        name=source.name,
        train=Split(inputs=train, labels=train_labels),
        test=Split(inputs=test, labels=test_labels),
        classes=source.classes,
        vocabulary=vocabulary,
    )


def _keep(file: Path, dataset: Dataset) -> None:
    """Keep the tokens, whole or not at all; where that cannot be, they are made anew the next time."""
    tensors = (dataset.train.inputs[:], dataset.train.labels, dataset.test.inputs[:], dataset.test.labels)
    arrays = {part: tensor.numpy().astype(np.int32) for part, tensor in zip(_PARTS, tensors, strict=True)}
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as out:
            np.savez(out, allow_pickle=False, vocabulary=np.int64(dataset.vocabulary or 0), **arrays)
