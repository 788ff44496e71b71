"""The page about a federation names nodes, tells who was dropped for what, and never says who is honest."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fedward.report import write_report
from fedward.report.audits import load_audit

HOSTILE = "<script>alert(1)</script>\"'&%{x}\u202e\x1b[31m"


def node(number: int, name: str = "", reason: str = "accepted", **more: Any) -> dict[str, Any]:
    told = {"name": name} if name else {}
    scores = {"norm": 1.0 + number, "trimmed": 0.25}
    return {
        "node": str(number),
        **told,
        "accepted": reason == "accepted",
        "reason": reason,
        "weight": {"accepted": 0.5, "far": 0.0}.get(reason),
        "scores": scores if reason in ("accepted", "far") else {},
        "metrics": {"loss": 2.0 / number, "num-examples": 10.0},
        **more,
    }


def write(file: Path, *lines: dict[str, Any]) -> Path:
    whole = [{"format": 1, "rule": "krum", "seconds": 0.5, "skipped": None, **line} for line in lines]
    file.write_text("".join(json.dumps(line) + "\n" for line in whole))
    return file


def rounds(several: int = 3) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = [{"round": 0, "evaluated": "server", "metrics": {"accuracy": 0.1}}]
    for number in range(1, several + 1):
        nodes = [node(7, "clinic-a"), node(30, "clinic-b", "far", detail="too far"), node(5, reason="missing")]
        lines.append({"round": number, "nodes": nodes})
        lines.append({"round": number, "evaluated": "clients", "metrics": {"accuracy": 0.3}, "nodes": []})
        lines.append({"round": number, "evaluated": "server", "metrics": {"accuracy": 0.25 * number}})
    return lines


def words(page: str) -> str:
    """What a page says, and what its figures say, without its scripts and styles."""
    whole = re.sub(r"<style>.*?</style>|<script>.*?</script>", "", page, flags=re.DOTALL)
    return whole


def rows(page: str) -> dict[str, list[str]]:
    """The cells of the first table by their first one."""
    body = page.partition("<tbody>")[2].partition("</tbody>")[0]
    found = [
        [re.sub(r"<[^>]*>", " ", cell).split() for cell in re.findall(r"<td.*?>(.*?)</td>", line)]
        for line in body.splitlines()
    ]
    return {cells[0][0]: [" ".join(cell) for cell in cells[1:]] for cells in found if cells}


def test_nodes_are_told_by_name_with_reasons_and_shares(tmp_path: Path) -> None:
    page = write_report([write(tmp_path / "audit.jsonl", *rounds())], tmp_path / "page.html").read_text()
    assert rows(page) == {
        "5": ["&ndash;", "0", "0", "3", "&ndash;", "&ndash;"],
        "clinic-a": ["&ndash;", "3 100%", "0", "0", "0.500", "25%"],
        "clinic-b": ["far 3 too far", "0 0%", "3", "0", "0.000", "25%"],
    }
    assert "Last, after round 3, by the server: accuracy 0.75." in page
    for figure in ("audit-1-map", "audit-1-found-0", "audit-1-score-0", "audit-1-said-0"):
        assert f'id="{figure}"' in page


def test_nobody_is_called_honest(tmp_path: Path) -> None:
    page = write_report([write(tmp_path / "audit.jsonl", *rounds())], tmp_path / "page.html").read_text()
    assert "honest" not in words(page).lower()
    assert "byzantine" not in words(page).lower().replace("byzantine-robust training: report", "")


def test_what_a_node_wrote_is_text(tmp_path: Path) -> None:
    lines = rounds(1)
    bad = node(9, HOSTILE, HOSTILE, accepted=False, detail=HOSTILE, scores={HOSTILE: 1.0}, metrics={HOSTILE: 1.0})
    lines[1]["nodes"].append(bad)
    lines.append({"round": 2, "rule": HOSTILE, "skipped": HOSTILE, "note": HOSTILE, "nodes": [bad]})
    lines.append({"round": 2, "evaluated": "server", "metrics": {HOSTILE: 0.5}})
    page = write_report([write(tmp_path / "audit.jsonl", *lines)], tmp_path / "page.html").read_text()
    assert "<script>alert" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_a_restarted_server_has_the_same_nodes_under_other_ids(tmp_path: Path) -> None:
    first = {"round": 1, "nodes": [node(7, "clinic-a"), node(9, reason="error"), node(30)]}
    second = {"round": 2, "nodes": [node(70, "clinic-a"), node(9, "clinic-b")]}
    audit = load_audit(write(tmp_path / "audit.jsonl", first, second))
    assert audit.who == ("30", "clinic-a", "clinic-b")
    assert audit.ids == {"clinic-a": ("7", "70"), "clinic-b": ("9",), "30": ("30",)}
    assert [record.marks for record in audit.run.records] == ["110", "-11"]


@pytest.mark.parametrize("value", ["Infinity", "NaN", "1e999", "-1e305"])
def test_numbers_that_cannot_be_drawn_are_none(value: str, tmp_path: Path) -> None:
    file = write(tmp_path / "audit.jsonl", *rounds())
    told = file.read_text().replace('"norm": 8.0', f'"norm": {value}')
    file.write_text(told.replace('"weight": 0.5', f'"weight": {value}'))
    write_report([file], tmp_path / "page.html")
    nodes = [node for entry in load_audit(file).rounds for node in entry.nodes if node.node == "7"]
    assert [(node.scores["norm"], node.weight) for node in nodes] == [(None, None)] * 3


def test_rounds_on_record_twice_are_said(tmp_path: Path) -> None:
    audit = load_audit(write(tmp_path / "audit.jsonl", *rounds(2), *rounds(1)))
    assert "Rounds on record twice, as if of two runs, of which the later line counts: 1." in audit.notes


def test_runs_and_federations_stand_on_one_page(tmp_path: Path) -> None:
    from tests.report.runs import record, write_run

    run = write_run(tmp_path / "run", [record(1, accuracy=0.5)])
    audits = [write(tmp_path / f"{name}.jsonl", *rounds(1)) for name in ("one", "two")]
    page = write_report([*audits, run], tmp_path / "page.html").read_text()
    for part in ("2 federations", "/one: krum", "/two: krum", "Run by run", 'id="audit-2-map"', 'id="run-1"'):
        assert part in page
