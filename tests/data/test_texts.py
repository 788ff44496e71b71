"""Text: a tokenizer of the training set alone, deterministic, cached; AG-News in the forms that it lies on disks in."""

from __future__ import annotations

import csv
import io
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow
import pytest
import torch
from pyarrow import parquet

from fedward.data.dataset import Dataset
from fedward.data.named import load
from fedward.data.sources import DataError
from fedward.data.tokens import Tokenizer

CLASSES = ("world", "sports", "business", "science")
Rows = list[tuple[int, str, str]]


def news(count: int, seed: int) -> Rows:
    """Labels 0 to 3, titles of which some are empty, descriptions with quotes and line breaks."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        label = number % 4
        title = f"{CLASSES[label].title()}, {draw.randrange(5)}" if number % 3 else ""
        rows.append((label, title, f'The "{CLASSES[label]}" said:\nitem {draw.randrange(30)}'))
    return rows


def written(folder: Path, form: str, train: Rows, test: Rows) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("train", train), ("test", test)):
        if form == "parquet":
            table = {"text": [f"{title} {text}".strip() for _, title, text in rows], "label": [row[0] for row in rows]}
            parquet.write_table(pyarrow.table(table), folder / f"{name}-00000-of-00001.parquet")
            continue
        out = io.StringIO()
        writer = csv.writer(out, quoting=csv.QUOTE_ALL)
        if form == "header":
            writer.writerow(("label", "title", "description"))
        shift = 1 if form == "published" else 0
        writer.writerows((label + shift, title, text) for label, title, text in rows)
        target = folder / ("ag_news_csv" if form == "published" else "") / f"{name}.csv"
        target.parent.mkdir(exist_ok=True)
        target.write_text(out.getvalue(), encoding="utf-8")
    return folder


@pytest.mark.parametrize("form", ["published", "header", "parquet"])
def test_every_form_of_ag_news_is_the_same_data(tmp_path: Path, form: str) -> None:
    train, test = news(40, 0), news(12, 1)
    dataset = load("ag-news:length=6", written(tmp_path / "d", form, train, test))
    expected = naive([f"{title} {text}" for _, title, text in train], 10_000)
    assert dataset.vocabulary == len(expected) + 2
    assert dataset.train.labels.tolist() == [row[0] for row in train]
    assert dataset.test.labels.tolist() == [row[0] for row in test]
    assert dataset.test.inputs.tolist() == [naive_tokens(f"{t} {x}", expected, 6) for _, t, x in test]
    assert (dataset.train.inputs.dtype, dataset.shape, dataset.classes) == (torch.int64, (6,), 4)


def naive(texts: Sequence[str], words: int) -> list[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(naive_words(text))
    return [word for _, word in sorted((-count, word) for word, count in counts.items())][:words]


def naive_words(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()


def naive_tokens(text: str, known: Sequence[str], length: int) -> list[int]:
    tokens = [known.index(word) + 2 if word in known else 1 for word in naive_words(text)]
    return (tokens + [0] * length)[:length]


def test_the_order_of_texts_does_not_matter_to_the_tokenizer() -> None:
    texts = [" ".join(row[1:]) for row in news(60, 0)]
    assert Tokenizer.built(texts, 7).words == Tokenizer.built(texts[::-1], 7).words
    assert len(Tokenizer.built(texts, 7).words) == 7
    assert Tokenizer.built(["b a", "c"], 2).words == ("a", "b")


def test_words_of_the_test_set_are_unknown(tmp_path: Path) -> None:
    train = news(40, 0)
    dataset = load("ag-news", written(tmp_path / "d", "header", train, [(0, "", "the zebra"), (1, "", "the world")]))
    row = dataset.test.inputs[0].tolist()
    assert row[1] == 1
    assert row[0] > 1
    assert row[2:] == [0] * 30


def same(one: Dataset, other: Dataset) -> bool:
    pairs = zip((one.train, one.test), (other.train, other.test), strict=True)
    equal = all(torch.equal(a.inputs, b.inputs) and torch.equal(a.labels, b.labels) for a, b in pairs)
    return equal and (one.vocabulary, one.classes, one.name) == (other.vocabulary, other.classes, other.name)


def test_tokens_are_cached_by_content_and_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written(tmp_path / "d", "header", news(40, 0), news(12, 1))
    first = load("ag-news", folder)
    [kept] = (tmp_path / "cache" / "fedward" / "ag-news").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(Tokenizer, "built", None)  # it is not made once more
        again = load("ag-news", folder)
    assert same(first, again)
    assert again.train.inputs.dtype == again.train.labels.dtype == torch.int64
    assert load("ag-news:words=3", folder).vocabulary == 5
    written(folder, "header", news(40, 5), news(12, 1))
    assert not torch.equal(load("ag-news", folder).train.inputs, first.train.inputs)
    written(folder, "header", news(40, 0), news(12, 1))
    kept.write_bytes(kept.read_bytes()[:100])  # damaged: made anew
    assert same(load("ag-news", folder), first)


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert len(load("ag-news", written(tmp_path / "d", "header", news(40, 0), news(12, 1))).train) == 40


BAD = {
    "no known word in training": (
        [*news(8, 0), (0, "", "?!...")],
        news(4, 1),
        r"train\.csv: expected texts with words, but 1 of 9 have none that is known, the first number 9, '\?!\.\.\.'",
    ),
    "no known word in the test": (news(8, 0), [(1, "", "zebra")], r"test\.csv: .* 1 of 1 have none that is known"),
    "label out of range": (news(8, 0), [(4, "", "the world")], r"test\.csv: expected labels from 0 to 3, found 4"),
    "one class": ([(2, "", "the world")] * 5, news(4, 1), r"two classes or more, found 5 of class 2 alone"),
    "no rows": ([], news(4, 1), r"train\.csv: expected rows of a label and texts"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_text_is_refused_with_the_remedy(tmp_path: Path, case: str) -> None:
    train, test, pattern = BAD[case]
    with pytest.raises(DataError, match=pattern) as caught:
        load("ag-news", written(tmp_path / "d", "header", train, test))
    assert "Put the 2 files train.csv, test.csv into" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        (b"label,title,description\n1,a\n", r"expected a label and 2 texts, found row 1: \['1', 'a'\]"),
        (b"label,title,description\nx,a,b\n", r"expected a label and 2 texts, found row 1"),
        (b"\xff\xfe\x00", r"expected a CSV file in UTF-8"),
        (b'1,"a,b\n', r"expected a CSV file in UTF-8"),
        (b"", r"expected rows of a label and texts, found none"),
    ],
)
def test_a_damaged_csv_file_is_refused(tmp_path: Path, content: bytes, pattern: str) -> None:
    folder = written(tmp_path / "d", "header", news(8, 0), news(4, 1))
    (folder / "train.csv").write_bytes(content)
    with pytest.raises(DataError, match=pattern):
        load("ag-news", folder)
