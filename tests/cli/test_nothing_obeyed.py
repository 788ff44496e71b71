"""A terminal obeys nothing that a stranger has written, wherever a name of theirs comes into what is said."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from shutil import copytree
from types import SimpleNamespace
from typing import cast

import pytest
from rich.console import Group
from rich.panel import Panel
from rich.table import Column, Table
from rich.text import Text
from typer.testing import CliRunner

from fedward.cli import display
from fedward.cli.app import app
from fedward.cli.progress import JobsProgress, RunProgress, SweepProgress
from fedward.cli.sweep_end import sweep_table
from fedward.cli.terminal import harmless, say_error
from fedward.experiments.pool import Failed
from fedward.experiments.spec import make_spec
from fedward.report.parents import unfolded
from fedward.sim import Record
from fedward.sweeps import Sweep, plan, read_sweep
from tests.audit.conftest import twelve
from tests.report.runs import write_run
from tests.report.sweeps import made_up

FORGED = "a\x1b[1A\x1b[2Kall fine\x07\u202e\x9b2K"
"""Up a line, which is wiped, and what stands there instead; a bell, text that runs backwards, an escape in one byte."""


def obeyed(text: str) -> bool:
    return any(sign in text for sign in ("\x1b", "\x07", "\x9b", "\u202e", "\r"))


def test_what_is_said_has_codes_in_place_of_what_is_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    display.say(f"1\n2 {FORGED}\r")
    display.say(FORGED, display.err)
    say_error(f"1\n2 {FORGED}")
    told = capsys.readouterr()
    assert not obeyed(told.out)
    assert not obeyed(told.err.replace("\x1b[31m\x1b[1mError\x1b[0m", ""))
    assert told.out == f"1\n2 {harmless(FORGED)}\\r\n"
    assert harmless("Zürich ± 30 … 東京 [bold]") == "Zürich ± 30 … 東京 [bold]"


Shown = Callable[[], str]


@pytest.fixture(params=["piped", "terminal"])
def shown(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Shown:
    """What both consoles have written. On a terminal they have sequences of their own, which colour and move."""
    terminal = request.param == "terminal"
    monkeypatch.setenv("TERM", "xterm")
    streams = [StringIO(), StringIO()]
    for console, stream in zip((display.out, display.err), streams, strict=True):
        monkeypatch.setattr(console, "_file", stream)
        monkeypatch.setattr(console, "_force_terminal", terminal)
        monkeypatch.setattr(console, "_width", 120)

    def read() -> str:
        text = "".join(map(StringIO.getvalue, streams))
        assert "a\x1b" not in text
        assert "fine\x07" not in text
        return re.sub(r"\x1b\[[\d;?]*[mlhAK]|\r|^\x07", "", text) if terminal else text

    return read


def test_tables_have_codes_in_place_of_what_is_obeyed(shown: Shown) -> None:
    data = made_up({"rule": ["mean", "median"], "attack": "alie"})
    rows = [replace(row, group=f"{FORGED}\r") for row in data.rows]
    display.out.print(sweep_table(cast("Sweep", SimpleNamespace(axes=["rule", "attack"])), rows))
    found = shown()
    assert not obeyed(found)
    lines = [line for line in found.splitlines() if "mean" in line or "median" in line]
    assert [harmless(FORGED) in line for line in lines] == [True, True]  # in a column as wide as what is shown
    assert len({line.index("alie") for line in lines}) == 1


def test_whatever_is_printed_has_codes_in_place_of_what_is_obeyed(shown: Shown) -> None:
    table = Table(Column(FORGED), title=FORGED, caption=FORGED)
    table.add_row(Text(FORGED))
    for console in (display.out, display.err):
        console.print(table, Group(FORGED, Text(FORGED), Panel(FORGED, title=FORGED)))
        console.print(FORGED, Text(FORGED), [FORGED], soft_wrap=True)
        console.print("Zürich 東京\n[bold]", style="bold red")
    found = shown()
    assert not obeyed(found)
    assert found.count("Zürich 東京\n[bold]\n") == 2


def test_bars_have_codes_in_place_of_what_is_obeyed(shown: Shown) -> None:
    jobs = JobsProgress({Path("a"): (FORGED, 10), Path("b"): (f"{FORGED}\nb", 10)})
    with jobs:
        jobs({Path("a"): 5, Path("b"): 5})
        jobs.follow(Path("a"), FORGED, 6)
    with RunProgress(make_spec({"rounds": 3})) as run:
        run(Record(round=3, accuracy=0.5, accepted=(True, False), reasons={1: FORGED}, honest_accepted=1.0))
    found = shown()
    assert not obeyed(found)
    assert "(1 a\\x1b[1A\\x1b[2Kall fine" in found
    assert not any(line.startswith("b ") for line in found.splitlines())  # a title is one line


def test_lines_of_a_sweep_have_codes_in_place_of_what_is_obeyed(shown: Shown, tmp_path: Path) -> None:
    file = tmp_path / "it.toml"
    group = json.dumps(FORGED)
    file.write_text(
        'data = "fashion-mnist-subset"\nmodel = "linear"\nclients = 4\nbyzantine = 0\nrounds = 2\n'
        f'[[runs]]\ngroup = {group}\nrule = ["mean", "median"]\n',
        encoding="utf-8",
    )
    planned = plan(read_sweep(file), tmp_path / "out")
    with SweepProgress(planned, 1) as sweep:
        for place in planned.jobs():
            sweep.done(place, Failed(why="no"))
    found = shown()
    assert not obeyed(found)
    assert found.count(harmless(FORGED)) == 2


def test_a_folder_of_runs_says_names_as_codes(tmp_path: Path) -> None:
    for name in ("one", "two", FORGED, "b\nError all is well"):
        (write_run(tmp_path / "runs" / name) / "run.json").write_text("{", encoding="utf-8")
    write_run(tmp_path / "runs" / "good")
    done = CliRunner().invoke(app, ["report", str(tmp_path / "runs"), "-o", str(tmp_path / "table.md")])
    assert done.exit_code == 0, done.output
    assert not obeyed(done.output)
    assert "\nError all is well" not in done.output
    assert done.stderr.count("Left out") == 4


def test_sweeps_and_audits_below_a_folder_are_named_as_codes(tmp_path: Path) -> None:
    sweep = tmp_path / "it" / f"{FORGED}\nb"
    sweep.mkdir(parents=True)
    (sweep / "sweep.json").write_text("{}", encoding="utf-8")
    copytree(sweep, tmp_path / "it" / "other")
    note = unfolded(tmp_path / "it").note
    assert "holds 2 sweeps" in note
    assert note == harmless(note).replace("\n", "")


def test_a_file_that_holds_no_model_is_named_as_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    updates = twelve(tmp_path)
    (updates / f"{FORGED}\nb.txt").write_text("no model", encoding="utf-8")
    done = CliRunner().invoke(app, ["audit", "updates", "--base", "base.safetensors"])
    assert "no models, and left out: a\\x1b[1A" in done.stdout
    assert not obeyed(done.output)
    assert "\nb.txt" not in done.stdout
