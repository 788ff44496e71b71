"""What is said of data that are less than their name says, are somewhere else, or are no text."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from fedward import Simulation, clients, rules, sim
from fedward.cli.app import app
from fedward.data.named import KNOWN
from fedward.models import build_model
from fedward.registry.entries import find


def said(*command: str) -> str:
    result = CliRunner().invoke(app, ["data", *command])
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


@pytest.fixture
def news(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with eight texts for training and four to test, called as AG-News."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "all" / "ag-news"
    folder.mkdir(parents=True)
    for name, count in (("train", 8), ("test", 4)):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([[k % 4 + 1, f"title {k}", "some words of news"] for k in range(count)])
    return folder


def test_a_part_of_a_data_set_is_said_to_be_one(news: Path) -> None:
    text = said("show", "ag-news", "--data-path", str(news), "--clients", "2")
    assert "ag-news: 8 + 4 samples" in text
    assert "These files are not the whole of ag-news, which has 120,000 + 7,600 samples." in text
    facts = json.loads(said("show", "ag-news", "--data-path", str(news), "--clients", "2", "--json"))
    assert (facts["train"], facts["test"], facts["published"]) == (8, 4, [120_000, 7_600])
    assert "not the whole" not in said("show", "fashion-mnist-subset", "--clients", "2")


def test_published_counts_are_those_that_the_catalogue_tells() -> None:
    told = {name: source.counts for name, source in KNOWN.items() if source.counts}
    assert len(told) == 6
    for name, (train, test) in told.items():
        assert f"{train:,} + {test:,}" in find(name, "data set").summary
    # Of the others the catalogue tells no such counts; the packaged one cannot be in part.
    others = {n for n in KNOWN if re.search(r"[\d,]+ \+ [\d,]+", find(n, "data set").summary)} - told.keys()
    assert others == {"fashion-mnist-subset"}


def test_data_sets_are_listed_of_a_folder(news: Path) -> None:
    below = said("list", "--data-path", str(news.parent))
    assert f"Sci/Tech. {news}" in below
    assert f"not in {news.parent}" in below
    assert "comes with fedward" in below
    rows = {row["name"]: row["found"] for row in json.loads(said("list", "--data-path", str(news.parent), "--json"))}
    assert rows["ag-news"] == str(news)
    assert rows["mnist"] == ""
    wrong = CliRunner().invoke(app, ["data", "list", "--data-path", str(news / "nowhere")])
    assert "is not a folder" in " ".join((wrong.output + str(wrong.exception)).split())


class Words(nn.Module):
    """Must be told how many words there are."""

    def __init__(self, classes: int, vocabulary: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, 4)
        self.output = nn.Linear(4, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.output(self.words(tokens).mean(1))
        return logits


def test_a_model_for_text_is_not_asked_for_a_vocabulary_of_images() -> None:
    why = r"Words is a model for text, .* these data have none: take a model for such samples"
    here = f"{__name__}.Words"
    with pytest.raises(ValueError, match=why):
        build_model(here, (1, 4, 4), 3)
    images = torch.zeros(6, 1, 4, 4)
    split = sim.Split(inputs=images, labels=torch.arange(6) % 3)
    data = sim.federate(sim.Dataset(name="own", train=split, test=split, classes=3), 2)
    with pytest.raises(ValueError, match=why):
        Simulation(model=Words, data=data, rule=rules.Mean(), clients=clients.Gradient(batch_size=2))
    assert build_model(here, (5,), 3, 20).words.weight.shape == (20, 4)
    assert build_model(f"{here}:vocabulary=7", (5,), 3).words.weight.shape == (7, 4)
    with pytest.raises(ValueError, match="unknown argument"):  # what is wrong besides is said as ever
        build_model(f"{here}:depth=7", (1, 4, 4), 3)


@pytest.mark.parametrize(
    ("test", "remedy"),
    [(["a film", "zzz"], "leave them out"), (["zzz", "!!!"], "known are the words")],
)
def test_texts_without_words_are_left_out_unless_that_are_all(test: list[str], remedy: str) -> None:
    def load() -> object:
        return (["a good film", "a bad film"] * 4, [0, 1] * 4), (test, [0, 1])

    with pytest.raises(sim.DataError, match=f"have no known word, .*: {remedy}"):
        sim.federate(load(), clients=2)
