"""A terminal obeys nothing that a stranger has written, wherever a name of theirs comes into what is said."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree

import pytest
from typer.testing import CliRunner

from fedward.cli import display
from fedward.cli.app import app
from fedward.cli.terminal import harmless, say_error
from fedward.report.parents import unfolded
from tests.audit.conftest import twelve
from tests.report.runs import write_run

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
