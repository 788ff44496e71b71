"""A plain function as the rule of a Flower strategy."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.serverapp.strategy import FedAvg

import fedward as fw
from fedward.flower import Robust
from fedward.report import write_report
from fedward.report.audit_lines import RoundEntry, read_line
from fedward.report.following import mark_of, round_in_words
from fedward.report.runs import NOT_JUDGED
from tests.report.runs import Page

from .federation import NODES, InProcess, Quadratic, floats, vector


def started(rule: Any, **options: Any) -> tuple[Robust, np.ndarray]:
    strategy = Robust(FedAvg(fraction_evaluate=0.0), rule=rule, **options)
    result = strategy.start(InProcess(Quadratic().app), floats(), num_rounds=2)
    return strategy, vector(result.arrays)


def test_it_decides_as_the_rule_of_the_same_formula(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "of_mine.py").write_text("def trim(G, f):\n    return G.sort(0).values[f : len(G) - f].mean(0)\n")
    monkeypatch.syspath_prepend(tmp_path)
    usual, expected = started("trimmed-mean:f=2")
    for rule in (
        "of_mine:trim:f=2",
        "nnm:f=0 >> of_mine:trim:f=2",
        fw.rule(lambda G: np.sort(G, axis=0)[2:-2].mean(0), numpy=True),
    ):
        strategy, found = started(rule)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        assert [audit.kept for audit in strategy.audits] == [audit.kept for audit in usual.audits] == [NODES, NODES]
    sys.modules.pop("of_mine")


def test_an_error_that_nodes_may_have_caused_skips_a_round() -> None:
    def careful(G: torch.Tensor) -> torch.Tensor:
        raise ValueError("these are odd")

    strategy, found = started(fw.rule(careful), on_skip="warn", max_skipped=5)
    assert np.array_equal(found, vector(floats()))
    assert all("these are odd" in str(audit.skipped) for audit in strategy.audits)


def test_nobody_says_that_it_accepted_nodes(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    strategy, _ = started(fw.rule(lambda G: G.median(0).values), audit=path)
    assert [audit.kept for audit in strategy.audits] == [NODES, NODES]
    assert strategy.audits[0].lines()[0].endswith(f"{len(NODES)} of {len(NODES)} nodes given to the rule")
    for line in path.read_text(encoding="utf-8").splitlines():
        assert {(node["accepted"], node["reason"]) for node in json.loads(line)["nodes"]} == {(None, "not-judged")}
    round_1 = read_line(path.read_bytes().splitlines()[0])
    assert isinstance(round_1, RoundEntry)
    assert round_in_words(round_1) == f"round 1: {len(NODES)} of {len(NODES)} nodes given to the rule"
    assert {mark_of(node) for node in round_1.nodes} == {"g"}
    page = Page(write_report([path], tmp_path / "page.html").read_text(encoding="utf-8"))
    assert NOT_JUDGED in page.text
    assert page.text.count("Given to the rule") == 2  # of each node, and of the last rounds
    assert "given to the rule" in page.text  # in the key of the map
    assert not {"100%", "nobody dropped"} & {*re.findall("100%|nobody dropped", page.text)}
    assert NOT_JUDGED not in Page(page_of_rule("median", tmp_path)).text


def page_of_rule(rule: str, folder: Path) -> str:
    started(rule, audit=folder / "other.jsonl")
    return write_report([folder / "other.jsonl"], folder / "other.html").read_text(encoding="utf-8")
