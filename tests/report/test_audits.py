"""Audits of federations as runs that a report can show."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedward.report import ReportError
from fedward.report.audits import load_audit
from fedward.sim import Record


def node(number: int, reason: str = "accepted") -> dict[str, Any]:
    return {"node": str(number), "accepted": reason == "accepted", "reason": reason, "weight": None, "scores": {}}


def audit_of(folder: Path, *lines: dict[str, Any]) -> Path:
    file = folder / "audit.jsonl"
    file.write_text("".join(json.dumps({"rule": "krum", "seconds": 0.5, **line}) + "\n" for line in lines))
    return file


def test_an_audit_becomes_the_records_that_a_simulation_has(tmp_path: Path) -> None:
    # The first line is of before lines had a format.
    first = {"round": 1, "skipped": None, "nodes": [node(7), node(30, "far"), node(5, "missing")]}
    second = {"format": 1, "round": 2, "skipped": "too few", "nodes": [node(7, "malformed"), node(30)]}
    audit = load_audit(audit_of(tmp_path, first, second))
    assert audit.who == ("5", "7", "30")
    assert audit.run.records == (
        Record(
            round=1,
            accepted=(None, True, False),
            reasons={2: "far"},
            seconds={"aggregate": 0.5},
        ),
        Record(
            round=2,
            accepted=(None, False, True),
            reasons={1: "malformed"},
            seconds={"aggregate": 0.5},
            skipped="too few",
        ),
    )
    assert audit.notes[-1] == "Rounds that left the model as it was: 1, the first round 2 (too few)."


def test_an_audit_of_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"round 3 is of format 2, but this version of fedward reads format 1; use"):
        load_audit(audit_of(tmp_path, {"format": 2, "round": 3, "nodes": [node(7)]}))


def test_nodes_of_which_none_was_there_before_are_noted(tmp_path: Path) -> None:
    """A simulation that is started anew has nodes of new ids, so that its federation looks twice as large."""
    first, second = ({"round": n, "nodes": [node(7), node(30, "far")]} for n in (1, 2))
    third, fourth = ({"round": n, "nodes": [node(8), node(31, "far")]} for n in (3, 4))
    [note] = load_audit(audit_of(tmp_path, first, second, third, fourth)).notes
    assert note.startswith("From round 3 on there are nodes of other ids alone")
    assert "fedward.flower.name_mod" in note
    assert load_audit(audit_of(tmp_path, first, {**third, "nodes": [node(8), node(30)]})).notes == ()
    # Where few of many nodes are asked, those of one round are none of the next, and come back.
    again = {"round": 4, "nodes": [node(7), node(31)]}
    assert load_audit(audit_of(tmp_path, first, third, again)).notes == ()
    named = [{**third, "nodes": [{**node(8), "name": "clinic-a"}, {**node(31), "name": "clinic-b"}]}]
    assert load_audit(audit_of(tmp_path, first, *named)).notes == ()
