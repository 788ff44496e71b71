"""Options: none that takes one value is given twice, and no command line ends in a traceback."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer
from typer.testing import CliRunner

from fedward.cli import app as cli
from fedward.cli.options import MEANT
from fedward.experiments.spec import RunSpec, SpecError, make_spec
from fedward.registry.notation import parse
from tests.cli.test_cli import QUICK, failure

GROUP = typer.main.get_command(cli.app)
assert isinstance(GROUP, click.Group)


def leaves(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """Commands by all their words, those of groups in the group included."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


COMMANDS = dict(leaves(GROUP))
SINGLE = [
    (name, option)
    for name, command in COMMANDS.items()
    for option in command.params
    if isinstance(option, click.Option) and not option.multiple and not option.is_eager
]


# --- once -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "option"), SINGLE, ids=[f"{name} {option.opts[0]}" for name, option in SINGLE])
def test_an_option_that_takes_one_value_is_given_once(name: str, option: click.Option) -> None:
    required = {"redteam": ["--rule", "krum"], "report": ["nowhere"], "list": ["rules"], "data show": ["mnist"]}.get(
        name, []
    )
    value = [] if option.is_flag else ["1"]
    first, last = option.opts[0], (option.secondary_opts or option.opts)[-1]
    result = CliRunner().invoke(cli.app, [*name.split(), *required, first, *value, last, *value])
    assert result.exit_code == 2
    said = " ".join(result.output.replace("│", " ").split())
    assert "given 2 times, but it takes one value; give it once." in said
    assert first in said
    assert not list(Path().iterdir())


def test_every_command_refuses_and_several_rules_are_several() -> None:
    assert len(SINGLE) > 40
    assert {name for name, _ in SINGLE} == set(COMMANDS)
    several = {(name, p.name) for name, c in COMMANDS.items() for p in c.params if getattr(p, "multiple", False)}
    others = {name for name in several if name[0] != "run"}
    chosen = {("choose", key) for key in ("rule", "attack", "partition", "seed")}
    assert others == chosen | {
        ("redteam", "rule"),
        ("audit", "rule"),
        ("redteam", "attack"),
        ("sweep", "only"),
        ("report", "label"),
    }
    once = {"data_path", "device", "root_apart"}
    assert {key for name, key in several if name == "run"} == {*RunSpec.model_fields, "log"} - once


@pytest.mark.parametrize("text", ["krum:f=1,f=2", "nnm:f=1, f=1 >> mean", "robust-tailor:rules=(krum:f=1,f=1 | mean)"])
def test_an_argument_in_text_is_given_once(text: str) -> None:
    with pytest.raises(ValueError, match="f is given more than once"):
        parse(text)


def test_an_argument_of_a_partition_is_given_once() -> None:
    with pytest.raises(SpecError, match="s is given more than once"):
        make_spec({"partition": "s-fraction:s=0.5,s=0.2"})


# --- no traceback ---------------------------------------------------------------------------------------------

VALUES = ["", "0", "-1", "3", "0.5", "1e400", "nan", "10000000000", "true", "é[/x]", "mean", "krum", "krum:f=x", "alie"]
VALUES += ["krum:", ":", ">>", "nnm:f=1 >> krum:f=1", "nnm >> ", "(", "a.b", "fedward.rules", "os.path", "siren"]
VALUES += ["s-fraction:s", "s-fraction:s=nan", "degree:p=1e9", "k-classes:k=0", "dirichlet:alpha=0", "k-classes:k=1e30"]
VALUES += ["maximise:attack=ipm,over=nothing", "schedule:attacks=(x: alie)", "groups:attacks=()", "class-momentum"]
VALUES += [
    "robust-tailor:rules=",
    "local-sgd:epochs=1,steps=1",
    "cuda",
    "meta",
    "linear",
    "own",
    "all",
    ".",
    "/dev/null",
]
VALUES += ["\udc80", "x" * 5000, "krum:f=99999999999999999999", "delayed:base=mean", "siren-client:inner=gradient"]
NUMBERS = ["0", "1", "-1", "2", "3", "0.1", "0.5", "1e-9", "nan", "inf", "x", ""]


def command_line(seed: int) -> list[str]:
    """A few options of a command with values that were not meant for them."""
    draw = random.Random(seed)
    name = draw.choice(["run", "run", "run", "redteam", "redteam", "report", "list"])
    command = COMMANDS[name]
    options = [p for p in command.params if isinstance(p, click.Option) and not p.is_eager]
    given = dict(zip(QUICK[::2], QUICK[1::2], strict=True)) if name in ("run", "redteam") else {}
    given |= {"--rounds": "1", "--threads": "1"} if name == "run" else {}
    given |= {"--rounds": "1", "--warmup": "0", "--captured": "1", "--worst": "0"} if name == "redteam" else {}
    words = [draw.choice([*VALUES, "rules", "data", "models"])] if name in ("report", "list") else []
    for option in draw.sample(options, draw.randint(1, min(3, len(options)))):
        flag = draw.choice(option.opts)
        if option.is_flag:
            words.append(flag)
        else:
            number = option.type.name in ("integer", "float", "integer range")
            given[flag] = draw.choice(NUMBERS if number else VALUES)
    if name == "redteam":
        given.setdefault("--rule", "no-such-rule")
    return [name, *words, *(word for pair in given.items() for word in pair)]


