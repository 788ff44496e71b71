"""Few clients: two are not judged, of three and four it is said how little that is worth; counts have one sum."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from fedward.cli.app import app

from .conftest import base_model

BASED = ("--base", "base.safetensors")


def audited(*arguments: object) -> tuple[int, dict[str, Any], str]:
    done = CliRunner().invoke(app, ["audit", *map(str, arguments), *BASED, "--json", "--report", "p.html"])
    return done.exit_code, json.loads(done.stdout), Path("p.html").read_text()


def scaled(path: Path, factor: float) -> Path:
    base = base_model()
    out = path.with_name(f"{path.stem}-scaled.safetensors")
    save_file({name: base[name] + factor * (t - base[name]) for name, t in load_file(path).items()}, out)
    return out


@pytest.mark.parametrize("factor", [1.0, -1.0, 10.0, 1000.0])
def test_two_clients_are_not_judged_whatever_one_of_them_sent(updates: Path, factor: float) -> None:
    files = [updates / "client-0.safetensors", scaled(updates / "client-1.safetensors", factor)]
    for options in ((), ("--votes", 1)):
        status, found, page = audited(*files, *options)
        assert status == 3
        assert {client["reason"] for client in found["clients"]} == {"not-judged"}
        assert "of 2 usable clients none stands apart" in found["clients"][0]["detail"]
        assert "2 not judged" in page
    # A rule that somebody names is taken at its word.
    assert audited(*files, "--rule", "median")[0] == 0


def test_of_three_and_four_it_is_said_and_who_is_suspected_by_one_rule(updates: Path) -> None:
    files = [updates / f"client-{k}.safetensors" for k in (0, 3, 7)]  # of whom two lie
    _, found, page = audited(*files)
    note = next(note for note in found["notes"] if note.startswith("the panel can hardly judge 3 usable clients"))
    suspected = [client["id"] for client in found["clients"] if client["accepted"] and client["votes"]]
    assert "client-7" in suspected
    assert all(f"{name} (" in note for name in suspected)
    assert escape(note) in page
    honest = [updates / f"client-{k}.safetensors" for k in (0, 1, 2, 4, 9)]
    assert any("can hardly judge 4" in note for note in audited(*honest[:4])[1]["notes"])
    assert not any("can hardly judge" in note for note in audited(*honest)[1]["notes"])


def test_votes_are_of_the_rules_that_could_decide_everywhere(updates: Path) -> None:
    files = [updates / f"client-{k}.safetensors" for k in (0, 1, 2, 7)]
    _, found, page = audited(*files)
    assert sum(bool(rule["refused"]) for rule in found["panel"]) == 1
    assert (
        "suspected by 3 of 4" in found["clients"][3]["detail"] or "suspected by 2 of 4" in found["clients"][3]["detail"]
    )
    table = page.split("<h2>Clients</h2>")[1].split("</table>")[0]
    assert ">0 of 4<" in table
    assert "of 5" not in page.split("<h2>Who suspects whom</h2>")[0]
    printed = CliRunner().invoke(app, ["audit", *map(str, files), *BASED]).stdout
    assert "0 of 4" in printed
    assert "of 5" not in printed
