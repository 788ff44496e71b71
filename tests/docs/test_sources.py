"""What the tests and the texts rest on: examples that are the same everywhere, sources that a reader can find."""

from __future__ import annotations

import re
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

import tests.oracles

ROOT = Path(__file__).parents[2]
TEXTS = sorted(
    file
    for folder in ("src", "tests", "docs", "benchmarks", "scripts", "examples", "results")
    for file in (ROOT / folder).rglob("*")
    if file.suffix in (".py", ".md", ".toml")
) + sorted(ROOT.glob("*.md"))
_DOCUMENT = re.compile(r"[\w./-]+\.md\b")
_CODE = re.compile(r"^\s*(?:\"\"\"|#).*\b[A-J][12]?\d(?= \(|:| step|,)", re.MULTILINE)

_PAPER = re.compile(r"(?:El )?[A-ZÖ]\w+(?: et al\.|, CVPR| & [A-Z]\w+) (?:19|20)\d\d[ab]?\b")


def test_examples_are_the_same_in_every_run() -> None:
    assert settings.default.derandomize
    for file in (ROOT / "tests").rglob("test_*.py"):
        text = file.read_text(encoding="utf-8")
        assert "derandomize=" not in text or file == Path(__file__), f"{file}: settings are in conftest.py"


@given(st.integers())
def test_no_test_has_other_settings(number: int) -> None:
    assert settings().derandomize, number


def test_documents_that_are_cited_are_there() -> None:
    known = {file.name for file in ROOT.rglob("*.md") if ".venv" not in file.parts}
    for file in set(TEXTS) - {Path(__file__)}:
        for cited in _DOCUMENT.findall(file.read_text(encoding="utf-8")):
            assert Path(cited).name in known, f"{file.relative_to(ROOT)} cites {cited}, which is not here"


def test_oracles_say_where_their_formulas_come_from() -> None:
    for file in (ROOT / "tests" / "oracles").glob("*.py"):
        found = _CODE.findall(file.read_text(encoding="utf-8"))
        assert not found, f"{file.name} cites sections of no document: {found[:3]}"


def test_papers_that_oracles_cite_are_listed_with_their_titles() -> None:
    texts = [file.read_text(encoding="utf-8") for file in (ROOT / "tests" / "oracles").glob("[!_]*.py")]
    cited = {paper for text in texts for paper in _PAPER.findall(text)}
    listed = set(re.findall(rf"^({_PAPER.pattern}): ", tests.oracles.__doc__ or "", re.MULTILINE))
    assert cited == listed, f"cited in tests/oracles/, or listed in its __init__.py, alone: {sorted(cited ^ listed)}"
