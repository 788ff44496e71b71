"""Hypothesis tries the same examples each time, and no test says otherwise."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

TESTS = Path(__file__).parents[1]
ITS_OWN = {"derandomize", "deadline", "database", "print_blob"}
"""What the profile decides for all tests."""
SHOW = "import runpy; runpy.run_path('conftest.py'); from hypothesis import settings; print(settings().derandomize)"


@pytest.mark.parametrize("ci", ["true", None])
def test_the_profile_of_all_tests_draws_the_same_examples(ci: str | None) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    told = subprocess.run(
        [sys.executable, "-c", SHOW],
        cwd=TESTS,
        env=environment | ({} if ci is None else {"CI": ci}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == "True"


def test_what_is_loaded_here_is_a_profile_of_conftest() -> None:
    assert settings.get_current_profile_name() in {"same", "random"}
    assert settings().derandomize is (settings.get_current_profile_name() == "same")


def overridden(tree: ast.AST) -> Iterator[str]:
    """What a file says about examples that only the profile may say."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("settings"):
            yield from sorted(ITS_OWN & {keyword.arg for keyword in node.keywords})
        if isinstance(node, ast.Attribute) and node.attr in {"register_profile", "load_profile"}:
            yield node.attr
        if isinstance(node, ast.ImportFrom) and node.module == "hypothesis":
            yield from (alias.name for alias in node.names if alias.name == "seed")


def test_no_test_overrides_the_profile() -> None:
    for path in TESTS.rglob("*.py"):
        if path != TESTS / "conftest.py":
            found = list(overridden(ast.parse(path.read_text(encoding="utf-8"))))
            assert not found, f"{path.relative_to(TESTS)} sets {', '.join(found)}: that is for tests/conftest.py"
