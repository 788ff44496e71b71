"""Every bad input of the table is a verdict on its client, or an error about the base; the others go on."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "bad_inputs.py"))
PAGE = (ROOT / "docs" / "evidence" / "bad-inputs.md").read_text(encoding="utf-8")


def test_there_are_enough_of_them() -> None:
    assert len(SCRIPT["CLIENTS"]) + len(SCRIPT["BASES"]) >= 60


@pytest.mark.skipif(sys.platform == "win32", reason="FIFOs and sockets are files on POSIX systems alone")
@pytest.mark.parametrize("kind", ["CLIENTS", "BASES"])
def test_what_comes_back_is_what_the_table_says(kind: str, tmp_path: Path) -> None:
    wrong = []
    for name, (expected, make) in SCRIPT[kind].items():
        came = SCRIPT["tried"](name, expected, make, is_base=kind == "BASES")
        if came.found != expected or not came.why or f"| {name} | {expected} | " not in PAGE:
            wrong.append((name, came.found, expected, came.why))
        assert "Traceback" not in came.why
        assert came.why.isprintable(), came
    assert wrong == []
    assert not SCRIPT["MARK"].exists()
