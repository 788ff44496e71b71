"""Runs and sweeps hang on what one's own rule imports as they do on the rule."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fedward.experiments.own_code import edited_since, imported_code, others_here, own_code
from fedward.experiments.spec import make_spec
from fedward.sweeps.key import code_of

SIZES = ["--clients=4", "--byzantine=1", "--batch-size=8", "--model=linear", "--data=fashion-mnist-subset"]
CORE = "def scale():\n    return {}\n"
RULE = "from kernels_of_mine import scale\n\n\ndef mine(G):\n    return scale() * G.mean(0)\n"


def fedward(folder: Path, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "fedward", "run", *SIZES, "--rule=rr:mine", "--attack=no-attack", "--out=r"]
    done = subprocess.run([*command, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def edit(folder: Path, source: str) -> None:
    (folder / "kernels_of_mine.py").write_text(source, encoding="utf-8")


def head_of(folder: Path) -> Path:
    return folder / "r" / "run.json"


def test_a_run_is_not_gone_on_with_after_an_edit_of_what_its_rule_imports(tmp_path: Path) -> None:
    (tmp_path / "rr.py").write_text(RULE, encoding="utf-8")
    edit(tmp_path, CORE.format("1.0"))
    status, said = fedward(tmp_path, "--rounds=1")
    assert status == 0, said
    assert json.loads(head_of(tmp_path).read_text())["imported"].keys() == {"kernels_of_mine.py"}
    edit(tmp_path, f'"""What rules share."""\n{CORE.format("1.0")}  # as it was\n')
    assert fedward(tmp_path, "--rounds=2")[0] == 0  # a comment is no edit
    edit(tmp_path, CORE.format("0.0"))
    for rounds in ("2", "3"):
        status, said = fedward(tmp_path, f"--rounds={rounds}")
        assert status == 2, said
        assert "has 2 rounds of before kernels_of_mine.py was edited" in said


def test_a_folder_of_before_imports_were_noted_goes_on_and_takes_note_of_them(tmp_path: Path) -> None:
    (tmp_path / "rr.py").write_text(RULE, encoding="utf-8")
    edit(tmp_path, CORE.format("1.0"))
    assert fedward(tmp_path, "--rounds=1")[0] == 0
    head = json.loads(head_of(tmp_path).read_text())
    del head["imported"]
    head_of(tmp_path).write_text(json.dumps(head))
    assert fedward(tmp_path, "--rounds=1")[0] == 0
    assert "imported" not in json.loads(head_of(tmp_path).read_text())  # no round was added, and nobody knows
    status, said = fedward(tmp_path, "--rounds=2")
    assert status == 0, said
    assert "imported" in json.loads(head_of(tmp_path).read_text())


def spec_of(folder: Path, name: str, helper: str) -> dict[str, object]:
    (folder / f"{name}.py").write_text(f"import {helper}\n\n\ndef mine(G):\n    return G.mean(0)\n", encoding="utf-8")
    sizes = {"data": "fashion-mnist-subset", "model": "linear", "clients": 4, "byzantine": 1, "rounds": 1}
    return {**sizes, "rule": f"{name}.mine"}


def test_a_cell_hangs_on_what_its_rule_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    codes = set()
    for number, source in enumerate(("x = 1\n", "x = 2\n", "x = 1  # said otherwise\n")):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.syspath_prepend(folder)
        (folder / f"helper_{number}.py").write_text(source, encoding="utf-8")
        spec = make_spec(spec_of(folder, f"hanging_{number}", f"helper_{number}"))
        [(name, digest)] = imported_code(spec).items()
        assert name == f"helper_{number}.py"
        codes.add(digest)
        assert own_code(spec).keys() == {f"hanging_{number}.py"}
    assert len(codes) == 2
    with_, without = make_spec(spec_of(tmp_path, "hung", "helper_0")), make_spec(spec_of(tmp_path, "free", "json"))
    assert imported_code(with_)
    assert imported_code(without) == {}
    before = code_of(with_)
    monkeypatch.setattr("fedward.sweeps.key.imported_code", lambda spec: {"helper_0.py": "another"})
    assert code_of(with_) != before


def test_what_is_held_against_a_run_is_what_is_known_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "beneath.py").write_text("x = 1\n", encoding="utf-8")
    config = spec_of(tmp_path, "known", "beneath")
    spec = make_spec(config)
    own, imported = own_code(spec), imported_code(spec)
    assert edited_since(own, imported, spec) == edited_since(own, None, spec) == []
    assert edited_since({"known.py": "other"}, None, spec) == ["known.py"]
    assert edited_since({"gone.py": "other"}, None, spec) == []  # of another version's ways to name it
    assert edited_since({"gone.py": "other"}, {}, spec) == ["beneath.py", "gone.py", "known.py"]
    assert edited_since(own, {"beneath.py": "other"}, spec) == ["beneath.py"]
    assert others_here(own, imported, config) == others_here(own, None, config) == []
    (tmp_path / "beneath.py").write_text("x = 2\n", encoding="utf-8")
    assert others_here(own, imported, config) == ["beneath.py"]
    assert others_here(own, None, config) == []
    assert others_here(own, imported, {"rule": "not_on_this_machine.mine"}) == []
    (tmp_path / "known.py").unlink()
    assert others_here(own, imported, config) == []  # nobody knows any more
