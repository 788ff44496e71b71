"""What docs/how-to/sweeps.md says, done as it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedward.cli.app import app

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "sweeps.md").read_text(encoding="utf-8")


def block(language: str, after: str = "") -> str:
    found = re.search(rf"```{language}\n(.*?)```", PAGE[PAGE.index(after) :], re.DOTALL)
    assert found
    return found[1]


def test_the_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two-rules.toml").write_text(block("toml"))
    first, second, third, *_ = (shlex.split(line, comments=True)[1:] for line in block("console").splitlines())
    done = CliRunner().invoke(app, first)
    assert done.exit_code == 0, done.output
    (clean,) = (line.split() for line in done.stdout.splitlines() if "no-attack" in line)
    assert " ".join(clean[-2:]) in ("0.0 %", "-0.0 %")  # what nobody attacks loses nothing, in the mean over seeds
    told = CliRunner().invoke(app, second)
    assert "6 of 6 cells to do" in told.output
    told = CliRunner().invoke(app, [*third, "--dry-run"])
    assert "6 of 6 cells to do" in told.output
    again = CliRunner().invoke(app, [*first, "--dry-run"])
    assert "0 of 6 cells to do" in again.output
    for line in block("console", after="Ctrl-C").splitlines():
        reported = CliRunner().invoke(app, shlex.split(line, comments=True)[1:])
        assert reported.exit_code == 0, reported.output
    assert (tmp_path / "page.html").stat().st_size > 10_000
    header, *rows = (tmp_path / "table.csv").read_text(encoding="utf-8").splitlines()
    assert header.startswith("cell,")
    assert len(rows) == 6
    exec(block("python"), {})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 6
    assert all(line.split()[-3] == "done" and line.split()[-1] == "4" for line in printed)
