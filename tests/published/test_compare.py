"""What was measured beside what is published: units and verdicts."""

from __future__ import annotations

from typing import Any

import pytest

from fedward.published import Number, measured, verdict_in_small, verdict_on
from fedward.sweeps import Row


def number(text: str, **more: Any) -> Number:
    what = {"group": "", "rule": "mean", "attack": "alie", "figure": "best", "relation": "=", "row": "", "column": ""}
    return Number(**{**what, "text": text, **more})


def row(**figures: Any) -> Row:
    return Row(cell="", key="", group="", status="done", config={}, **figures)


@pytest.mark.parametrize(
    ("text", "clean", "ours", "expected"),
    [
        ("89.35", 89.51, 87.85, "reproduced"),  # 1.5 points below, to the last digit
        ("89.35", 89.51, 87.84, "differs"),
        ("89.35", 89.51, 90.85, "reproduced"),
        ("89.35", 89.51, 90.86, "differs"),
        ("16.31", 89.51, 10.0, "reproduced"),  # a collapse for a collapse
        ("16.31", 89.51, 74.51, "reproduced"),  # 15 points below
        ("16.31", 89.51, 74.52, "differs"),
        ("80.77", 89.51, 10.0, "differs"),  # a collapse where the paper has a loss
        ("80.77", 89.51, 81.0, "reproduced"),
        ("10.0", None, 30.0, "differs"),  # without a number to fall from nothing is a collapse
        ("89.35", 89.51, None, "not run"),
    ],
)
def test_accuracies(text: str, clean: float | None, ours: float | None, expected: str) -> None:
    assert verdict_on(number(text, clean=clean), ours) == expected


@pytest.mark.parametrize(
    ("relation", "ours", "expected"),
    [
        (">=", 82.5, "reproduced"),
        (">=", 82.4, "differs"),
        (">", 82.5, "reproduced"),
        ("<", 85.4, "reproduced"),
        ("<", 85.5, "differs"),
    ],
)
def test_bounds(relation: str, ours: float, expected: str) -> None:
    assert verdict_on(number("84", relation=relation, clean=90.0), ours) == expected


@pytest.mark.parametrize(
    ("text", "relation", "ours", "expected"),
    [
        ("88.00", "=", 77.0, "reproduced"),  # a loss of 2 points there, of 3 here
        ("88.00", "=", 73.0, "reproduced"),  # 5 points more
        ("88.00", "=", 72.99, "differs"),
        ("16.31", "=", 65.0, "reproduced"),  # 15 points below in both
        ("16.31", "=", 65.01, "differs"),
        ("88.00", ">", 73.0, "reproduced"),
        ("88.00", ">", 72.0, "differs"),
        ("70.00", "<", 64.0, "reproduced"),
        ("70.00", "<", 66.0, "differs"),
    ],
)
def test_in_small_the_losses_are_compared(text: str, relation: str, ours: float, expected: str) -> None:
    assert verdict_in_small(number(text, relation=relation, clean=90.0), ours, 80.0) == expected


def test_in_small_there_must_be_something_to_lose_from() -> None:
    assert verdict_in_small(number("88.00", clean=90.0), 77.0, None) == "not compared"
    assert verdict_in_small(number("88.00"), 77.0, 80.0) == "not compared"
    assert verdict_in_small(number("88.00", clean=90.0), None, 80.0) == "not run"
    rate = number("0.68", figure="honest_accepted")
    assert [verdict_in_small(rate, ours, None) for ours in (0.70, 0.80)] == ["reproduced", "differs"]


def test_shares_drops_and_seconds() -> None:
    rate = number("0.6870", figure="honest_accepted")
    assert [verdict_on(rate, ours) for ours in (0.737, 0.738, None)] == ["reproduced", "differs", "not run"]
    drop = number("12.10", figure="drop")
    assert [verdict_on(drop, ours) for ours in (10.6, 10.5)] == ["reproduced", "differs"]
    seconds = number("0.39", figure="seconds_rule")
    assert [verdict_on(seconds, ours) for ours in (0.39, 9.0, None)] == ["not compared", "not compared", "not run"]


def test_a_cell_has_its_figure_in_the_units_of_the_number() -> None:
    measures = {"honest_accepted": 0.75, "seconds_rule": 0.125, "byzantine_accepted": None}
    run = row(best=0.5, last=0.25, measures=measures)
    assert measured(number("50", figure="best"), run) == 50
    assert measured(number("50", figure="last"), run) == 25
    assert measured(number("1", figure="honest_accepted"), run) == 0.75
    assert measured(number("1", figure="byzantine_accepted"), run) is None
    assert measured(number("1", figure="seconds_rule"), run) == 0.125
    assert measured(number("1", figure="drop"), run, baseline=90.0) == 40
    assert measured(number("1", figure="drop"), run) is None
    assert measured(number("1"), row()) is None
