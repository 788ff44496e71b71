"""Who names what is not there is told so, whatever its name ends in."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from fedward.cli.app import app


@pytest.mark.parametrize("name", ["updtes", "a.safetensors", "a.pt", "a.gguf"])
def test_a_client_that_is_not_there(tmp_path: Path, name: str) -> None:
    torch.save({"w": torch.zeros(4)}, tmp_path / "base.pt")
    result = CliRunner().invoke(app, ["audit", str(tmp_path / name), "--base", str(tmp_path / "base.pt")])
    assert result.exit_code == 2
    assert "o such file" in result.stderr
    assert "suffix" not in result.stderr
