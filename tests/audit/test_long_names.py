"""Names of clients may be long: the table folds them, and has every verdict and figure all the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedward.cli import display
from fedward.cli.app import app

from .conftest import EXPECTED


def cells(text: str) -> list[list[str]]:
    """The table's first two columns, folded lines taken together, and what else stands in each row's first line."""
    lines = text.splitlines()
    rule = next(i for i, line in enumerate(lines) if set(line.strip()) == {"─"})
    second = lines[rule - 1].index("verdict")
    third = re.search(r"\S", lines[rule - 1][second + len("verdict") :])
    assert third is not None
    found: list[list[str]] = []
    for line in lines[rule + 1 :]:
        if line.startswith("norm"):
            break
        name, verdict, rest = line[:second].strip(), line[second : second + 15].strip(), line[second + 15 :].strip()
        if verdict:
            found.append([name, verdict, rest])
        elif name:
            found[-1][0] += name
    return found


@pytest.mark.parametrize("length", [9, 50, 60, 150])
def test_long_names_take_no_verdict_away(updates: Path, monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    monkeypatch.setattr(display.out, "width", 80)
    names = {}
    for file in updates.iterdir():
        names[file.stem] = "h" * (length - len(file.stem)) + file.stem
        file.rename(file.with_name(names[file.stem] + file.suffix))
    expected = sorted([names[name], verdict] for name, verdict in EXPECTED.items())
    done = CliRunner().invoke(app, ["audit", "updates", "--base", "base.safetensors"])
    found = cells(done.stdout)
    assert sorted(row[:2] for row in found) == expected, done.stdout
    judged = [rest for _, verdict, rest in found if verdict not in ("malformed", "nonfinite")]
    assert all(re.match(r"\d of 5 +[\d.]+ +-?[\d.]+", rest) for rest in judged), done.stdout
    words = ["--base", "base.safetensors", "--rule", "sign-guard", "-o", "new.safetensors"]
    done = CliRunner().invoke(app, ["aggregate", "updates", *words])
    found = cells(done.stdout)
    assert sorted(row[:2] for row in found) == expected, done.stdout
    assert all(re.match(r"\d\.\d{4}", rest) for *_, rest in found), done.stdout
