"""Rounds that are too small to protect anybody, or just large enough for the rule, are told of before they matter."""

from __future__ import annotations

from typing import Any

import pytest

from fedward import RootEvaluator
from fedward.flower import RobustFedAvg, SkippedError, hostile

from .federation import NODES, InProcess, Quadratic, liars, model
from .strategies import quiet

NOBODY = "protects from nobody in rounds of one or two sound replies"


def warnings_of(caplog: pytest.LogCaptureFixture, text: str) -> list[str]:
    return [record.getMessage() for record in caplog.records if text in record.getMessage()]


@pytest.mark.parametrize("rule", ["median", "sign-guard", "geometric-median", "clip-mean"])
@pytest.mark.parametrize("nodes", [1, 2])
def test_a_round_without_a_majority_is_warned_of_once(rule: str, nodes: int, caplog: pytest.LogCaptureFixture) -> None:
    """Two is what Flower asks by itself, and a fifth of ten."""
    strategy = quiet(rule, fraction_train=nodes / 10, min_train_nodes=nodes)
    strategy.start(InProcess(Quadratic().app), model(), num_rounds=3)
    (text,) = warnings_of(caplog, NOBODY)
    assert text.startswith(f"{rule} ")
    before = caplog.text.index("[ROUND 1/3]"), caplog.text.index("[ROUND 2/3]")
    assert before[0] < caplog.text.index(NOBODY) < before[1]


def test_so_is_one_in_which_most_replies_fail(caplog: pytest.LogCaptureFixture) -> None:
    app = Quadratic([hostile.reply_mod("nan", liars(0, 1, 2, 3, 4)), hostile.reply_mod("cut", liars(5, 6, 7))]).app
    quiet("median").start(InProcess(app), model(), num_rounds=3)
    assert len(warnings_of(caplog, NOBODY)) == 1


@pytest.mark.parametrize(("rule", "nodes"), [("median", 3), ("mean", 2), ("krum:f=0", 3)])
def test_what_has_a_majority_or_promises_nothing_is_not(
    rule: str, nodes: int, caplog: pytest.LogCaptureFixture
) -> None:
    quiet(rule).start(InProcess(Quadratic().app, nodes=NODES[:nodes]), model(), num_rounds=2)
    assert not warnings_of(caplog, NOBODY)


def test_a_rule_with_data_of_its_own_needs_no_majority(caplog: pytest.LogCaptureFixture) -> None:
    def evaluator(tensors: Any) -> Any:
        return RootEvaluator

    strategy = quiet("fl-trust", evaluator=evaluator, on_skip="warn")
    strategy.start(InProcess(Quadratic().app, nodes=NODES[:2]), model(), num_rounds=1)
    assert not warnings_of(caplog, NOBODY)


@pytest.mark.parametrize(("nodes", "told"), [(7, True), (8, False)])
def test_a_bound_that_is_just_met_is_said_at_the_start(
    nodes: int, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    quiet("multi-krum:f=2").start(InProcess(Quadratic().app, nodes=NODES[:nodes]), model(), num_rounds=2)
    found = warnings_of(caplog, "7 nodes are asked, 7 are needed")
    assert len(found) == told
    assert not told or caplog.text.index(found[0]) < caplog.text.index("aggregate_train")


def test_an_error_says_which_rounds_its_numbers_are_of() -> None:
    app = Quadratic([hostile.reply_mod("nan", liars(0, 1))]).app
    strategy = RobustFedAvg(rule="multi-krum:f=2", fraction_evaluate=0.0)
    with pytest.raises(SkippedError, match=r"all 6 rounds left .*\(in the last 3 rounds 6 of 21 replies nonfinite"):
        strategy.start(InProcess(app, nodes=NODES[:7]), model(), num_rounds=6)
    with pytest.raises(SkippedError, match=r"all 2 rounds left .*\(4 of 14 replies nonfinite"):
        quiet("multi-krum:f=2").start(InProcess(app, nodes=NODES[:7]), model(), num_rounds=2)
