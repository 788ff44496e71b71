"""A file holds the audit of one run, also where several run at once and were given one name."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from flwr.app import ConfigRecord, MetricRecord

from fedward.flower import RobustFedAvg, audit_file
from fedward.flower.audit import Audit
from fedward.flower.audit_file import AuditFile

from .federation import InProcess, Quadratic, model


def lines(file: Path) -> list[tuple[str, int]]:
    read = [json.loads(line) for line in file.read_text().splitlines()]
    return [(line.get("rule", line.get("evaluated")), line["round"]) for line in read]


def turn(strategy: RobustFedAvg, number: int) -> None:
    grid = InProcess(Quadratic().app)
    strategy.aggregate_train(
        number, grid.send_and_receive(strategy.configure_train(number, model(), ConfigRecord(), grid))
    )
    strategy.evaluated(number, MetricRecord({"accuracy": number / 10}))


def round_of(number: int, rule: str = "mean", seconds: float = 0.0) -> Audit:
    return Audit(round=number, rule=rule, verdicts=(), seconds=seconds)


def test_runs_that_take_turns_have_a_file_each(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "audit.jsonl"
    rules = ("median", "mean", "krum:f=1")
    strategies = [RobustFedAvg(rule=rule, audit=file) for rule in rules]
    for number in (1, 2, 3):
        for strategy in strategies:
            turn(strategy, number)
    found = {path.name: lines(path) for path in tmp_path.glob("audit*")}
    assert sorted(found) == ["audit-1.jsonl", "audit-2.jsonl", "audit.jsonl"]
    assert sorted(found.values()) == sorted(
        [entry for number in (1, 2, 3) for entry in ((rule, number), ("server", number))] for rule in rules
    )
    assert found["audit.jsonl"][0][0] == rules[-1]
    warned = [record.getMessage() for record in caplog.records if "give every strategy" in record.getMessage()]
    assert warned == [
        f"{file} is not as this run left it, so that another run may write there: this one's audit goes on in "
        f"{tmp_path / f'audit-{number}.jsonl'}; give every strategy an audit of its own"
        for number in (1, 2)
    ]


def test_lines_of_others_in_the_same_file_are_noticed(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    audit = AuditFile(file)
    audit.append(round_of(1))
    with file.open("a") as other:
        other.write(json.dumps({"round": 1, "rule": "other"}) + "\n")
    for number in (2, 3):
        audit.append(round_of(number))
    assert lines(file) == [("mean", 1), ("other", 1)]
    assert lines(tmp_path / "audit-1.jsonl") == [("mean", 2), ("mean", 3)]


@pytest.mark.parametrize("how", ["moved away", "copied", "cleared"])
def test_a_file_that_somebody_moves_or_copies_is_continued(tmp_path: Path, how: str) -> None:
    """Whatever its number on the disk is by now."""
    file = tmp_path / "audit.jsonl"
    audit = AuditFile(file)
    audit.append(round_of(1))
    if how == "moved away":
        os.rename(file, tmp_path / "old")
    elif how == "copied":
        (tmp_path / "copy").write_bytes(file.read_bytes())
        os.replace(tmp_path / "copy", file)
    else:
        file.write_bytes(b"")
    audit.append(round_of(2))
    assert lines(file) == [("mean", 1), ("mean", 2)][how != "copied" :]
    assert not list(tmp_path.glob("audit-*"))


def test_a_line_that_a_full_disk_cut_short_is_no_other_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "audit.jsonl"
    audit = AuditFile(file)
    audit.append(round_of(1))

    def torn(path: Path) -> Any:
        with path.open("ab") as opened:
            opened.write(b'{"format":1,"ro')
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(audit_file, "_ends_a_line", lambda opened: torn(file))
        with pytest.raises(OSError, match="No space"):
            audit.append(round_of(2))
    audit.append(round_of(3))
    told = file.read_text().splitlines()
    assert [told[0][:20], told[1], json.loads(told[2])["round"]] == [told[0][:20], '{"format":1,"ro', 3]
    assert not list(tmp_path.glob("audit-*"))


def test_the_next_run_of_a_strategy_has_the_name_that_it_was_given(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    first, second = AuditFile(file), AuditFile(file)
    first.append(round_of(1, seconds=1.0))
    second.append(round_of(1, seconds=2.0))
    first.append(round_of(2))
    assert first.path == tmp_path / "audit-1.jsonl"
    first.begin(0)
    first.append(round_of(1, "again"))
    assert lines(file) == [("again", 1)]


@pytest.mark.parametrize("turns", ["one after the other", "all of one first"])
def test_strategies_with_one_audit_that_are_both_restarted_lose_no_round(
    tmp_path: Path, turns: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One's third round is ahead of where the other one resumes, and is none that was never saved."""
    file = tmp_path / "audit.jsonl"
    for done in (0, 2):
        ours, theirs = AuditFile(file), AuditFile(file)
        with caplog.at_level(logging.INFO, "flwr"):
            for audit in (ours, theirs):
                audit.begin(done)
            order = [(number, audit) for number in (done + 1, done + 2) for audit in (ours, theirs)]
            if turns != "one after the other":
                order.sort(key=lambda one: one[1] is theirs)
            for number, audit in order:
                audit.append(round_of(number, "ours" if audit is ours else "theirs"))
    told = [lines(path) for path in tmp_path.iterdir()]
    assert {line for file_of_one in told for line in file_of_one} == {
        (rule, number) for rule in ("ours", "theirs") for number in (1, 2, 3, 4)
    }
    for found in told:  # a round is told of once, and what is added is of one of them
        assert len({number for _, number in found}) == len(found)
        assert len({rule for rule, number in found if number > 2}) <= 1
    assert "never saved" not in caplog.text
