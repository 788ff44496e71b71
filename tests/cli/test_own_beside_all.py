"""Attacks of one's own beside all others; which measure an attack is the worst by, wherever it is said; a majority."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedward import rules
from fedward.experiments.pool import Failed
from fedward.redteam import EVERYTHING, WORST_BY, attacks_on, played_on
from tests.cli.test_cli import QUICK, failure, invoke, quick

SHORT = [*QUICK, "--rounds", "2", "--warmup", "1", "--captured", "1", "--worst", "1"]
MINE = "scaling:factor=7.0"


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedward.redteam.arsenal.EVERYTHING", ("no-attack", "zero"))


def test_all_is_everything_and_others_add_to_it() -> None:
    rule = rules.Median()
    assert played_on(rule, None) == played_on(rule, ["all"]) == attacks_on(rule) == EVERYTHING
    assert played_on(rule, ["all", MINE]) == (*EVERYTHING, MINE)
    assert played_on(rule, [MINE, "all", MINE]) == (MINE, *EVERYTHING)
    assert played_on(rule, ["zero"]) == ("zero",)


@pytest.mark.usefixtures("few")
def test_own_attacks_beside_all_and_the_worst_by_which_measure() -> None:
    command = ["redteam", "--rule", "mean", *SHORT, "--attack", "all", "--attack", MINE]
    text = " ".join(invoke(*command).split())
    (examination,) = json.loads(invoke(*command, "--json"))["examinations"]
    assert [finding["attack"] for finding in examination["findings"]] == ["no-attack", "zero", MINE]
    worst = max(examination["findings"], key=lambda finding: finding["kappa"])
    assert examination["worst"]["by_kappa"] == {"attack": worst["attack"], "kappa": worst["kappa"]}
    lowest = examination["worst"]["by_accuracy"]
    assert lowest == {"attack": worst["attack"], "accuracy": worst["accuracy"]}
    page = Path("redteam/report.html").read_text()
    told = f"worst by kappa: {worst['attack']}, {worst['kappa']:.3g}; by accuracy: {worst['attack']}, "
    assert told in page
    assert "Worst strength,<br>by kappa" in page
    assert "worst strength of each attack, by kappa" in text
    assert (
        f"mean: worst by kappa {worst['attack']} ({worst['kappa']:.3g}); by accuracy, of those trained under, " in text
    )
    assert WORST_BY in text


@pytest.mark.parametrize("byzantine", [6, 7, 11])
def test_a_majority_of_liars_is_refused_with_the_bound_and_the_remedy(byzantine: int) -> None:
    said = failure("choose", *quick("--byzantine", str(byzantine)))
    assert f"byzantine = {byzantine} of 12 clients are no minority" in said
    assert f"n >= 2f + 1 = {2 * byzantine + 1} clients, or f <= 5 of these (--byzantine 5)" in said
    assert "--rule fltrust" in said
    assert not Path("choice").exists()
    mixed = failure("choose", "--rule", "fltrust", "--rule", "mean", *quick("--byzantine", str(byzantine)))
    assert "no minority" in mixed


def test_a_rule_with_data_may_be_tried_against_a_majority(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = Failed(why="stopped before it began")
    monkeypatch.setattr("fedward.cli.choosing._examine", lambda jobs, *_: dict.fromkeys(jobs, stopped))
    assert "stopped before it began" in failure("choose", "--rule", "fltrust", *quick("--byzantine", "7"), code=1)
