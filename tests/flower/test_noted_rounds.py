"""A federation's audit says of a round that it was decided beyond the bound of the rule's theorem."""

from __future__ import annotations

from pathlib import Path

from fedward.core import BEYOND
from fedward.flower import RobustFedAvg
from fedward.report.audits import load_audit

from .federation import NODES, InProcess, Quadratic, model


def test_a_round_beyond_the_theorem_says_so(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    few = len(NODES) - 3
    strategy = RobustFedAvg(rule="krum:f=3,bound=definition", fraction_evaluate=0.0, audit=file)  # 9 by theorem
    grid = InProcess(Quadratic().app, lost=lambda node, round: round == 2 and node in NODES[: len(NODES) - few])
    strategy.start(grid, model(), num_rounds=3)
    assert [audit.note for audit in strategy.audits] == ["", BEYOND, ""]
    assert [BEYOND in audit.lines()[0] for audit in strategy.audits] == [False, True, False]
    assert ["note" in audit.to_json() for audit in strategy.audits] == [False, True, False]
    audit = load_audit(file)
    assert [record.note for record in audit.run.records] == [None, BEYOND, None]
    assert f"Rounds that were decided {BEYOND}: 1 of 3. Nothing is promised there." in audit.notes


def test_a_skipped_round_has_no_note() -> None:
    strategy = RobustFedAvg(rule="krum:f=3,bound=definition", fraction_evaluate=0.0, on_skip="warn")
    grid = InProcess(Quadratic().app, lost=lambda node, round: node in NODES[:5])
    strategy.start(grid, model(), num_rounds=1)
    (audit,) = strategy.audits
    assert audit.note == ""
    assert audit.skipped == "Krum(f=3, bound='definition') needs n >= f + 3 = 6 clients, got 5 (f is at most 2)"
