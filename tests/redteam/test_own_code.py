"""Findings of before one's own rule, attack or data changed are made again, and those that do not hang on them stay."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fedward.redteam import Finding, load_examination
from fedward.redteam.basis import Basis, Outdated
from fedward.redteam.findings import FindingsFile
from tests.redteam.test_redteam import spec

RULE = '''
def near(G):
    """The middle."""
    return G.median(0).values
'''
ATTACK = """
def pull(honest, own):
    return -honest.mean(0)
"""
DATA = """
from pathlib import Path

import torch

def load():
    torch.manual_seed(int(Path(__file__).with_name("seed.txt").read_text()))
    part = torch.randn(80, 1, 4, 4), torch.arange(80) % 4
    return part, part
"""
SETTING = ["--data", "ownnumbers:load", "--model", "linear", "--clients", "8", "--byzantine", "2", "--batch-size", "5"]
SETTING += ["--rounds", "2", "--worst", "1", "--attack", "no-attack", "--attack", "alie", "--attack", "pulling:pull"]
RULES = ["--rule", "nearmed:near", "--rule", "mean"]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    for name, text in {"nearmed": RULE, "pulling": ATTACK, "ownnumbers": DATA}.items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    (tmp_path / "seed.txt").write_text("1", encoding="utf-8")
    return tmp_path


def fedward(folder: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    """What a command tells in a process of its own, as its user's edits come to be seen: JSON, and what is said."""
    command = [sys.executable, "-m", "fedward", *arguments, *SETTING, "--json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout), " ".join(done.stderr.split())


def redteam(folder: Path, out: str) -> tuple[dict[str, dict[str, Any]], str]:
    """Of each rule its findings by attack, and what is said."""
    told, said = fedward(folder, "redteam", *RULES, "--warmup", "1", "--captured", "1", "--out", out)
    found = {e["settings"]["rule"]: {f["attack"]: f for f in e["findings"]} for e in told["examinations"]}
    return found, said


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_what_hangs_on_what_changed_is_examined_again_and_nothing_else_is(here: Path) -> None:
    first, said = redteam(here, "out")
    assert "changed" not in said
    mean = (here / "out/mean.jsonl").read_text()
    edit(here / "nearmed.py", ".values", ".values * 0.5")
    second, said = redteam(here, "out")
    assert "5 results of before nearmed.py changed are made again; they are kept in out/nearmed.near-1.jsonl" in said
    assert second["mean"] == first["mean"]
    assert (here / "out/mean.jsonl").read_text() == mean
    assert all(found != first["nearmed.near"][attack] for attack, found in second["nearmed.near"].items())
    kept = load_examination(here / "out/nearmed.near-1.jsonl")
    assert [f.kappa for f in kept.findings] == [f["kappa"] for f in first["nearmed.near"].values()]

    edit(here / "nearmed.py", "The middle.", "The middle, in words.")  # decides nothing
    edit(here / "pulling.py", "-honest", "-3 * honest")
    third, said = redteam(here, "out")
    assert "in 2 files of before pulling.py changed are made again" in said
    assert said.count("made again") == 1
    for rule, findings in third.items():
        moved = {attack for attack, found in findings.items() if found != second[rule][attack]}
        assert moved == {"pulling.pull"}

    (here / "seed.txt").write_text("2", encoding="utf-8")
    fourth, said = redteam(here, "out")
    assert "10 results in 2 files of before the data changed are made again" in said
    assert all(fourth[rule] != third[rule] for rule in first)


def test_an_edit_of_what_a_rule_imports_is_one_of_the_rule(here: Path) -> None:
    edit(here / "nearmed.py", ".values", ".values * scale()")
    edit(here / "nearmed.py", "def near", "from helping import scale\n\ndef near")
    (here / "helping.py").write_text("def scale():\n    return 1.0\n", encoding="utf-8")
    first, _ = redteam(here, "out")
    edit(here / "helping.py", "1.0", "0.5")
    second, said = redteam(here, "out")
    assert "of before helping.py changed are made again" in said
    assert second["mean"] == first["mean"]
    assert all(found != first["nearmed.near"][attack] for attack, found in second["nearmed.near"].items())


def test_a_choice_examines_an_edited_candidate_again(here: Path) -> None:
    command = ["choose", *RULES, "--partition", "iid"]
    first, _ = fedward(here, *command)
    edit(here / "nearmed.py", ".values", ".values * -1.0")
    second, said = fedward(here, *command)
    assert "of before nearmed.py changed are made again" in said

    def worth(told: dict[str, Any], rule: str) -> dict[str, Any]:
        [one] = (each for each in told["ranking"] if each["rule"] == rule)
        return {key: value for key, value in one.items() if key != "seconds"}

    assert worth(second, "mean") == worth(first, "mean")
    assert worth(second, "nearmed.near") != worth(first, "nearmed.near")


def test_what_a_file_is_made_of_is_what_its_results_are_made_of(tmp_path: Path) -> None:
    """Also where it was begun and left, or had no result of the attack whose file changed."""
    file = tmp_path / "mine.jsonl"
    settings = {**SPEC, "attacks": ["a", "b"]}

    def opened(rule: str, b: str) -> FindingsFile:
        own = {"rule.py": rule}
        return FindingsFile(file, settings, {}, Basis(own=own, of_attacks={"b": {**own, "b.py": b}}, data="same"))

    opened("1", "1")
    assert opened("2", "1").outdated is None  # nothing was there
    opened("2", "1").add(finding("a"))
    assert opened("2", "2").outdated is None
    opened("2", "2").add(finding("b"))
    assert opened("2", "2").outdated is None
    gone = opened("2", "1").outdated  # as it was when the file was begun, and not when b was played
    assert gone == Outdated(results=1, changed=("b.py",), kept=str(tmp_path / "mine-1.jsonl"))
    assert list(opened("2", "1").played) == ["a"]
    gone = opened("1", "1").outdated
    assert gone == Outdated(results=1, changed=("rule.py",), kept=str(tmp_path / "mine-2.jsonl"))


def test_of_files_that_name_nothing_it_is_not_taken_that_they_are_of_now(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    before = FindingsFile(file, SPEC, {}, Basis())
    before.add(finding("a"))
    lines = file.read_text()
    assert FindingsFile(file, SPEC, {}, Basis(data="some")).outdated is None  # as of what comes with fedward
    assert file.read_text() == lines
    gone = FindingsFile(file, SPEC, {}, Basis(own={"rule.py": "1"})).outdated
    assert gone is not None
    assert (gone.results, gone.changed) == (1, ("rule.py",))
    for wrong in ("[]", '{"rule.py": 1}', '"x"'):
        file.write_text(lines.replace('"versions": {}', f'"versions": {{}}, "own": {wrong}, "own_of_attacks": {wrong}'))
        assert FindingsFile(file, SPEC, {}, Basis(own={"rule.py": "1"})).outdated is not None


SPEC = {key: value for key, value in spec().resolved().items() if key != "attack"}


def finding(attack: str) -> Finding:
    return Finding(attack=attack, kappa=1.0, progress=1.0, byzantine_accepted=0.0, honest_accepted=1.0)
