"""The table of docs/evidence/bounds.md has every case, and none beyond its bound; a few are measured again."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "bounds.py"))
LINES = SCRIPT["PAGE"].read_text(encoding="utf-8").split("|---|---|---:|---:|\n")[1].splitlines()
ROWS = [line.strip("| ").split(" | ") for line in LINES]
TABLE = {name: (found, float(seconds), float(mib)) for name, found, seconds, mib in ROWS}


def test_every_case_is_there_and_within_its_bound() -> None:
    inputs = SCRIPT["bad_inputs"]
    kinds = {
        "client": inputs.CLIENTS,
        "base": inputs.BASES,
        "data": SCRIPT["BOMBS"],
        "TOML": SCRIPT["TOML"],
        "line": {**SCRIPT["REFUSED"], **SCRIPT["DONE"]},
    }
    assert set(TABLE) == {f"{kind}: {name}" for kind, known in kinds.items() for name in known}
    assert all(seconds <= SCRIPT["SECONDS"] for _, seconds, _ in TABLE.values())
    assert all(mib <= SCRIPT["MEMORY"] >> 20 for _, _, mib in TABLE.values())


@pytest.mark.parametrize("name", ["clients", "nested", "iterations"])
def test_it_takes_no_more_than_it_did(name: str) -> None:
    case = SCRIPT["of_line"](f"line: {name}", "refused", SCRIPT["REFUSED"][name][0])
    assert case.wrong() is None
    assert case.ended.bytes / 2**20 < TABLE[f"line: {name}"][2] + 64
