"""The page about running statistics has the table that its example prints."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_table_is_of_the_cases_of_the_example_and_that_runs(capsys: pytest.CaptureFixture[str]) -> None:
    example = runpy.run_path(str(ROOT / "examples" / "forged_statistics.py"))
    page = (ROOT / "docs" / "concepts" / "running-statistics.md").read_text(encoding="utf-8")
    [table] = re.findall(r"<!-- table -->\n(.*?)<!-- /table -->", page, flags=re.DOTALL)
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert head == ["rule", "attack", "forged", *example["POLICIES"]]
    assert [(rule, attack, forged) for rule, attack, forged, *_ in rows] == list(example["CASES"])
    example["main"].__globals__["ROUNDS"] = 1
    example["main"]()
    printed = [[cell.strip() for cell in line.strip("|").split("|")] for line in capsys.readouterr().out.splitlines()]
    assert [row[:3] for row in printed[2:]] == [row[:3] for row in rows]
    assert all(0 <= float(cell) <= 100 for row in printed[2:] for cell in row[3:])