@pytest.mark.parametrize("block", range(4))
def test_no_command_line_ends_in_a_traceback(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDWARD_DATA", "")
    for seed in range(50 * block, 50 * block + 50):
        words = command_line(seed)
        result = CliRunner().invoke(cli.app, words)
        told = f"{words}: {result.exit_code}\n{result.output}\n{result.exception!r}"
        assert result.exit_code in (0, 1, 2), told
        assert isinstance(result.exception, SystemExit | None), told
        assert "Traceback" not in result.output, told
        assert "a fault of fedward" not in result.output, told
        assert result.exit_code == 0 or "Error" in result.output, told


# --- what rules and attacks of the user's own do wrong --------------------------------------------------------

OWN = """
from dataclasses import dataclass
import torch
from fedward import Rule
from fedward.attacks import Attack
from fedward.stack import Dense


def strange(how, updates):
    if how == "raise":
        raise RuntimeError("I do not\\nlike it")
    return {"nothing": None, "tensor": torch.ones(updates.n, updates.d), "text": "mean", "stack": updates}[how]


@dataclass(frozen=True, kw_only=True)
class Forging(Attack):
    how: str

    def forge(self, view):
        return strange(self.how, view.honest)


@dataclass(frozen=True, kw_only=True)
class Deciding(Rule):
    how: str

    def decide(self, updates, state, context):
        return strange(self.how, updates)
"""
WRONG = {
    "nothing": (
        "forged NoneType; it must return 2 rows of 7850 columns",
        "decided on NoneType; it must return fedward.Plan",
    ),
    "tensor": ("forged Tensor", "decided on Tensor"),
    "text": ("forged str", "decided on str"),
    "stack": ("forged 10 rows of 7850 columns; it must return 2 rows", "decided on"),
    "raise": (
        "RuntimeError: I do not like it (in strange, ",
        "no round changed the model: Deciding(how='raise') raised",
    ),
}


@pytest.mark.parametrize("how", list(WRONG))
def test_what_an_attack_or_a_rule_of_ones_own_does_wrong_is_said(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = f"own_{how}"
    (tmp_path / f"{module}.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    once = ["run", *QUICK, "--rounds", "1"]
    forged, decided = WRONG[how]
    text = failure(*once, "--rule", "mean", "--attack", f"{module}.Forging:how={how}", code=1)
    assert forged in text
    assert "fault of fedward" not in text
    around = f"groups:attacks=({module}.Forging:how={how} | alie)"
    assert "fault of fedward" not in failure(*once, "--rule", "mean", "--attack", around, "--out", "around", code=1)
    result = CliRunner().invoke(cli.app, [*once, "--rule", f"{module}.Deciding:how={how}", "--out", "rule"])
    assert result.exit_code == 1
    assert decided in result.output
    assert "Traceback" not in result.output


def test_modules_that_cannot_be_imported_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_broken.py").write_text("def (:\n")
    (tmp_path / "own_raising.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "cannot import 'own_broken.Rule': invalid syntax" in failure("run", "--rule", "own_broken.Rule")
    assert "cannot import 'own_raising.Rule': division by zero" in failure("run", "--rule", "own_raising.Rule")


@pytest.mark.parametrize("device", ["cuda:99", "meta", "nonsense", ""])
def test_a_device_that_is_not_there_is_said(device: str) -> None:
    text = failure("run", *QUICK, "--device", device)
    assert f"device {device!r} cannot be used here" in text
    assert "--device cpu" in text


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("sweep x.toml --jobs 2", "--workers"),
        ("sweep x.toml -j4", "--workers"),
        ("sweep x.toml --processes=2", "--workers"),
        ("run --cores 2", "--threads"),
        ("run --defense median", "--rule"),
        ("run --thread 2", "--threads"),
    ],
)
def test_options_of_other_programs_lead_to_ours(line: str, meant: str) -> None:
    result = CliRunner().invoke(cli.app, line.split())
    assert result.exit_code == 2
    assert f"Did you mean {meant}?" in " ".join(result.stderr.split())


def test_options_of_other_programs_are_none_of_ours_and_lead_to_some() -> None:
    ours = {name for command in COMMANDS.values() for param in command.params for name in param.opts}
    assert not ours & MEANT.keys()
    assert {name for names in MEANT.values() for name in names} <= ours
