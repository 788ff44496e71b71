"""Whatever code, tests and pages cite is at hand: a file of this tree, or a paper by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tests.oracles

ROOT = Path(__file__).parents[2]
PLACES = ("src", "tests", "docs", "scripts", "benchmarks", "examples", "README.md", "CONTRIBUTING.md", "CHANGELOG.md")
# Names made up by tests, and what users are told to write.
MADE_UP = {"absent.md"}
PAPER = re.compile(r"(?:El |Geo )?[A-ZÖ]\w+(?: et al\.| & [A-Z]\w+)? (?:19|20)\d\d[ab]?\b")


def texts() -> dict[str, str]:
    """Code and pages of the tree, but for this file."""
    paths = (p for place in PLACES for p in ((ROOT / place).rglob("*") if (ROOT / place).is_dir() else [ROOT / place]))
    here = Path(__file__).resolve()
    found = (p for p in paths if p.suffix in {".py", ".md"} and p.resolve() != here)
    return {p.relative_to(ROOT).as_posix(): p.read_text(encoding="utf-8") for p in found}


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return texts()


def test_pages_that_are_cited_are_in_the_tree(files: dict[str, str]) -> None:
    pages = {Path(name).name for name in files} | MADE_UP
    for name, text in files.items():
        cited = {Path(word).name for word in re.findall(r"[\w./-]*\w\.md\b", text)}
        assert cited <= pages, f"{name} cites {', '.join(sorted(cited - pages))}: not in the tree"


def test_nothing_is_cited_by_a_number_of_another_document(files: dict[str, str]) -> None:
    number = re.compile(r"(?<!Algorithm )(?<![\w:.#-])[ABE][1-9]\d?(?![\w.'\"-])|\bsections? 0\b|\btable [A-Z]\b")
    for name, text in files.items():
        if name.startswith("tests/oracles/"):
            found = sorted(set(number.findall(text)))
            assert not found, f"{name} cites {', '.join(found)}: name the paper and where in it"


def test_papers_that_the_oracles_cite_are_listed(files: dict[str, str]) -> None:
    sources = tests.oracles.__doc__ or ""
    cited = {
        found for name, text in files.items() if name.startswith("tests/oracles/") for found in PAPER.findall(text)
    }
    assert len(cited) > 30
    missing = sorted(paper for paper in cited if f"\n{paper}: " not in sources)
    assert not missing, f"not among the sources of tests/oracles/__init__.py: {', '.join(missing)}"


@pytest.mark.parametrize("module", ["attacks", "attacks_more", "election", "geometry", "memory", "rules", "signguard"])
def test_every_file_of_oracles_names_its_papers(module: str, files: dict[str, str]) -> None:
    assert len(PAPER.findall(files[f"tests/oracles/{module}.py"])) >= 3
