"""A share in whole per cent: 0 and 100 are never and always, everywhere."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from fedward.cli import display
from fedward.cli.watching import standing_shown
from fedward.report import write_report
from fedward.report.following import FederationStanding, read_from
from fedward.report.pieces import per_cent
from fedward.report.series import share_text, whole_per_cent
from tests.report.test_audit_page import node, rows, write


@pytest.mark.parametrize(
    ("part", "of", "told"),
    [
        (0, 300, 0),
        (1, 300, 1),
        (150, 300, 50),
        (299, 300, 99),
        (300, 300, 100),
        (1, 8, 12),
        (0.0, 1.0, 0),
        (1e-9, 1, 1),
    ],
)
def test_only_none_and_all_are_0_and_100(part: float, of: float, told: int) -> None:
    assert int(whole_per_cent(part, of)) == told
    assert share_text(part, of) == f"{told}%"
    assert per_cent(part / of, 0) == f"{told}%"
    assert display.percent(part / of, 0) == f"{told} %"
    assert whole_per_cent(np.array([part]), np.array([of])).tolist() == [told]


@pytest.mark.parametrize("share", [float("nan"), float("inf")])
def test_what_is_no_number_is_no_share(share: float) -> None:
    assert share_text(share) == share_text(share, share) == share_text(1, share) == "\u2013"
    for digits in (0, 2):
        assert per_cent(share, digits) == per_cent(None, digits)
        assert display.percent(share, digits) == "-"


def federation(folder: Path) -> Path:
    """Of 300 rounds a is accepted in all but one, b in one alone, c in all."""
    lines = []
    for number in range(1, 301):
        verdicts = {"a": number != 7, "b": number == 7, "c": True}
        nodes = [node(i, name, "accepted" if ok else "far") for i, (name, ok) in enumerate(verdicts.items(), 1)]
        lines.append({"round": number, "nodes": nodes})
    return write(folder / "audit.jsonl", *lines)


def test_a_node_that_was_dropped_once_is_not_always_accepted(tmp_path: Path) -> None:
    file = federation(tmp_path)
    page = write_report([file], tmp_path / "page.html", title="It").read_text(encoding="utf-8")
    assert {name: cells[1] for name, cells in rows(page).items()} == {
        "a": "299 99%",
        "b": "1 1%",
        "c": "300 100%",
    }
    standing = FederationStanding()
    standing.take(read_from(file))
    console = Console(file=io.StringIO(), width=120)
    console.print(standing_shown(standing, 40))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    for name, share in {"a": "99%", "b": "1%", "c": "100%"}.items():
        assert re.search(rf"\b{name} +\d+ +{share}", shown), shown
