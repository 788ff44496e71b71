"""The page about one's own rule or attack, followed in an empty folder as it is printed."""

from __future__ import annotations

import importlib
import re
import shlex
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import fedward as fw
from fedward.cli.app import app
from fedward.failures import ContractError
from fedward.testing import check_attack, check_rule

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "own-rule-and-attack.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "ours", raising=False)
    (tmp_path / "ours.py").write_text(blocks("python")[0])
    return tmp_path


def test_its_commands(folder: Path) -> None:
    (text,) = blocks("sh")
    said = []
    for line in text.splitlines():
        outcome = CliRunner().invoke(app, shlex.split(line)[1:])
        assert outcome.exit_code == 0, f"{line}\n{outcome.output}{outcome.stderr}"
        said.append(outcome.output)
    assert len(said) == 3
    assert "ours.trim:f=2" in said[0]
    assert "ours.hide" in said[2]
    sweep, run = sorted((folder / "runs").iterdir(), key=lambda path: "rule=" not in path.name)
    assert len(list((sweep / "cells").iterdir())) == 3
    assert (run / "run.json").exists()
    sys.modules.pop("ours", None)


def test_its_python(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, use, adaptive = blocks("python")
    scope: dict[str, object] = {}
    exec(use, scope)
    printed = capsys.readouterr().out
    assert "rule(ours.trim, f=2, minimum=5)" in printed
    assert "nonfinite" in printed
    sys.modules["written"] = sys.modules[__name__]  # where a dataclass looks for what it is written in
    exec(adaptive, scope | {"__name__": "written", "torch": torch})
    sys.modules.pop("written")
    sys.modules.pop("ours", None)


def test_its_rules_and_attacks_pass_the_checks_that_it_recommends(folder: Path) -> None:
    ours = importlib.import_module("ours")
    check_rule(ours.midpoint)
    check_rule(fw.rule(partial(ours.trim, f=2), minimum=5))
    check_attack(ours.hide)
    sys.modules.pop("ours")


def test_its_sentence(folder: Path) -> None:
    (said,) = blocks("text")

    def midpoint(G: torch.Tensor) -> torch.Tensor:
        return G

    midpoint.__module__, midpoint.__qualname__ = "ours", "midpoint"
    with pytest.raises(ContractError) as told:
        fw.rule(midpoint)(torch.randn(10, 100))
    assert str(told.value) == " ".join(said.split())
