"""Findings of an examination that was stopped before its first attack: a page that says so."""

from __future__ import annotations

import json
from pathlib import Path

from fedward.redteam.findings import load_examination
from fedward.report import write_examinations
from tests.fuzz.findings import LINES


def test_a_page_about_nothing(tmp_path: Path) -> None:
    file = tmp_path / "krum.jsonl"
    file.write_text(json.dumps(LINES[0]) + "\n")
    page = write_examinations([load_examination(file)], {}, tmp_path / "page.html")
    assert "no findings" in page.read_text(encoding="utf-8")
