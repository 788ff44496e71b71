"""Help: fits any terminal, shows defaults that are the true ones, and examples that can be pasted."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from typer.testing import CliRunner

from fedward import published
from fedward.cli import app as cli
from fedward.cli import commands
from fedward.cli.helping import EXAMPLES, default_of, help_lines, panels, paragraphs
from fedward.experiments.servers import SERVER_KEYS
from fedward.experiments.spec import RunSpec, make_spec
from fedward.registry.notation import parse
from tests.cli.test_options import COMMANDS, GROUP

ALL: dict[str, Any] = {"": GROUP, "data": GROUP.commands["data"], **COMMANDS}


def examples_of(command: Any) -> tuple[str, ...]:
    return tuple(line for part in paragraphs(command) if part.heading == EXAMPLES for line in part.lines)


def context(name: str) -> click.Context:
    return click.Context(ALL[name], info_name=f"fedward {name}".strip(), help_option_names=["-h", "--help"])


def helped(name: str, columns: int = 80) -> list[str]:
    return list(help_lines(ALL[name], context(name), columns))


# --- its look -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
@pytest.mark.parametrize("name", list(ALL))
def test_help_fits(name: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    lines = helped(name, columns)
    shown = {f"  {line}" for line in examples_of(ALL[name])}
    status = [line for line in lines if re.match(r"  \d+ +", line)]
    for line in lines:
        assert len(line) <= 80 if columns >= 80 and line in shown else True, line
        assert len(line) <= columns or line in shown or line in status or " " not in line.strip(), line
        assert "…" not in line
        assert line == line.rstrip()
        assert line.count("`") % 2 == 0  # what can be pasted stands in one line


@pytest.mark.parametrize("name", list(ALL))
def test_help_in_a_pipe_is_plain_and_always_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    words = [*name.split(), "--help"]
    first, second = (CliRunner().invoke(cli.app, words, prog_name="fedward") for _ in range(2))
    assert first.exit_code == 0
    assert first.output == second.output
    assert first.output.replace("\n", "").isprintable()
    monkeypatch.setenv("NO_COLOR", "1")
    assert first.output.split() == "\n".join(helped(name)).split()


def test_colours_are_for_those_who_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[" in CliRunner().invoke(cli.app, ["run", "--help"], color=True).output
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in CliRunner().invoke(cli.app, ["run", "--help"], color=True).output


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_option_stands_in_a_panel_and_is_explained(name: str) -> None:
    found = panels(ALL[name], context(name))
    assert [line.names for line in found["Other options"]] == ["-h, --help"]
    assert all(line.told for lines in found.values() for line in lines)
    assert list(found)[-1] == "Other options"


def test_every_command_stands_in_a_panel() -> None:
    assert "Commands" not in panels(GROUP, context(""))


# --- what it says is true -------------------------------------------------------------------------------------


def shown_defaults(name: str) -> dict[str, str]:
    return {str(param.name): default_of(param) for param in ALL[name].params if param.name in RunSpec.model_fields}


@pytest.mark.parametrize("name", ["run", "redteam", "choose"])
def test_defaults_are_those_of_the_specification(name: str) -> None:
    usual = {} if name == "run" else commands.RED_TEAM
    told = shown_defaults(name)
    for key in set(told) - {"data_path", *SERVER_KEYS, "rule", "attack", "root_apart"}:
        default = usual.get(key, RunSpec.model_fields[key].default)
        if (name, key) == ("choose", "partition"):
            default = "iid, and dirichlet:alpha=0.5"
        assert told[key] in (str(default), f"{default:g}" if isinstance(default, float) else ""), key


def test_defaults_of_the_server_are_those_that_it_has() -> None:
    told = shown_defaults("run")
    for key in SERVER_KEYS:
        gradients, deltas = re.findall(r"([\d.]+) for (?:gradients|deltas)", told[key])
        for text, algorithm in ((gradients, "gradient"), (deltas, "local-sgd:steps=2")):
            given = {"algorithm": algorithm, "data": "fashion-mnist-subset"}
            assert make_spec({**given, key: float(text)}).name() == make_spec(given).name(), key
            assert make_spec({**given, key: float(text) / 2 + 0.01}).name() != make_spec(given).name(), key
    assert shown_defaults("redteam")["lr"] == str(commands.RED_TEAM["lr"])
    assert shown_defaults("run")["root_apart"] == "no-root-apart"
    assert RunSpec.model_fields["root_apart"].default is False
    assert (shown_defaults("run")["rule"], shown_defaults("run")["attack"]) == (RunSpec().rule, RunSpec().attack)


@pytest.mark.parametrize("name", list(ALL))
def test_a_switch_says_how_it_stands(name: str) -> None:
    lines = " ".join(helped(name)).split()
    for param in ALL[name].params:
        if param.secondary_opts and not param.hidden:
            off = param.secondary_opts[0].removeprefix("--")
            assert default_of(param) == off.removeprefix("no-" if param.default else ""), param.name
            assert f"{default_of(param)}]" in lines, param.name


# --- its examples ---------------------------------------------------------------------------------------------


def shown_examples() -> Iterator[tuple[str, str]]:
    for name, command in ALL.items():
        for line in examples_of(command):
            yield name, line


@pytest.mark.parametrize(("name", "line"), list(shown_examples()))
def test_an_example_is_a_command_line(name: str, line: str) -> None:
    program, *words = shlex.split(line)
    assert program == "fedward"
    if words[-1] in ("--help", "--install-completion"):
        return
    command: Any = GROUP
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    with command.make_context("fedward", words) as ctx:
        given = ctx.params
    for key, kind in {"rule": "rule", "attack": "attack", "partition": "partition"}.items():
        for text in [given[key]] if isinstance(given.get(key), str) else given.get(key) or ():
            assert text.startswith("my.") or parse(text, kind, f=1, num_partitions=4)
    if "what" in given:
        assert given["what"] in (*published.names(), "rules", "attacks", "published", "mine.toml")


@pytest.mark.parametrize("name", list(ALL))
def test_every_command_has_examples(name: str) -> None:
    assert 2 <= len(examples_of(ALL[name])) <= 4


def test_an_example_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    line = examples_of(ALL["run"])[0].replace("--rounds 50", "--rounds 1")
    result = CliRunner().invoke(cli.app, shlex.split(line)[1:])
    assert result.exit_code == 0, result.output
    assert list(Path("runs").iterdir())
