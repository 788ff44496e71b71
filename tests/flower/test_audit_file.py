"""A file holds the audit of one run, with what it was evaluated to, and what nodes say of themselves."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord

from fedward.flower import RobustFedAvg, Screened, audit_file
from fedward.flower.audit import Audit
from fedward.flower.audit_file import AuditFile
from fedward.report.audits import load_audit

from .federation import NODES, InProcess, Quadratic, floats, model
from .test_restarts import Doubling


def run(file: Path, rounds: int = 2, rule: str = "mean", app: Any = None, **arguments: Any) -> RobustFedAvg:
    strategy = RobustFedAvg(rule=rule, audit=file, **{"fraction_evaluate": 0.0, **arguments})
    strategy.start(InProcess(app or Quadratic().app), model(), num_rounds=rounds)
    return strategy


def read(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_second_run_starts_a_new_audit(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "audit.jsonl"
    run(file, rule="mean")
    first = file.read_bytes()
    with caplog.at_level(logging.INFO, "flwr"):
        run(file, rule="median", rounds=1)
        run(file, rule="krum:f=1", rounds=1)
    assert (tmp_path / "audit-1.jsonl").read_bytes() == first
    assert [line["rule"] for line in read(tmp_path / "audit-2.jsonl")] == ["median"]
    assert [line["round"] for line in read(file)] == [1]
    assert f"the audit of an earlier run, {file}, is now {tmp_path / 'audit-2.jsonl'}" in caplog.text


def test_another_start_of_a_strategy_is_another_run(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    run(file).start(InProcess(Quadratic().app), model(), num_rounds=1)
    assert [line["round"] for line in read(tmp_path / "audit-1.jsonl")] == [1, 2]
    assert [line["round"] for line in read(file)] == [1]


def test_a_resumed_run_continues_its_audit_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "audit.jsonl"
    run(file, checkpoint=tmp_path / "run.pt")
    with caplog.at_level(logging.INFO, "flwr"):
        run(file, rounds=4, checkpoint=tmp_path / "run.pt")
    assert [line["round"] for line in read(file)] == [1, 2, 3, 4]
    assert f"the audit continues in {file}, after round 2" in caplog.text
    assert list(tmp_path.glob("audit*")) == [file]


def test_a_run_that_resumes_before_what_is_on_file_starts_anew(tmp_path: Path) -> None:
    """Rounds 3 and 4 would be there twice, of two runs."""
    file = tmp_path / "audit.jsonl"
    run(file, checkpoint=tmp_path / "run.pt")
    early = (tmp_path / "run.pt").read_bytes()
    run(file, rounds=4, checkpoint=tmp_path / "run.pt")
    (tmp_path / "run.pt").write_bytes(early)
    run(file, rounds=4, checkpoint=tmp_path / "run.pt")
    assert [line["round"] for line in read(file)] == [3, 4]
    assert [line["round"] for line in read(tmp_path / "audit-1.jsonl")] == [1, 2, 3, 4]


def test_a_run_that_resumes_one_round_before_what_is_on_file_keeps_that_round(tmp_path: Path) -> None:
    """An older checkpoint is put back: round 3 was saved, and is done by another run now."""
    file = tmp_path / "audit.jsonl"
    run(file, checkpoint=tmp_path / "run.pt")
    early = (tmp_path / "run.pt").read_bytes()
    run(file, rounds=3, checkpoint=tmp_path / "run.pt")
    before = file.read_bytes()
    (tmp_path / "run.pt").write_bytes(early)
    run(file, rounds=4, checkpoint=tmp_path / "run.pt")
    assert [line["round"] for line in read(file)] == [1, 2, 3, 4]
    assert (tmp_path / "audit-1.jsonl").read_bytes() == before


def test_what_cannot_be_copied_stays_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "audit.jsonl"
    file.write_text("".join(f'{{"format":1,"round":{number}}}\n' for number in (1, 2, 3)))
    before = file.read_bytes()
    resumed = AuditFile(file)
    resumed.begin(2)

    def full(path: Path) -> Any:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(audit_file, "replacing", full)
    with pytest.raises(OSError, match="No space"):
        resumed.append(Audit(round=3, rule="mean", verdicts=(), seconds=0.0))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {file.name: before}


class Killed(BaseException):
    """The server's process ends."""


