"""What pages print is what comes out: their Python is run in an empty folder, and held against the output below it."""

from __future__ import annotations

import contextlib
import io
import math
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fedward.cli.app import app

DOCS = Path(__file__).parents[2] / "docs"
# A block of Python and, if it is there, the block of plain output right below it.
_PYTHON = re.compile(r"^```python\n(.*?)^```\n(?:\n^```\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)
_CONSOLE = re.compile(r"^```console\n\$ (.*?(?<!\\))\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
PAGES = (
    "index.md",
    "concepts/stack.md",
    "concepts/threat-model.md",
    "concepts/verdict.md",
    "how-to/reports.md",
    "how-to/resume.md",
)
TUTORIAL = DOCS / "get-started" / "tutorial.md"


def same(told: str, printed: str) -> bool:
    """Whether two texts say the same, but for the last digits of numbers, which machines differ in."""
    if _NUMBER.sub("#", told).split() != _NUMBER.sub("#", printed).split():
        return False
    pairs = zip(_NUMBER.findall(told), _NUMBER.findall(printed), strict=True)
    return all(math.isclose(float(a), float(b), rel_tol=0.02, abs_tol=0.011) for a, b in pairs)


def run(code: str, scope: dict[str, Any]) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, scope)
    return printed.getvalue()


def test_the_comparison_sees_a_difference() -> None:
    assert same("a 1.00\nb 25.3 %", "a  1.004\nb 25.3 %")
    assert not same("a 1.00", "a 1.10")
    assert not same("a 1.00 far", "a 1.00 near")
    assert not same("a 1.00", "a 1.00\nb 2.00")


def test_every_page_with_python_is_run_by_a_test() -> None:
    tests = "\n".join(file.read_text(encoding="utf-8") for file in (DOCS.parent / "tests").rglob("test_*.py"))
    with_python = [page.name for page in DOCS.rglob("*.md") if "\n```python\n" in page.read_text(encoding="utf-8")]
    assert len(with_python) > 12
    assert [name for name in with_python if not re.search(rf"[/\"]{re.escape(name)}\"", tests)] == []


@pytest.mark.parametrize("page", PAGES)
def test_python_of_pages_prints_what_they_say(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # Dataclasses look for the module that they are of.
    scope: dict[str, Any] = {"__name__": "__main__"}
    blocks = _PYTHON.findall((DOCS / page).read_text(encoding="utf-8"))
    assert blocks
    for code, told in blocks:
        printed = run(code, scope)
        assert not told or same(told, printed), printed


def test_the_tutorial_prints_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = TUTORIAL.read_text(encoding="utf-8")
    files = {code.splitlines()[0].removeprefix("# "): code for code, _ in _PYTHON.findall(text)}
    assert sorted(files) == ["lies.py", "loop.py"]
    done = []
    for command, told in _CONSOLE.findall(text):
        program, *words = shlex.split(command.replace("\\\n", ""))
        done.append((program, words[0]))
        if program == "python":
            assert same(told, printed := run(files[words[0]], {"__name__": "__main__"})), printed
            continue
        assert program == "fedward"
        outcome = CliRunner().invoke(app, words)
        assert outcome.exit_code == 0, outcome.output
        alike = same_training if words[0] == "run" else same
        assert alike(told, outcome.stdout), outcome.stdout
    assert done == [("python", "lies.py"), ("fedward", "run"), *2 * [("fedward", "report")], ("python", "loop.py")]
    assert (tmp_path / "curves.svg").exists()


def same_training(told: str, printed: str) -> bool:
    """As `same`, of a table of trainings, which end points apart on other machines, and anyhow once they diverge."""
    if _NUMBER.sub("#", told).split() != _NUMBER.sub("#", printed).split():
        return False
    lines = zip(told.splitlines(), printed.splitlines(), strict=True)
    for numbers in ([[*map(float, _NUMBER.findall(line))] for line in pair] for pair in lines):
        ours, theirs = (line[-4:] for line in numbers)
        if len(ours) == 4 and ours[1] > 30 and any(abs(a - b) > 5 for a, b in zip(ours, theirs, strict=True)):
            return False
    return True


def test_trainings_are_compared() -> None:
    row = " mean   alie   1 of 1   74.1 %   72.1 %   100.0 %   100.0 %"
    assert same_training(row, row.replace("72.1", "69.0"))
    assert not same_training(row, row.replace("72.1", "62.1"))
    assert not same_training(row, row.replace("alie", "ipm"))
    collapsed = row.replace("72.1", "9.8")
    assert same_training(collapsed, collapsed.replace("74.1", "61.0"))
    assert not same_training(row, f"{row}\nbest: the best of a run's tests")
