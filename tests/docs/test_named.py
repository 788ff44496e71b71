"""A program that nobody names is one that nobody will run again, and a list of files is worth what is in it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED_IN = (
    "Makefile",
    "*.md",
    "*/*.md",
    "docs/**/*.md",
    "results/**/*.md",
    ".github/workflows/*.yml",
    "*/*.py",
    "*/*.sh",
)


def programs() -> list[Path]:
    """What is run by name."""
    found = [file for folder in ("scripts", "benchmarks", "examples") for file in sorted((ROOT / folder).glob("*.py"))]
    return [file for file in found if '__name__ == "__main__"' in file.read_text(encoding="utf-8")]


def test_every_program_is_named_somewhere_else() -> None:
    texts = {file: file.read_text(encoding="utf-8") for pattern in NAMED_IN for file in ROOT.glob(pattern)}
    assert len(programs()) > 30
    unnamed = []
    for program in programs():
        folder, name = program.parent.name, program.stem
        words = rf"{folder}[./]{name}\b|^import {name}$" + (rf"|\({name}\.py\)" if folder == "examples" else "")
        if not any(re.search(words, text, re.MULTILINE) for file, text in texts.items() if file != program):
            unnamed.append(str(program.relative_to(ROOT)))
    assert unnamed == []


def test_files_of_tests_that_mutants_are_tried_with_are_there() -> None:
    text = (ROOT / "scripts" / "mutants.py").read_text(encoding="utf-8")
    named = set(re.findall(r"\b\w+/test_\w+\.py", text))
    assert len(named) > 20
    assert sorted(name for name in named if not (ROOT / "tests" / name.removeprefix("tests/")).exists()) == []
