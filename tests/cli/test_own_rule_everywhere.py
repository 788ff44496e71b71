"""Wherever a rule can be named, a function of the user's own can."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import typer.main
from typer.testing import CliRunner

import fedward as fw
from fedward.cli import app as cli
from fedward.cli.options import OwnCommand
from tests.cli.test_cli import failure

OWN = """
import numpy as np
import torch
from fedward.rules import Median

def middle(G):
    return torch.from_numpy(np.median(G.numpy(), 0))

class Middle(Median):
    "A rule of its own."
"""


def commands() -> dict[str, Any]:
    group = typer.main.get_command(cli.app)
    return dict(group.commands)  # type: ignore[attr-defined]


@pytest.fixture
def updates(monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the working folder, and models of clients beside it; what the module is called."""
    torch.manual_seed(0)
    base = torch.randn(300)
    torch.save({"w": base}, "base.pt")
    Path("sent").mkdir()
    for client in range(6):
        torch.save({"w": base + 0.1 * torch.randn(300)}, f"sent/{client}.pt")
    Path("own_middle_here.py").write_text(OWN)
    return "own_middle_here"


def test_whatever_takes_a_rule_finds_those_of_the_working_folder() -> None:
    taking = {name: command for name, command in commands().items() if {p.name for p in command.params} & {"rule"}}
    assert taking.keys() >= {"run", "redteam", "choose", "audit", "aggregate"}
    assert [name for name, command in taking.items() if not isinstance(command, OwnCommand)] == []


@pytest.mark.parametrize("text", ["{}:middle", "{}.middle", "nnm:f=1 >> {}:middle"])
def test_a_function_aggregates_files(text: str, updates: str) -> None:
    command = ["aggregate", "sent", "--base", "base.pt", "--rule", text.format(updates), "-o", "out.pt"]
    found = CliRunner().invoke(cli.app, command)
    assert found.exit_code == 0, found.output
    if ">>" not in text:
        sent = torch.stack([torch.load(f"sent/{client}.pt")["w"] for client in range(6)])
        torch.testing.assert_close(torch.load("out.pt")["w"], sent.quantile(0.5, dim=0))


def test_a_class_audits_files(updates: str) -> None:
    found = CliRunner().invoke(cli.app, ["audit", "sent", "--base", "base.pt", "--rule", f"{updates}.Middle"])
    assert found.exit_code == 0, found.output


@pytest.mark.parametrize("text", ["{}:middle", "{}.middle", "nnm:f=1 >> {}:middle"])
@pytest.mark.parametrize("others", [[], ["--rule", "sign-guard"]])
def test_a_function_acquits_nobody(text: str, others: list[str], updates: str) -> None:
    said = failure("audit", "sent", "--base", "base.pt", *others, "--rule", text.format(updates))
    assert "a plain function, which says nothing of single clients: a panel asks rules that do" in " ".join(
        said.split()
    )


def test_a_function_before_a_rule_is_told_what_can_stand_there(updates: str) -> None:
    said = failure("aggregate", "sent", "--base", "base.pt", "--rule", f"{updates}:middle >> median", "-o", "o.pt")
    assert "a rule or an attack where one of these is asked for" in " ".join(said.split())
    assert "cannot stand before '>>'" in " ".join(said.split())


def test_a_module_of_the_folder_that_a_program_does_not_find_is_no_other_name() -> None:
    Path("own_lost_here.py").write_text(OWN)
    with pytest.raises(ValueError, match=r"own_lost_here\.py lies in this folder, .* PYTHONPATH$"):
        fw.parse("own_lost_here.middle", "rule")
