"""Names of clients may be long: the table folds them, and has every verdict and figure all the same."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from rich.console import Console
from typer.testing import CliRunner

from fedward.cli import audits, display
from fedward.cli.app import app
from fedward.core import Reason, Result

from .conftest import EXPECTED

if TYPE_CHECKING:
    from fedward.audit import ClientAudit


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


VERDICTS = sorted((reason.value for reason in Reason), key=len)


@pytest.mark.parametrize("length", [9, 50, 150])
@pytest.mark.parametrize("width", [80, 60])
def test_a_verdict_is_never_broken(length: int, width: int) -> None:
    """The longest ones, beside long names and whoever suspects them all."""
    assert len(VERDICTS[-1]) >= len("direction-outlier")
    names = [f"{number}".rjust(length, "h") for number in range(len(VERDICTS))]
    ideas = ["norm", "direction", "sign", "neighbours", "spectral"]
    evidence = SimpleNamespace(ids=names, norms=[1234.5] * len(names), to_median=[-0.55] * len(names))
    found = {"names": names, "reasons": VERDICTS, "accepted": [False] * len(names), "votes": [5] * len(names)}
    asked = {"heard": len(ideas), "suspected_by": lambda _: ideas, "is_judged": lambda _: True}
    audit = SimpleNamespace(**found, **asked, evidence=evidence)
    scores = {name: [0.123456] * len(names) for name in ("norm", "sign_similarity", "angle")}
    result = SimpleNamespace(**found, ids=names, weights=[0.1] * len(names), scores=scores)
    for table in (audits._audit_table(cast("ClientAudit", audit)), audits._result_table(cast("Result[Any]", result))):
        console = Console(width=width, file=StringIO())
        console.print(table)
        text = cast("StringIO", console.file).getvalue()
        assert all(len(line) <= width for line in text.splitlines())
        assert [line for line in text.split() if line in VERDICTS] == VERDICTS
