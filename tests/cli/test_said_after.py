"""What the commands print can be read where it is printed: in eighty columns, and in a sentence."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from fedward.cli import display
from fedward.cli.app import app

IDEAS = ("norm", "sign", "distance", "spectral", "clustering")


def printed(command: str, status: int = 0) -> list[str]:
    result = CliRunner().invoke(app, shlex.split(command))
    assert result.exit_code == status, result.output
    return result.stdout.splitlines()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(display.out, "_width", 80)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_table_of_known_attacks_breaks_no_word(here: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    common = torch.randn(64, generator=generator)
    (here / "updates").mkdir()
    torch.save({"w": torch.zeros(64)}, here / "base.pt")
    for i in range(8):
        torch.save({"w": common + torch.randn(64, generator=generator)}, here / "updates" / f"{i}.pt")
    lines = printed("audit updates --base base.pt --calibrate")
    (heading,) = (line for line in lines if "attack played here" in line)
    assert heading.split() == ["attack", "played", "here", "caught", "wrongly", *IDEAS]
    assert any("caught wrongly" in line for line in lines[lines.index(heading) + 1 :])
