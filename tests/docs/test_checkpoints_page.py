"""The page about checkpoints: its examples run as they are printed, and its table is what the command prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedward.cli import display
from fedward.cli.app import app
from tests.audit.conftest import EXPECTED, twelve

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "checkpoints.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def _auditors_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(display.out, "width", 120)
    twelve(tmp_path)


def test_the_table_is_what_the_command_prints() -> None:
    arguments = ["audit", "updates", "--base", "base.safetensors"]
    printed = CliRunner().invoke(app, arguments).output
    shown = PAGE.split("<!-- audit -->\n```\n")[1].split("```")[0]
    table = [line.rstrip() for line in printed.splitlines() if line.startswith((" client", "──"))]
    assert table == shown.splitlines()


def test_the_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    library, audit = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    scope: dict[str, object] = {}
    exec(library, scope)
    verdicts = [line.split() for line in capsys.readouterr().out.splitlines()[2:13]]
    found = {line[0]: line[-1] for line in verdicts}
    assert found == {name: reason for name, reason in EXPECTED.items() if name != "client-10"}  # which is a .pt
    assert Path("global.safetensors").exists()
    assert Path("verdicts.html").exists()
    exec(audit, scope)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[:12]] == [[name, reason] for name, reason in EXPECTED.items()]
    assert lines[-1] == "of sign-flipped changes 100% would be caught here, of ALIE's 0%"


def test_commands_of_the_page_are_commands() -> None:
    lines = re.findall(r"^fedward (\w+) updates (.*?)(?:[#>].*)?$", PAGE, flags=re.MULTILINE)
    assert {command for command, _ in lines} == {"aggregate", "audit"}
    for line in lines:
        done = CliRunner().invoke(app, [line[0], "updates", *line[1].split()])
        assert done.exit_code == 3, done.output
