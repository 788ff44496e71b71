"""Errors of the user's own models, data, rules and partitions name the function, its file and the line."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedward.cli import app as cli
from fedward.disk import read_bounded
from fedward.experiments.spec import SpecError, make_spec
from fedward.failures import MakerError, own_fault, sentence
from fedward.models import build_model
from tests.cli.test_cli import QUICK

OWN = """
from dataclasses import dataclass
import fedward as fw
from fedward.attacks import Attack
from fedward.data import hold_out
from torch import nn

def refusing(): raise ValueError("my bug")
def reading(path="nowhere.csv"): return open(path)
def misled(shape, classes): return nn.Linear(shape + 1, classes)
def holding(share=2.0): return hold_out(([1, 2, 3], [0, 1, 0]), share=share)

class Net(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        raise ValueError("net bug")

class Blind(nn.Linear):
    def __init__(self, classes):
        super().__init__(1, classes)
    def forward(self, rows):
        raise ValueError("blind bug")

@dataclass(frozen=True, kw_only=True)
class Picky(fw.Rule):
    f: int
    def __post_init__(self):
        super().__post_init__()
        if self.f < 5:
            raise ValueError("too few")
    def decide(self, updates, state, context): ...

@dataclass(frozen=True, kw_only=True)
class Pushy(Attack):
    z: float = 0.0
    def __post_init__(self):
        raise OSError("no room")
    def forge(self, view): ...

class Dealt:
    def __init__(self, num_partitions): ...
    def split(self, *arguments, **more): raise ValueError("part bug")
"""
LINES = {text.strip(): number for number, text in enumerate(OWN.splitlines(), 1)}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of the user's own, in the working folder."""
    file = tmp_path / "own_erring.py"
    file.write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, file.stem, raising=False)  # that of the test before, which lay elsewhere
    return file


def line_of(raising: str) -> int:
    return next(number for text, number in LINES.items() if raising in text)


def quick(option: str, value: str) -> list[str]:
    """A short run with this option."""
    usual = dict(zip(QUICK[::2], QUICK[1::2], strict=True)) | {"--rounds": "1", "--out": "o"}
    return ["run", *(word for pair in (usual | {option: value}).items() for word in pair)]


WRONG = {
    "model function": (["--model", "own_erring:refusing"], "ValueError: my bug (in refusing", 'ValueError("my bug")'),
    "model class": (["--model", "own_erring:Net"], "ValueError: net bug (in __init__", "net bug"),
    "model reads": (["--model", "own_erring:reading"], "No such file or directory: 'nowhere.csv' (in reading", "open("),
    "model's types": (["--model", "own_erring:misled"], "(in misled", "shape + 1"),
    "model's forward": (["--model", "own_erring:Blind"], "ValueError: blind bug (in forward", "blind bug"),
    "rule": (["--rule", "own_erring:Picky"], "ValueError: too few (in __post_init__", "too few"),
    "attack": (["--attack", "own_erring:Pushy"], "OSError: no room (in __post_init__", "no room"),
    "partition": (["--partition", "own_erring:Dealt"], "ValueError: part bug (in split", "part bug"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_says_where(own: Path, what: str) -> None:
    options, said, raising = WRONG[what]
    result = CliRunner().invoke(cli.app, quick(*options))
    text = " ".join(result.output.split())
    assert f"{said}, {own}, line {line_of(raising)})" in text
    assert "fault of fedward" not in text
    assert result.exit_code == 2


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("refusing", "own_erring.refusing: ValueError: my bug (in refusing, "),
        ("reading:path=gone.csv", "No such file or directory: 'gone.csv' (in reading, "),
        ("holding", "got 2.0 of 3 (in holding, "),  # fedward refuses what it is called with in there
    ],
)
@pytest.mark.parametrize("command", ["run", "show"])
def test_data_that_cannot_be_made_say_where(own: Path, command: str, data: str, said: str) -> None:
    name = f"own_erring:{data}"
    result = CliRunner().invoke(cli.app, quick("--data", name) if command == "run" else ["data", "show", name])
    assert said + str(own) in " ".join(result.output.split())
    assert result.exit_code == 2


def test_what_fedward_refuses_has_its_own_words_alone(own: Path) -> None:
    with pytest.raises(SpecError) as refused:
        make_spec({"rule": "own_erring:Picky:f=x", "model": "mlp"})
    assert "own_erring.py" not in str(refused.value)
    with pytest.raises(MakerError, match=r"my bug \(in refusing"):
        build_model("own_erring:refusing")


def test_a_module_that_fails_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "own_failing.py"
    file.write_text("\nopen('not-here.txt')\n")
    monkeypatch.syspath_prepend(tmp_path)
    result = CliRunner().invoke(cli.app, quick("--model", "own_failing:net"))
    said = f"No such file or directory: 'not-here.txt' (in <module>, {file}, line 2)"
    assert said in " ".join(result.output.split())
    assert "write it like" not in result.output


def test_files_that_own_code_does_not_find_later_say_where(own: Path) -> None:
    sys.path_importer_cache.pop(str(own.parent), None)
    module = importlib.import_module(own.stem)
    with pytest.raises(OSError, match="nowhere") as missing:
        module.reading()
    assert sentence(missing.value).startswith(f"nowhere.csv: No such file or directory (in reading, {own}, line ")
    with pytest.raises(OSError, match="nowhere") as fedwards:
        read_bounded(Path("nowhere.csv"))
    assert not own_fault(fedwards.value)
