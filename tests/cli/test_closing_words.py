"""What a run says at its end of rounds that were skipped or decided beyond a theorem is what its records say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedward.core import BEYOND
from fedward.report.runs import load_run
from fedward.sim import Record
from fedward.sim.record import beyond_theorem, nobody_accepted, why_skipped
from tests.cli.test_cli import QUICK, invoke, records

NEEDS = (
    "Krum(f=4, bound='theorem') needs n >= 2f + 3 = 11 clients (n >= f + 3 = 7 with bound='definition'), got 10 "
    "(f is at most 3)"
)


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def record(number: int, skipped: str | None = None, note: str | None = None) -> Record:
    return Record(round=number, accepted=(True,), skipped=skipped, note=note)


def test_all_reasons_are_told_the_most_frequent_first() -> None:
    assert why_skipped([record(1), record(2)]) is None
    assert why_skipped([record(1, "too few"), record(2), record(3, "too few")]) == "too few"
    several = [record(1, "a"), *(record(k, "b") for k in (2, 3)), record(4)]
    assert why_skipped(several) == "b (2 rounds); a (1 round)"
    many = [record(k, f"reason {k // 2}") for k in range(2, 12)]
    assert why_skipped(many) == "reason 1 (2 rounds); reason 2 (2 rounds); reason 3 (2 rounds); 2 other reasons"


def test_rounds_beyond_a_theorem_are_counted_among_other_notes() -> None:
    noted = [record(1), record(2, note=BEYOND), record(3, note=f"no alarm, {BEYOND}"), record(4, note="no alarm")]
    assert beyond_theorem(noted) == 2


def test_rounds_without_anybody_accepted_are_counted() -> None:
    nobody = Record(round=1, accepted=(False, None))
    assert nobody_accepted([nobody, record(2), record(3, skipped="too few"), nobody]) == 2


def test_a_run_in_which_nobody_was_accepted_says_so() -> None:
    rule = "sign-guard >> de-moa:base=(krum:f=2)"
    run = ["run", *QUICK, "--rounds", "1", "--rule", rule, "--attack", "no-attack"]
    text = " ".join(invoke(*run, "--out", "none").split())
    assert not any("1" in r["accepted"] for r in records(Path("none")))
    assert "in 1 of 1 round nobody was accepted" in text


def test_a_run_that_was_skipped_throughout_ends_with_the_reason_of_its_records() -> None:
    run = ["run", *QUICK, "--rounds", "3", "--evaluate-every", "1", "--rule", "krum:f=4", "--attack", "non-finite"]
    text = " ".join(invoke(*run, "--out", "one", code=1).split())
    told = {r["skipped"] for r in records(Path("one"))}
    assert told == {f"{NEEDS} (10 of 12 clients sent finite rows)"}
    assert f"3 of 3 rounds left the model as it was: {told.pop()}" in text
    assert "no round changed the model: " in text
    for invented in ("diverged", "too few finite"):
        assert invented not in text
    assert any(
        f"Rounds that left the model as it was: 3, the first round 1 ({NEEDS}" in n for n in load_run("one").notes
    )


def test_a_run_beyond_the_theorem_says_so_in_text_json_and_page() -> None:
    options = ["--rounds", "2", "--rule", "krum:f=5,bound=definition", "--attack", "sign-flip"]
    text = " ".join(invoke("run", *QUICK, *options, "--out", "one").split())
    assert f"krum:f=5,bound=definition under sign-flip: 2 of 2 rounds were decided {BEYOND}" in text
    assert [r["note"] for r in records(Path("one"))] == [BEYOND] * 2
    found = invoke("run", *QUICK, *options, "--out", "one", "--json")
    assert json.loads(found[found.index("{") :])["runs"][0]["beyond"] == 2
    invoke("report", "one", "-o", "page.html")
    assert f"Rounds that were decided {BEYOND}: 2 of 2." in Path("page.html").read_text()
    within = " ".join(invoke("run", *QUICK, "--rounds", "2", "--rule", "krum:f=4,bound=definition").split())
    assert BEYOND not in within
