"""A plain function as the rule of a Flower strategy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.serverapp.strategy import FedAvg

import fedward as fw
from fedward.flower import Robust

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
