"""A run in which no honest client sent a number shows nothing, whatever its accuracy is, and everything says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedward import Reason
from fedward.experiments.worth import in_vain, none_finite
from fedward.report import load_run
from fedward.sim import Record
from tests.cli.test_cli import invoke

MODEL = """
import torch
from torch import nn

class Soft(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.last = nn.Linear(784, classes)

    def forward(self, x):
        return self.last(x.flatten(1)) * float("nan")
"""
RUN = ["--data", "fashion-mnist-subset", "--clients", "6", "--byzantine", "1", "--batch-size", "8", "--rounds", "2"]
RUN += ["--attack", "alie"]
SAID = "no honest client sent finite numbers in any round that was decided"


def record(reasons: dict[int, str], accepted: str = "1000-", skipped: str | None = None) -> Record:
    verdicts = tuple(None if mark == "-" else mark == "1" for mark in accepted)
    return Record(round=1, accepted=verdicts, reasons=reasons, skipped=skipped)


def test_rounds_that_byzantine_clients_decided_alone() -> None:
    nan, inf, far = Reason.NONFINITE, Reason.OVERFLOW, Reason.FAR
    alone = record({1: nan, 2: inf, 3: nan})
    assert none_finite([alone], [0]) == 1
    assert none_finite([record({0: nan, 1: far, 2: nan, 3: nan})], [0]) == 0  # one sent numbers, and was left out
    assert none_finite([record({0: nan}, "01---")], [0]) == 0
    assert none_finite([record({}, "1----")], [0]) == 0  # nobody else answered
    assert none_finite([record({}, "0000-", skipped="too few")], [0]) == 0
    skipped, good = record({}, "0000-", skipped="too few"), record({}, "1111-")
    assert in_vain([], [0]) == in_vain([alone, good], [0]) == in_vain([skipped, good], [0]) == ""
    assert in_vain([skipped, skipped], [0]) == "no round changed the model: too few"
    assert in_vain([skipped, alone], [0]).startswith(SAID)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "nanmodel.py").write_text(MODEL, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return "nanmodel.Soft"


def test_a_run_says_so_at_its_end_in_json_and_on_its_page(model: str) -> None:
    command = ["run", *RUN, "--model", model, "--rule", "median", "--out", "one"]
    text = " ".join(invoke(*command, code=1).split())
    assert "median under alie: in 2 of 2 rounds no honest client sent finite numbers" in text
    assert f"one: {SAID}" in text
    told = json.loads(invoke(*command, "--json", code=1).partition("\nError")[0])
    assert told["failed"]["one"].startswith(SAID)
    assert told["runs"][0]["none_finite"] == 2
    assert any("no honest client sent finite numbers: 2 of 2" in note for note in load_run("one").notes)


def test_a_sweep_says_so_of_its_cells_on_its_page_too(model: str) -> None:
    command = ["run", *RUN, "--model", model, "--rule", "median", "--rule", "mean", "--out", "several"]
    text = " ".join(invoke(*command, code=1).split())
    assert text.count(SAID) == 3  # as each is done, and of both at the end
    assert "2 cells, such as" in text
    invoke("report", "several", "-o", "page.html")
    assert SAID in Path("page.html").read_text()
    cells = [str(place.parent) for place in Path("several").rglob("run.json")]
    assert len(cells) == 2
    assert SAID in " ".join(invoke("report", *cells, "-o", "cells.tex").split())
