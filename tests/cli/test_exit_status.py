"""Exit status 2 is what was asked for and cannot be, of every command; and a command that only looks makes no files."""

from __future__ import annotations

from pathlib import Path

import pytest
from click import Group
from typer.main import get_command
from typer.testing import CliRunner

from fedward.cli.app import app
from tests.cli.test_cli import QUICK

ONE_ROUND = [*QUICK, "--rounds", "1"]

WRONG: dict[str, list[list[str]]] = {
    "demo": [["--nothing"]],
    "run": [
        ["--rule", "medain", *ONE_ROUND],
        ["--attack", "none", *ONE_ROUND],
        ["--data", "fashion-mnsit"],
        ["--model", "liner"],
        ["--partition", "idd"],
        ["--algorithm", "gradeint"],
        ["--server", "sgb"],
        ["--config", "none.toml"],
        ["--clients", "none"],
        ["--byzantine", "99"],
        ["--data", "mnist", "--data-path", "nowhere"],
        ["--log", "tensorbord", *ONE_ROUND],
    ],
    "sweep": [["signguard-tabel1"], ["none.toml"], ["signguard-table1", "--profile", "shrot", "--dry-run"]],
    "choose": [
        ["--rule", "medain"],
        ["--attack", "alei"],
        ["--byzantine", "0"],
        ["--byzantine", "25"],
        ["--f", "twcie"],
        ["--config", "none.toml"],
    ],
    "redteam": [["--rule", "medain"], ["--rule", "mean", "--attack", "none"], ["--rule", "mean", "--byzantine", "0"]],
    "aggregate": [
        ["nowhere", "--rule", "median", "-o", "out.npz"],
        [".", "--rule", "medain", "-o", "out.npz"],
        [".", "--rule", "median", "-o", "no/out.npz"],
        [".", "--rule", "median", "-o", "out.npz", "--report", "no/page.html"],
    ],
    "audit": [["nowhere"], [".", "--rule", "medain"], [".", "--report", "no/page.html"]],
    "report": [
        ["nowhere"],
        ["nofile.jsonl"],
        [".", "--sweep", "signguard-tabel1"],
        ["text.txt"],
        ["text.txt", "-o", "no/page.html"],
        ["nowhere", "-o", "page.doc"],
    ],
    "watch": [["text.txt"], ["nofile.jsonl", "--once"], ["nofile.jsonl", "--serve", "--json"]],
    "list": [["rulse"]],
    "data list": [["--data-path", "nowhere"]],
    "data show": [
        ["fashion-mnsit"],
        ["mnist", "--data-path", "nowhere"],
        ["fashion-mnist-subset", "--partition", "idd"],
        ["fashion-mnist-subset", "-o", "no/page.html"],
    ],
}
"""What is wrong, by command."""

LINES = {
    f"{command}: {' '.join(words)}": [*command.split(), *words] for command, all_ in WRONG.items() for words in all_
}


def commands(group: Group, above: str = "") -> set[str]:
    found = set()
    for name, command in group.commands.items():
        found |= commands(command, f"{name} ") if isinstance(command, Group) else {above + name}
    return found


def test_every_command_is_here() -> None:
    whole = get_command(app)
    assert isinstance(whole, Group)
    assert commands(whole) == WRONG.keys()


@pytest.mark.parametrize("line", list(LINES))
def test_what_is_asked_for_and_cannot_be_ends_in_2_and_leaves_nothing_behind(line: str) -> None:
    Path("text.txt").write_text("text\n")
    done = CliRunner().invoke(app, LINES[line])
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "please report it" not in done.stderr
    assert [path.name for path in Path().iterdir()] == ["text.txt"]


@pytest.mark.parametrize("word", ["none", "no", "None"])
def test_no_attack_is_what_is_meant_by_none(word: str) -> None:
    done = CliRunner().invoke(app, ["run", "--attack", word])
    assert f"unknown attack {word!r}; did you mean 'no-attack'? Valid names: no-attack, " in " ".join(
        done.stderr.split()
    )


def test_a_folder_that_is_not_there_is_named_before_the_work() -> None:
    done = CliRunner().invoke(app, ["report", "nowhere", "-o", "no/such/page.html"])
    assert done.stderr == "Error no/such/page.html: there is no folder no/such; make it first\n"


def test_an_audit_that_is_not_there_is_no_folder() -> None:
    done = CliRunner().invoke(app, ["report", "nofile.jsonl"])
    assert "nofile.jsonl: no such file; give the audit that RobustFedAvg(audit=...) wrote" in done.stderr


def test_what_fails_at_work_ends_in_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "full")

    monkeypatch.setattr("fedward.cli.commands.execute", fails)
    done = CliRunner().invoke(app, ["run", *ONE_ROUND])
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith("Error full: No space left on device (in fails, ")
