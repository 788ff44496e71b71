"""A mistyped path of an audit or a checkpoint makes no folder: it is an error before a round is spent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import fedward as fw
from fedward import rules
from fedward.disk import NoFolderError, check_folder
from fedward.sim.checkpoint import CheckpointError
from tests.sim.test_checkpoint import SETTINGS


@pytest.mark.parametrize("what", ["audit", "checkpoint"])
def test_of_a_federation(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flower = pytest.importorskip("fedward.flower", reason="Flower is not installed")
    monkeypatch.chdir(tmp_path)
    given: dict[str, Any] = {what: "adit/file"}
    with pytest.raises((NoFolderError, CheckpointError), match=r"adit/file.*there is no folder adit; make it first"):
        flower.RobustFedAvg(rule="median", **given)
    assert not list(tmp_path.iterdir())
    (tmp_path / "adit").mkdir()
    flower.RobustFedAvg(rule="median", **given)


def test_of_a_simulation(tmp_path: Path) -> None:
    simulation = fw.Simulation(**SETTINGS)
    place = tmp_path / "no" / "such"
    with pytest.raises(NoFolderError, match=r"there is no folder .*no/such; make it first"):
        next(simulation.run(1, checkpoint=place / "run.pt"))
    assert simulation.round == 0
    assert not list(tmp_path.iterdir())


def test_of_a_page(tmp_path: Path) -> None:
    result = fw.Aggregator(rules.Mean())(torch.ones(3, 2))
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*no; make it first"):
        result.report(tmp_path / "no" / "page.html")
    assert not list(tmp_path.iterdir())
    check_folder("here")  # the working folder is there
