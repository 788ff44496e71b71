"""Which columns of a table are the samples: what nothing says is asked, and never guessed or left out in silence."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fedward.data import own_dataset
from fedward.data.sources import OwnDataError
from tests.data.own import Table

LABELS = [0, 1, 0, 1]
NAMES = ["ann", "bob", "cy", "di"]
NUMBERS = [1.0, 2.0, 3.0, 4.0]
TEXTS = ["a b", "b c", "c a", "b a"]


def made(**columns: Any) -> Any:
    tables = [Table(2, label=LABELS, **columns) for _ in range(2)]
    return own_dataset(tuple(tables))


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"name": NAMES, "age": NUMBERS, "fare": NUMBERS}, r"texts \(name\) .*\(age, fare\)"),
        ({"age": NUMBERS, "name": NAMES}, r"texts \(name\) .*\(age\)"),
        ({"name": [None, *NAMES[1:]], "age": NUMBERS}, r"texts \(name\) .*\(age\)"),
        ({"sentence1": TEXTS, "sentence2": TEXTS, "idx": [0, 1, 2, 3]}, r"texts \(sentence1, sentence2\) .*\(idx\)"),
        ({"title": NAMES, "body": TEXTS, "year": [1, 2, 3, 4]}, r"texts \(title, body\) .*\(year\)"),
        ({"age": NUMBERS, "steps": [[1], [2], [3], [4]]}, r"numbers \(age\) .*\(steps\)"),
        ({"name": NAMES, "steps": [[1], [2], [3], [4]]}, r"texts \(name\) .*\(steps\)"),
    ],
)
def test_columns_of_several_kinds_are_refused_with_their_names(columns: dict[str, Any], named: str) -> None:
    with pytest.raises(OwnDataError, match=rf"train has columns of {named}.*select_columns"):
        made(**columns)


@pytest.mark.parametrize(
    ("columns", "texts"),
    [
        ({"text": TEXTS}, ["text"]),
        ({"id": NAMES, "text": TEXTS}, ["text"]),
        ({"idx": [1, 2, 3, 4], "Sentence": TEXTS, "id": NAMES}, ["Sentence"]),
        ({"title": NAMES, "content": TEXTS, "url": NAMES}, ["title", "content"]),
        ({"title": NAMES, "year": [1, 2, 3, 4]}, ["title"]),
        ({"question": NAMES, "answer": TEXTS}, ["question", "answer"]),
        ({"title": NAMES, "abstract": TEXTS}, ["title", "abstract"]),
        ({"name": NAMES, "nothing": [None] * 4}, ["name"]),
    ],
)
def test_a_column_called_as_texts_are_is_the_text(columns: dict[str, Any], texts: list[str]) -> None:
    rows = [" ".join(row) for row in zip(*(columns[name] for name in texts), strict=True)]
    expected = own_dataset(((rows, LABELS), (rows, LABELS)))
    found = made(**columns)
    assert torch.equal(found.train.inputs, expected.train.inputs)
    assert found.vocabulary == expected.vocabulary


@pytest.mark.parametrize("name", ["features", "inputs", "x", "data"])
def test_texts_are_samples_in_a_column_that_is_called_as_anything_is(name: str) -> None:
    for columns, texts in (({name: NAMES, "text": TEXTS}, TEXTS), ({name: TEXTS}, TEXTS)):
        expected = own_dataset(((texts, LABELS), (texts, LABELS)))
        found = made(**columns)
        assert torch.equal(found.train.inputs, expected.train.inputs)
        assert found.vocabulary == expected.vocabulary


def test_texts_beside_a_column_of_images_are_not_the_samples() -> None:
    rows = [[[1.0, 2.0]]] * 4
    for columns in ({"inputs": NAMES, "image": rows}, {"inputs": [None, *NAMES[1:]], "features": rows}):
        assert made(**columns).train.inputs[:].tolist() == rows


def test_names_of_files_in_a_column_of_images_are_no_text() -> None:
    for beside in ({}, {"text": TEXTS}):
        with pytest.raises(OwnDataError, match="train sample 0 is str; a tensor, an array or an image is needed"):
            made(image=["a.png", "b.png", "c.png", "d.png"], **beside)


@pytest.mark.parametrize("text", ["text", "name"])
def test_a_text_that_is_not_there_is_named(text: str) -> None:
    with pytest.raises(OwnDataError, match=rf"train sample 1 has NoneType in column {text}, others have texts: drop"):
        made(**{text: ["a", None, "b", "c"]})


def test_numbers_beside_columns_that_are_called_otherwise_stay_numbers() -> None:
    assert made(age=NUMBERS, fare=[1, 2, 3, 4]).train.inputs[:].tolist() == [[n, n] for n in NUMBERS]
    with pytest.raises(OwnDataError, match="train sample 1 holds NaN"):
        made(age=[1.0, None, 3.0, 4.0])


def test_a_table_that_can_only_be_gone_through_is_refused() -> None:
    class Stream:
        column_names = None
        features = None

        def __iter__(self) -> Any:
            return iter(())

    with pytest.raises(OwnDataError, match=r"train can only be gone through, Stream; .*without streaming"):
        own_dataset((Stream(), Stream()))
    with pytest.raises(OwnDataError, match="train has no samples"):
        own_dataset((Table(2, text=[], label=[]), Table(2, text=["a"], label=[0])))
