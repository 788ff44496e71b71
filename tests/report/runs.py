"""Folders of runs that the tests write, and pages that they read."""

import json
from html.parser import HTMLParser

import pytest

from fedward.report import load_run, render

CONFIG = {
    "data": "fashion-mnist",
    "model": "cnn",
    "rule": "krum:f=1",
    "attack": "alie:z=0.3",
    "partition": "iid",
}


def record(number, accepted="0111", **more):
    entry = {
        "round": number,
        "accuracy": None,
        "loss": None,
        "train_loss": 1.5,
        "byzantine_accepted": 0.0,
        "honest_accepted": 1.0,
        "accepted": accepted,
        "reasons": {str(i): "far" for i, mark in enumerate(accepted) if mark == "0"},
        "signs": {"honest": [0.5, 0.1, 0.4], "byzantine": [0.3, 0.1, 0.6]},
        "seconds": {"gradients": 0.1, "aggregate": 0.02},
    }
    return entry | more


def write_run(folder, records=None, head=None, **config):
    folder.mkdir(parents=True)
    records = [record(1, accuracy=0.25, loss=2.0), record(2, accuracy=0.5, loss=1.0)] if records is None else records
    top = {
        "format": 1,
        "name": folder.name,
        "config": CONFIG | config,
        "byzantine_ids": [0],
        "versions": {"torch": "9"},
    }
    (folder / "run.json").write_text(json.dumps(top | (head or {})))
    (folder / "records.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in records))
    return folder


def page_of(*folders, **kwargs):
    return render([load_run(folder) for folder in folders], **kwargs)


class Page(HTMLParser):
    """The tags of a page, the text a reader sees, and the figures, read strictly."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.figures, self.text, self.inside = [], {}, "", None
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.inside = (tag, dict(attrs))

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self.inside = None

    def handle_data(self, data):
        if self.inside is None:
            self.text += data
        elif self.inside[1].get("type") == "application/json":
            name = self.inside[1]["id"].removesuffix("-data")
            self.figures[name] = json.loads(data, parse_constant=lambda c: pytest.fail(f"{c} is not JSON"))
