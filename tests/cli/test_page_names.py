"""Pages are HTML: a name that says otherwise is refused before any work, and by whatever writes a page."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from fedward.cli.app import app
from fedward.report import ReportError
from fedward.report.pieces import save_page


@pytest.fixture
def clients(tmp_path: Path) -> Path:
    (tmp_path / "clients").mkdir()
    for number in range(5):
        save_file({"w": torch.randn(20)}, tmp_path / "clients" / f"{number}.safetensors")
    return tmp_path / "clients"


@pytest.mark.parametrize("name", ["a.pdf", "a.PDF", "a.svg", "a.json", "a.tex"])
def test_a_page_of_another_format_is_refused(name: str, clients: Path, tmp_path: Path) -> None:
    page = tmp_path / name
    commands = (
        ["audit", str(clients), "--report", str(page)],
        ["aggregate", str(clients), "--rule", "mean", "-o", str(tmp_path / "m.safetensors"), "--report", str(page)],
    )
    for words in commands:
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 2
        assert "a page is HTML; name a file such as a.html" in done.output.replace("\n", " ")
        assert not page.exists()
        assert not (tmp_path / "m.safetensors").exists()
    with pytest.raises(ReportError, match=r"a page is HTML; name a file such as a\.html"):
        save_page(page, "<!DOCTYPE html>")


@pytest.mark.parametrize("name", ["a.html", "a.htm", "a", "a.xhtml"])
def test_other_names_are_the_users(name: str, tmp_path: Path) -> None:
    assert save_page(tmp_path / name, "<!DOCTYPE html>").read_text() == "<!DOCTYPE html>"
