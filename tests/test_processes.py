"""Tests that fail leave no process behind, and their failure is their own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.processes import started, until

ALONE = {"processes.py", "browser.py"}
SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]


def test_a_process_ends_with_its_block_however_that_ends() -> None:
    with pytest.raises(KeyError), started(SLEEP) as process:
        raise KeyError
    assert process.returncode is not None


def test_one_that_says_nothing_more_is_not_waited_for() -> None:
    with started(SLEEP, patience=3.0, stdout=-1, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.read() in ("up\n", "")
    assert process.returncode is not None


def test_what_never_comes_true_fails_with_what_is_said() -> None:
    until(lambda: True)
    with pytest.raises(AssertionError, match=r"nothing within 0\.1 s of what was asked"):
        until(lambda: False, lambda: "of what was asked", patience=0.1)


def test_no_test_starts_a_process_that_may_outlive_it() -> None:
    files = Path(__file__).parent.rglob("*.py")
    starting = {file.name for file in files if "Popen" + "(" in file.read_text(encoding="utf-8")}
    assert starting == ALONE
