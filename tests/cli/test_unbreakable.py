"""What an unlucky user types ends in a sentence, soon and in little memory: no traceback, no hang, no silence."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.progress import Progress
from typer.testing import CliRunner

from fedward.cli import display, progress
from fedward.cli.app import app
from fedward.cli.terminal import never_failing
from fedward.experiments.spec import SpecError, make_spec
from fedward.registry.notation import parse
from tests.cli.odd_lines import DONE, REFUSED, TOML, run
from tests.fuzz.forked import CRASHES, command
from tests.fuzz.mutations import in_time

SECONDS = 60  # on a busy machine; each takes a fifth of a second on an idle one, with training two
MEMORY = 1 << 30


def typed(words: list[str]) -> tuple[int, str]:
    """The exit status of a command line and all that was said, in this process: only what trains needs its own.

    What each takes of memory and time is measured by scripts/bounds.py, in processes.
    """
    with in_time(SECONDS):
        result = CliRunner().invoke(app, words)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert not any(text in result.output for text in CRASHES)
    return result.exit_code, " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize("case", list(REFUSED))
def test_what_cannot_be_is_said(case: str, tmp_path: Path) -> None:
    words, said = REFUSED[case]
    status, told = typed(words)
    assert status == 2
    assert said in told
    assert len(told) < 10_000
    assert not list(tmp_path.rglob("*.part*"))


@pytest.mark.parametrize("case", list(TOML))
def test_what_stands_in_a_configuration_is_no_harm(case: str, tmp_path: Path) -> None:
    text, said = TOML[case]
    (tmp_path / "run.toml").write_text(text)
    status, told = typed(["run", "--config", "run.toml"])
    assert status == 2
    assert said in told
    assert len(told) < 10_000


def test_pipes_are_no_configuration(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "run.toml")
    assert "is a FIFO, not a regular file" in typed(["run", "--config", "run.toml"])[1]


@pytest.mark.parametrize("case", list(DONE))
def test_what_can_be_done_is_done(case: str, tmp_path: Path) -> None:
    ended = command(DONE[case], tmp_path, seconds=SECONDS, memory=2 << 30 if "folders" not in case else 1 << 40)
    assert (ended.status, ended.late, ended.crashed) == (0, False, False), ended.said
    if "markup" in case:
        assert "o/[/x]" in ended.said
        assert (tmp_path / "o" / "[").is_dir()


# --- the places where text is printed -------------------------------------------------------------------------


def test_names_are_never_markup(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is shown passes through one of two consoles, and neither knows any markup."""
    for console in (display.out, display.err):
        console.print("[/x] [bold] :smile:", highlight=False)
    captured = capsys.readouterr()
    assert captured.out == captured.err == "[/x] [bold] :smile:\n"
    jobs = progress.JobsProgress({Path("[/x]"): ("[/x] under [red]", 3)})
    bar: Progress = jobs._bar
    display.out.print(bar.make_tasks_table(bar.tasks))
    assert "[/x] under [red]" in capsys.readouterr().out


def test_no_other_console_prints() -> None:
    """A console or a table with markup of its own would be a second place."""
    for file in Path(display.__file__).parent.glob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert "Text.from_markup" not in text
        assert text.count("Console(") == {"display.py": 2, "consoles.py": 1}.get(file.name, 0), file
        assert text.count("HarmlessConsole(") == text.count("Console("), file
        assert "rich.print" not in text
        assert "TextColumn(" not in text, file
        given = text.count('HarmlessColumn("{task.description}", markup=False')
        assert given == text.count("HarmlessColumn(") - (file.name == "consoles.py"), file


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full to write to")
def test_progress_that_cannot_be_written_ends_no_run(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "fedward", *run(out="run", evaluate_every="1", rounds="2")]
    with open("/dev/full", "w") as full:
        ended = subprocess.run(words, cwd=tmp_path, stderr=full, stdout=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 0
    assert "2 rounds" in ended.stdout
    assert (tmp_path / "run" / "checkpoint.pt").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full to write to")
@pytest.mark.parametrize("words", [["--version"], ["--help"], ["report", "--help"], ["list", "rules"]])
@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_what_cannot_be_written_is_a_sentence(words: list[str], unbuffered: str) -> None:
    env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "fedward", *words]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=env)
    assert (ended.returncode, ended.stderr) == (1, "Error No space left on device\n")


class Full(io.BytesIO):
    def write(self, data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_stream_that_fails_is_written_to_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(Full(), encoding="utf-8")  # which closes what it writes to when nobody has it any longer
    full: Any = never_failing(stream)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", full)
        for _ in range(5000):
            typer.echo("progress", err=True)
        full.flush()
    assert never_failing(None) is None


# --- values -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["seed", "clients", "byzantine", "lr", "rounds", "data", "rule", "dropout"])
@pytest.mark.parametrize("value", [True, False])
def test_a_flag_is_no_value(key: str, value: bool) -> None:
    with pytest.raises(SpecError, match=f"{key}: it is no flag"):
        make_spec({key: value})


def test_what_is_nested_to_a_useful_depth_is_read() -> None:
    text = "class-wise:base=(clip-norm:radius=median >> " * 4 + "krum:f=1" + ")" * 4
    assert parse(text, "rule").traits()
    parse("groups:attacks=(" + " | ".join(["alie:z=1.5"] * 500) + ")", "attack")
    table: Any = {"name": "krum", "f": 1}
    for _ in range(60):
        table = {"name": "class-wise", "base": table}
    with pytest.raises(ValueError, match="a table is nested more than 50 deep"):
        parse(table, "rule")
