"""Runs and examinations say which code made them, also where they were gone on with under other code."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from fedward.experiments import store
from fedward.experiments import versions as made
from fedward.experiments.run import execute
from fedward.experiments.spec import make_spec
from fedward.redteam import examine, load_examination
from fedward.report.runs import load_run

TINY: dict[str, Any] = {
    "data": "fashion-mnist-subset",
    "model": "linear",
    "clients": 8,
    "byzantine": 1,
    "batch_size": 4,
    "rule": "krum",
    "evaluate_every": 2,
}


def of_code(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Let everything be made by code of this name."""
    versions = {**made.versions(), "code": name}
    for module in ("fedward.experiments.store", "fedward.redteam.examine"):
        monkeypatch.setattr(sys.modules[module], "versions", lambda *more: versions)
    return versions


def head(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return found


def test_a_run_says_which_code_made_which_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"

    def until(rounds: int) -> dict[str, Any]:
        execute(make_spec({**TINY, "rounds": rounds}), run)
        return head(run)

    first = of_code("first", monkeypatch)
    assert until(2)["versions"] == first
    assert until(3)["versions"] == first
    assert "earlier" not in head(run)
    second = of_code("second", monkeypatch)
    assert until(3)["versions"] == first  # nothing was added
    assert "earlier" not in head(run)
    assert until(4)["versions"] == second
    assert head(run)["earlier"] == [{"rounds": 3, "versions": first}]
    third = of_code("third", monkeypatch)
    assert until(6)["versions"] == third
    assert head(run)["earlier"] == [{"rounds": 3, "versions": first}, {"rounds": 4, "versions": second}]
    assert any("up to 3 were made by other code" in note for note in load_run(run).notes)
    (run / "run.json").unlink()
    assert until(7)["earlier"] == [{"rounds": 6, "versions": None}]


def test_rounds_that_a_kill_has_undone_are_nobodys() -> None:
    first, second, now = {"code": "first"}, {"code": "second"}, made.versions()

    def earlier(done: int, *parts: tuple[int, Any], last: Any) -> list[tuple[int, Any]]:
        before = tuple(store.Earlier(rounds=r, versions=v) for r, v in parts)
        head = store.RunHead(name="", config={}, byzantine_ids=(), versions=last, earlier=before)
        return [(part.rounds, part.versions) for part in store.earlier_code(head, done)]

    assert earlier(40, (40, first), last=second) == [(40, first)]  # second had not come to a checkpoint
    assert earlier(30, (40, first), last=second) == [(30, first)]
    assert earlier(40, last=now) == []
    assert earlier(40, (20, first), last=now) == [(20, first)]
    assert earlier(0, last=first) == []


def test_an_examination_says_which_code_made_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "krum.jsonl"
    spec = make_spec({**TINY, "rounds": 2, "attack": "no-attack"})
    options: dict[str, Any] = {"warmup": 0, "rounds": 2, "worst": 1, "attacks": ("no-attack", "alie")}
    first = of_code("first", monkeypatch)
    whole = examine(spec, file, **options)
    assert whole.versions == (first,)
    lines = file.read_text().splitlines(keepends=True)
    second = of_code("second", monkeypatch)
    assert examine(spec, file, **options).versions == (first,)
    file.write_text("".join(lines[:2]))
    mixed = examine(spec, file, **options)
    assert mixed.versions == load_examination(file).versions == (first, second)
    assert mixed.findings == whole.findings
    file.write_text("".join([json.dumps({"format": 1, "settings": json.loads(lines[0])["settings"]}) + "\n", lines[1]]))
    assert examine(spec, file, **options).versions == (None, second)


def test_only_statements_count(tmp_path: Path) -> None:
    def digest(source: str) -> str:
        (tmp_path / "rule.py").write_text(source)
        return made.code_digest(tmp_path)

    one = digest('"""A rule."""\n\nimport math\n\n\ndef f(x):\n    """What."""\n    return x + 1\n')
    assert digest('import math\n\n# why\ndef f(x):\n    """What\n    else."""\n    return x + 1  # or not\n') == one
    assert digest("import math\n\ndef f(x):\n    return x + 2\n") != one
    assert digest("import math\n\ndef f(x):\n    return '# x'\n") != digest(
        "import math\n\ndef f(x):\n    return '# y'\n"
    )
    (tmp_path / "other.py").write_text("")
    assert digest('"""A rule."""\n\nimport math\n\n\ndef f(x):\n    """What."""\n    return x + 1\n') != one
    (tmp_path / "shown").mkdir()
    (tmp_path / "shown" / "page.py").write_text("")
    assert made.code_digest(tmp_path, frozenset({"shown", "other.py"})) == one


def test_what_does_not_decide_figures_is_there_to_be_left_out() -> None:
    assert [name for name in sorted(made.BESIDE) if not (made.PACKAGE / name).exists()] == []
    assert made.code() != made.code("redteam")


def test_no_commit_outside_of_a_checkout(tmp_path: Path) -> None:
    assert made.git("rev-parse", "HEAD", folder=tmp_path) is None


@pytest.mark.parametrize("sign", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"])
@pytest.mark.parametrize("where", ["# {0} a comment\n", '"""A {0} docstring."""\n', "x = '{0}'\n"])
def test_lines_are_counted_as_python_does(sign: str, where: str) -> None:
    """A sign that ends lines for some must not shift what is taken for a comment onto a statement."""
    source = where.format(sign) + "{}\n\n\ndef f({}):  # what\n    return 1\n"
    first = made.statements(source.format("# of f", ""))
    assert first == made.statements(source.format("", ""))
    assert first.endswith("def f():\n    return 1")
    assert first != made.statements(source.format("# of f", "x=1"))


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_ends_of_lines_do_not_count(end: str) -> None:
    source = 'import math\n\n# why\ndef f():\n    """What\n    else."""\n    return 1  # or not\n'
    assert made.statements(source.replace("\n", end)) == made.statements(source)


def test_a_page_break_between_functions_is_no_statement() -> None:
    assert made.statements("\x0c\ndef f():\n    return 1\n") == made.statements("def f():\n    return 1\n")