class Around(Doubling):
    """What a strategy that is put around another one does after that one's round."""

    ends_in = 0

    def aggregate_train(self, server_round: int, replies: Any) -> Any:
        found = super().aggregate_train(server_round, replies)
        if server_round == self.ends_in:
            raise Killed
        return found


@pytest.mark.parametrize("screened", [True, False])
@pytest.mark.parametrize("cut_short", [True, False])
def test_a_round_that_was_told_of_and_not_saved_is_told_of_once(
    tmp_path: Path, screened: bool, cut_short: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The audit has a round before what is around has had it; only then it is saved."""
    file, saved = tmp_path / "audit.jsonl", tmp_path / "run.pt"

    def made() -> tuple[Any, RobustFedAvg, Around]:
        inner = RobustFedAvg(rule="median", audit=file, checkpoint=saved, fraction_evaluate=0.0)
        around = Around(inner)
        return (Screened(around) if screened else around), inner, around

    strategy, _, around = made()
    around.ends_in = 3
    with pytest.raises(Killed):
        strategy.start(InProcess(Quadratic().app), floats(), num_rounds=4)
    before = file.read_bytes()
    assert [line["round"] for line in read(file)] == [1, 2, 3]
    if cut_short:
        file.write_bytes(before + b'{"format":1,"round":3,"eval')
    strategy, inner, _ = made()
    assert inner.round == 2
    assert inner.arrays is not None
    with caplog.at_level(logging.INFO, "flwr"):
        strategy.start(InProcess(Quadratic().app), inner.arrays, num_rounds=4 if screened else 2)
    assert [line["round"] for line in read(file)] == [1, 2, 3, 4]
    assert file.read_bytes().startswith(b"".join(before.splitlines(keepends=True)[:2]))
    aside = tmp_path / "audit-1.jsonl"  # nobody can tell it from a round that another run saved
    assert [path for path in tmp_path.glob("audit*") if path != file] == [aside]
    assert aside.read_bytes().startswith(before)
    assert f"round 3 in {file} is done once more: the audit as it was is now {aside}" in caplog.text
    assert f"the audit continues in {file}, after round 2" in caplog.text


def test_one_round_ahead_among_others_is_no_continuation(tmp_path: Path) -> None:
    """Lines of two runs, mixed by an earlier version: none is removed."""
    file = tmp_path / "audit.jsonl"
    run(file, checkpoint=tmp_path / "run.pt")
    one, two = file.read_text().splitlines(keepends=True)
    file.write_text(one + two.replace('"round":2', '"round":3') + two)
    before = file.read_bytes()
    run(file, rounds=3, checkpoint=tmp_path / "run.pt")
    assert (tmp_path / "audit-1.jsonl").read_bytes() == before
    assert [line["round"] for line in read(file)] == [3]


def test_a_run_that_is_refused_leaves_an_earlier_audit_where_it_is(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    run(file)
    before = file.read_bytes()
    refused = RobustFedAvg(rule=f"krum:f={len(NODES)}", audit=file, fraction_evaluate=0.0)
    with pytest.raises(ValueError, match="needs n >= 2f"):
        refused.start(InProcess(Quadratic().app), model(), num_rounds=1)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {file.name: before}


def test_a_strategy_that_never_starts_itself_keeps_runs_apart(tmp_path: Path) -> None:
    """As behind Flower's wrappers, which call its parts."""
    file = tmp_path / "audit.jsonl"
    strategy = RobustFedAvg(rule="mean", audit=file)
    grid = InProcess(Quadratic().app)
    for number in (1, 2, 1):
        messages = strategy.configure_train(number, model(), ConfigRecord(), grid)
        strategy.aggregate_train(number, grid.send_and_receive(messages))
    assert [line["round"] for line in read(file)] == [1]
    assert [line["round"] for line in read(tmp_path / "audit-1.jsonl")] == [1, 2]


def test_evaluations_and_metrics_of_nodes_are_in_it(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    strategy = RobustFedAvg(rule="mean", audit=file)

    def evaluate(number: int, arrays: ArrayRecord) -> MetricRecord:
        return MetricRecord({"accuracy": number / 10, "curve": [1.0, 2.0], "loss": float("nan")})

    strategy.start(InProcess(Quadratic().app), model(), num_rounds=2, evaluate_fn=evaluate)
    lines = read(file)
    assert [(line["round"], line.get("evaluated")) for line in lines] == [
        (0, "server"),
        (1, None),
        (1, "clients"),
        (1, "server"),
        (2, None),
        (2, "clients"),
        (2, "server"),
    ]
    assert lines[-1]["metrics"] == {"accuracy": 0.2}
    assert lines[2]["metrics"] == {"accuracy": pytest.approx(0.45)}
    assert lines[2]["nodes"][3] == {"node": str(NODES[3]), "metrics": {"num-examples": 13.0, "accuracy": 0.3}}
    assert lines[1]["nodes"][3]["metrics"] == {"num-examples": 13.0, "loss": 3.0}
    audit = load_audit(file)
    assert [(e.round, e.metrics["accuracy"]) for e in audit.evaluations if e.evaluated == "server"] == [
        (0, 0.0),
        (1, 0.1),
        (2, 0.2),
    ]


def test_an_evaluation_at_a_resumed_start_is_not_there_twice(tmp_path: Path) -> None:
    def go(rounds: int) -> None:
        strategy = RobustFedAvg(
            rule="mean", audit=tmp_path / "audit.jsonl", checkpoint=tmp_path / "run.pt", fraction_evaluate=0.0
        )
        grid = InProcess(Quadratic().app)
        strategy.start(grid, model(), num_rounds=rounds, evaluate_fn=lambda n, a: MetricRecord({"n": n}))

    go(1)
    go(2)
    found = [line["round"] for line in read(tmp_path / "audit.jsonl") if "evaluated" in line]
    assert found == [0, 1, 2]


def test_what_a_node_says_is_bounded(tmp_path: Path) -> None:
    def chatter(message: Message, context: Any, call_next: Any) -> Message:
        reply = call_next(message, context)
        for k in range(1000):
            reply.content["metrics"][f"{'x' * 1000}{k}\x1b[31m"] = 1.0
        return reply

    strategy = run(tmp_path / "audit.jsonl", rounds=1, app=Quadratic([chatter]).app)
    for verdict in strategy.audits[0].verdicts:
        assert len(verdict.metrics) <= 16
        assert max(map(len, verdict.metrics)) < 100
    assert "\\u001b" not in (tmp_path / "audit.jsonl").read_text()


def test_rules_that_trim_columns_tell_how_much(tmp_path: Path) -> None:
    strategy = run(tmp_path / "audit.jsonl", rule="trimmed-mean:f=2", rounds=1)
    shares = [verdict.scores["trimmed"] for verdict in strategy.audits[0].verdicts]
    assert shares == [1, 1, *[0] * 6, 1, 1]  # the nodes with the least and the greatest targets, in every entry
    (line,) = read(tmp_path / "audit.jsonl")
    assert [node["scores"]["trimmed"] for node in line["nodes"]] == shares
    unasked = RobustFedAvg(rule="trimmed-mean:f=2", fraction_evaluate=0.0)
    unasked.start(InProcess(Quadratic().app), model(), num_rounds=1)
    assert "trimmed" not in unasked.audits[0].verdicts[0].scores
