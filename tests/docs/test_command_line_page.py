"""The page about the command line is what `--help` says now."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_is_current() -> None:
    made = runpy.run_path(str(ROOT / "scripts" / "make_command_line.py"))["page"]()
    there = (ROOT / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")
    assert there == made, "run python scripts/make_command_line.py"
    for words in ("## fedward run", "## fedward data show", "`--[no-]fresh`", "| `130` |", "[default: fashion-mnist]"):
        assert words in made
