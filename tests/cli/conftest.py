"""Commands write where they are called: into a folder of the test's own, in lines of a known length."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedward.cli import display


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(display.out, "width", 100)
