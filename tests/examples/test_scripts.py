"""The scripts of examples/ run, from a folder that is not theirs, and print what their page says."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.loaded import module_of

EXAMPLES = Path(__file__).parents[2] / "examples"
PAGE = (EXAMPLES / "README.md").read_text(encoding="utf-8")
ELSEWHERE = {
    "forged_statistics.py": "tests/docs/test_statistics_page.py",
    "robust_ddp.py": "tests/distributed/test_page.py",
}
"""What other tests run; test_notebooks.py finds notebooks by itself."""
SHORTER: Mapping[str, Mapping[str, object]] = {
    "robust_loop.py": {"STEPS": 20},
    "compare_rules.py": {"ROUNDS": 6, "SEEDS": (0, 1)},
    "own_rule.py": {},
    "adaptive_attack.py": {"ROUNDS": 6},
    "audit_folder.py": {},
}
"""What this one does, with less of what takes time."""


def shown(name: str) -> list[str]:
    """The lines that the page says an example prints."""
    block = re.search(rf"^## {re.escape(name)}\n.*?```\n(.*?)```", PAGE, flags=re.DOTALL | re.MULTILINE)
    assert block is not None, f"examples/README.md does not show what {name} prints"
    return block[1].splitlines()


def shape(line: str) -> str:
    """A line without its numbers and their places, and without the name of the module."""
    bare = re.sub(r"-?\d+(\.\d+)?(e[-+]\d+)?", "#", re.sub(r"example_\w+\.|__main__\.", "", line))
    return " ".join(re.sub(r"-{3,}", "-", bare).split())


@pytest.mark.parametrize("name", SHORTER)
def test_an_example_prints_what_its_page_shows(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    module = module_of(EXAMPLES / name, f"example_{name.removesuffix('.py')}")
    for constant, value in SHORTER[name].items():
        assert hasattr(module, constant)
        monkeypatch.setattr(module, constant, value)
    module.main()
    printed = list(map(shape, capsys.readouterr().out.splitlines()))
    due = list(map(shape, shown(name)))
    assert [line for line in due if line not in printed] == []
    assert len(printed) >= len(due)
    assert list(tmp_path.iterdir()) == []


def test_an_example_is_a_program(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "own_rule.py")], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert list(map(shape, done.stdout.splitlines())) == list(map(shape, shown("own_rule.py")))


def test_every_example_is_run_and_listed() -> None:
    files = {file.name for pattern in ("*.py", "*.ipynb") for file in EXAMPLES.glob(pattern)}
    assert {name for name in files if name.endswith(".py")} == {*SHORTER, *ELSEWHERE}
    folders = {folder.name for folder in EXAMPLES.iterdir() if (folder / "pyproject.toml").exists()}
    assert set(re.findall(r"^\| \[[\w.-]+\]\(([\w.-]+)\)", PAGE, flags=re.MULTILINE)) == files | folders
    root = EXAMPLES.parent
    for name, test in ELSEWHERE.items():
        assert name in (root / test).read_text(encoding="utf-8")
