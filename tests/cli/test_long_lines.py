"""No line of the command line is longer than anybody reads."""

from __future__ import annotations

import pytest

from fedward.cli import display
from fedward.cli.terminal import LONGEST, say_error, shortened
from tests.cli.test_cli import failure


def test_long_lines_are_cut_and_short_ones_beside_them_stay(capsys: pytest.CaptureFixture[str]) -> None:
    assert LONGEST < 2_000
    assert shortened("x" * LONGEST) == "x" * LONGEST
    assert shortened("short\n" + "x" * 9_000) == f"short\n{'x' * LONGEST}... (9,000 characters)"
    say_error("y" * 1_000_000)
    display.say("z" * 1_000_000)
    told = capsys.readouterr()
    assert all(len(line) < 2_000 for line in (told.out + told.err).splitlines())
    assert "(1,000,000 characters)" in told.out
    assert "(1,000,000 characters)" in told.err


def test_an_error_has_no_colour_where_nobody_wants_any(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    say_error("wrong")
    assert capsys.readouterr().err == "Error wrong\n"


def test_what_was_typed_comes_back_cut() -> None:
    assert len(failure("run", "--rule", "k" * 100_000)) < 2_000
    assert len(failure("choose", "--rule", "krum:f=1,what=" + "9" * 100_000)) < 2_000
    assert len(failure("run", "--partition", ">>".join(["a"] * 5_000))) < 2_000
