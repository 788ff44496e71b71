"""A plain function that decides on clients' files says nothing of single ones, and nobody says it in its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.audit.test_aggregate_says import row, run

OWN = "def middle(G):\n    return G.median(0).values\n"


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("own_middle.py").write_text(OWN)
    Path("clients").mkdir()
    torch.manual_seed(0)
    for number in range(7):
        sent = torch.randn(40) + (100 if number == 6 else 0)
        if number == 5:
            sent[0] = torch.nan
        torch.save({"w": sent}, f"clients/c{number}.pt")


def test_who_was_given_is_not_judged_and_who_was_excluded_is_dropped() -> None:
    words = ("aggregate", "clients", "--rule", "own_middle:middle", "-o", "a.pt", "--json", "--report", "p.html")
    told = json.loads(run(*words))
    assert told["accepted"] == [None] * 5 + [False, None]
    assert told["reasons"] == ["not-judged"] * 5 + ["nonfinite", "not-judged"]
    panel = told["panel"]
    assert [client["accepted"] for client in panel["clients"]] == told["accepted"]
    assert any("was given c6, whom the panel suspects" in note for note in panel["notes"])
    page = Path("p.html").read_text()
    assert "1 dropped, 6 not judged" in page
    assert "agrees" not in row(page, "c0")
    assert "<b>accepts it</b>" in row(page, "c0")
    assert "<b>suspects it</b>" in row(page, "c6")
