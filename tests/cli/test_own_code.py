"""Rounds of before one's own rule was edited are not shown as those of the rule as it is, and not gone on with."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

import fedward as fw
from fedward.experiments.own_code import file_of, own_code, parts_of
from fedward.experiments.spec import make_spec
from fedward.experiments.versions import PACKAGE
from fedward.sweeps.key import code_of

RULE = '''
def middle(G, keep=0.5):
    """The middle."""
    return {sign}G.median(0).values
'''
SIZES = [
    "--clients",
    "4",
    "--byzantine",
    "1",
    "--batch-size",
    "8",
    "--model",
    "linear",
    "--data",
    "fashion-mnist-subset",
]


def _middle(k: int, G: Tensor) -> Tensor:
    return G.sort(0).values[k]


def fedward(folder: Path, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "fedward", "run", *SIZES, "--rule", "mine.middle", "--attack", "no-attack"]
    done = subprocess.run([*command, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def write(folder: Path, source: str) -> None:
    (folder / "mine.py").write_text(source, encoding="utf-8")


def test_an_edited_rule_is_not_taken_for_what_it_was(tmp_path: Path) -> None:
    write(tmp_path, RULE.format(sign=""))
    status, said = fedward(tmp_path, "--rounds", "1")
    assert status == 0, said
    write(tmp_path, "# of the middle\n" + RULE.format(sign=""))
    status, said = fedward(tmp_path, "--rounds", "2")
    assert status == 0, said  # a comment is no edit
    write(tmp_path, RULE.format(sign="-"))
    for rounds in ("2", "3"):
        status, said = fedward(tmp_path, "--rounds", rounds)
        assert status == 2, said
        assert "has 2 rounds of before mine.py was edited" in said
        assert "--fresh" in said
    status, said = fedward(tmp_path, "--rounds", "1", "--fresh")
    assert status == 0, said


def test_a_cell_of_a_sweep_hangs_on_the_file_of_a_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    small = {"data": "fashion-mnist-subset", "model": "linear", "clients": 4, "byzantine": 1, "rounds": 1}
    (tmp_path / "ours.py").write_text(RULE.format(sign=""), encoding="utf-8")
    spec = make_spec({**small, "rule": "ours.middle"})
    assert [file.name for file in parts_of(spec) if not file.is_relative_to(PACKAGE)] == ["ours.py"]
    assert code_of(spec) != code_of(make_spec({**small, "rule": "median"}))


SMALL = {"data": "fashion-mnist-subset", "model": "linear", "clients": 4, "byzantine": 1, "rounds": 1, "rule": "mean"}
PARTITION = """
from dataclasses import dataclass
from fedward.data import Partition

@dataclass(frozen=True, kw_only=True)
class Mine(Partition):
    def split(self, labels, clients, generator):
        return labels.argsort(stable=True).tensor_split(clients)

ready = Mine()
"""
MODEL = """
from torch import nn

def net(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(784, classes))
"""
DATA = """
import torch

def load():
    part = torch.randn(40, 1, 4, 4), torch.arange(40) % 4
    return part, part
"""


def own_package(folder: Path, name: str, source: str, *faces: str) -> None:
    """A package whose face has its names from a module below it."""
    (folder / name).mkdir()
    (folder / name / "inner.py").write_text(source, encoding="utf-8")
    (folder / name / "__init__.py").write_text(f"from .inner import {', '.join(faces)}\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "source", "key", "text"),
    [
        ("parted", PARTITION, "partition", "parted.Mine"),
        ("parted_colon", PARTITION, "partition", "parted_colon:Mine"),
        ("parted_ready", PARTITION, "partition", "parted_ready.ready"),
        ("modelled", MODEL, "model", "modelled.net"),
        ("modelled_colon", MODEL, "model", "modelled_colon:net"),
        ("adapted", MODEL, "model", "lora:base=adapted.net"),
        ("dated", DATA, "data", "dated.load"),
        ("dated_colon", DATA, "data", "dated_colon:load"),
    ],
)
def test_whatever_is_named_as_text_is_looked_for_where_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, source: str, key: str, text: str
) -> None:
    """Behind the face of a package, and as an argument of something else."""
    monkeypatch.syspath_prepend(tmp_path)
    faces = {"partition": ("Mine", "ready"), "model": ("net",), "data": ("load",)}[key]
    own_package(tmp_path, name, source, *faces)
    found = own_code(make_spec({**SMALL, key: text}))
    assert found.keys() == {"__init__.py", "inner.py"}


def test_what_comes_with_fedward_is_nobodys_own() -> None:
    spec = make_spec({**SMALL, "model": "lora:base=mlp", "partition": "dirichlet:alpha=0.5"})
    assert own_code(spec) == {}
    assert "adapters.py" in {file.name for file in parts_of(spec)}


class Middle:
    """A function of a kind that no file can be asked of."""

    def __call__(self, G: Tensor) -> Tensor:
        return G.median(0).values


def test_parts_without_a_file_of_their_own_are_told_by_what_they_are() -> None:
    here = Path(__file__)
    assert file_of(fw.rule(Middle())) == here
    assert file_of(fw.rule(partial(_middle, 2))) == here
    assert file_of(fw.rule(torch.zeros_like)) is None  # written in C
    made = dict[str, object]()
    exec("def typed(G):\n    return G.mean(0)\n", made)  # as at a prompt
    assert file_of(fw.rule(made["typed"])) is None
    assert file_of(fw.rules.Median()).is_relative_to(PACKAGE)


def test_files_of_one_name_are_both_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for package in ("theirs", "yours"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "part.py").write_text(RULE.format(sign=""), encoding="utf-8")
    (tmp_path / "yours" / "part.py").write_text("def minus(honest, own):\n    return -honest.mean(0)\n")
    small = {"data": "fashion-mnist-subset", "model": "linear", "clients": 4, "byzantine": 1, "rounds": 1}
    both = own_code(make_spec({**small, "rule": "theirs.part.middle", "attack": "yours.part.minus"}))
    for alone in ({"rule": "theirs.part.middle"}, {"attack": "yours.part.minus"}):
        assert both["part.py"] != own_code(make_spec({**small, **alone}))["part.py"]
