"""A column of a sweep's table means one thing."""

from __future__ import annotations

import csv
import io

from fedward.experiments.spec import RunSpec
from fedward.sim import Record
from fedward.sweeps.measures import of_run, with_impacts
from fedward.sweeps.rows import Row, as_csv, columns

SPEC = RunSpec(rule="mean", attack="no-attack", rounds=2, confidence=0.9)
TESTED = Record(round=2, accepted=(True,), accuracy=0.5, confidence=0.25)


def row() -> Row:
    made = Row(cell="a", key="k", group="", status="done", config=SPEC.model_dump(), measures=of_run([TESTED]))
    return with_impacts([made])[0]


def test_no_two_columns_have_one_name() -> None:
    names = columns([row()])
    assert len(names) == len(set(names))


def test_a_setting_and_what_was_measured_stand_side_by_side() -> None:
    (told,) = csv.DictReader(io.StringIO(as_csv([row()])))
    assert (told["confidence"], told["attack_confidence"]) == ("0.9", "0.25")
