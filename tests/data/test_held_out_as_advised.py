"""What a message advises works: a share of whatever has no test set is held out, and is a data set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from fedward.data import hold_out, own_dataset
from fedward.data.sources import OwnDataError
from tests.data.own import FORMS, LABELS, Dictionaries, Table, pictures

TEXTS = [f"word{i % 3} word{i % 4} other" for i in range(12)]
WITHOUT: dict[str, Callable[[], Any]] = {
    **{name: make for name, make in FORMS.items() if name != "a split"},
    "texts": lambda: Table(3, text=TEXTS, label=LABELS.tolist()),
    "numbers": lambda: Table(3, age=list(range(12)), fare=[0.5] * 12, label=LABELS.tolist()),
    "a mapping": lambda: {"train": FORMS["table"]()},
    "a mapping of texts": lambda: {"training": Table(3, text=TEXTS, label=LABELS.tolist())},
    "a list of texts": lambda: (TEXTS, LABELS.tolist()),
}


@pytest.mark.parametrize("form", WITHOUT)
def test_a_share_is_held_out_where_a_message_says_so(form: str) -> None:
    value = WITHOUT[form]()
    with pytest.raises(OwnDataError, match=r"hold_out\(data, share=0\.2\)"):
        own_dataset(value)
    made, again = (own_dataset(hold_out(value, share=0.25)) for _ in range(2))
    assert (len(made.train), len(made.test), made.classes) == (9, 3, 3)
    assert torch.equal(made.train.inputs[:], again.train.inputs[:])
    assert sorted([*made.train.labels.tolist(), *made.test.labels.tolist()]) == sorted(LABELS.tolist())


def test_classes_and_owners_that_a_table_tells_count_in_both_shares() -> None:
    table = Table(10, image=pictures(), label=LABELS.tolist(), writer_id=list("abc") * 4)
    made = own_dataset(hold_out(table, share=0.25))
    assert made.classes == 10
    assert made.train.owners is not None
    assert made.test.owners is not None
    assert len(made.train.owners) == 9


class Stream:
    column_names = ("text", "label")
    features = None

    def __iter__(self) -> Any:
        return iter(())


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (Stream(), "Stream does not say how many samples it has"),
        ({"test": FORMS["table"]()}, "of 'train', got 'test'"),
        (3, "int does not say how many samples it has"),
    ],
)
def test_what_cannot_be_held_out_of_is_said(data: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        hold_out(data)


def test_a_real_table_of_hugging_face() -> None:
    datasets = pytest.importorskip("datasets", reason="Hugging Face's datasets is not installed")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=list("abcd"))})
    texts = datasets.Dataset.from_dict({"text": TEXTS, "label": LABELS.tolist()}, features=features)
    made = own_dataset(hold_out(texts, share=0.25))
    assert (len(made.train), len(made.test), made.classes) == (9, 3, 4)


def test_samples_of_text_are_no_images() -> None:
    """Of a data set of PyTorch's: read when they are needed, texts cannot become tokens."""

    class Reviews(Dictionaries):
        def __getitem__(self, i: int) -> Any:
            return {"text": TEXTS[i], "label": LABELS[i]}

    with pytest.raises(OwnDataError, match="train has samples with text, label; 'image' and 'label' are needed"):
        own_dataset((Reviews(), Reviews()))
