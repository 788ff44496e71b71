"""What is measured of cells, beside the formulas."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedward.sim import Record
from fedward.sweeps import Row, measures
from tests.oracles import measures as oracle

TESTS = st.dictionaries(st.integers(1, 60), st.floats(0, 1), min_size=1, max_size=12)


def records(tests: dict[int, float], **more: object) -> list[Record]:
    """Of every round up to the last that is tested."""
    return [
        Record(round=number, accepted=(True,), accuracy=tests.get(number), **more)  # type: ignore[arg-type]
        for number in range(1, max(tests) + 1)
    ]


@given(TESTS, st.integers(2, 6), st.floats(0, 1))
def test_stability_and_speed_are_those_of_the_formulas(tests: dict[int, float], last: int, target: float) -> None:
    run = records(tests)
    assert measures.tests_of(run) == tests
    expected = oracle.spread(tests, last) if len(tests) > 1 else None
    assert measures.stability(run, last=last) == pytest.approx(expected, abs=1e-9)
    assert measures.rounds_to(run, target) == oracle.rounds_to(tests, target)
    found = measures.of_run(run, target=target, last=last)
    assert (found["stability"], found["rounds_to_target"]) == (
        measures.stability(run, last=last),
        measures.rounds_to(run, target),
    )


def test_what_records_tell_is_read_from_where_it_stands() -> None:
    common = {"accepted": (True, False), "seconds": {"aggregate": 1.0, "update": 0.5, "attack": 0.25, "evaluate": 9.0}}
    first = Record(round=1, honest_accepted=1.0, byzantine_accepted=0.0, **common)
    tested = Record(
        round=2,
        accuracy=0.5,
        by_class=(0.75, None, 0.25),
        worst_client=0.125,
        calibration_error=0.0625,
        confidence=0.5,
        honest_accepted=0.5,
        memory={"rows": 2_000_000, "server": 1_000_000, "rule": 500_000, "attacker": 250_000, "clients": 9_000_000},
        **{**common, "seconds": {"aggregate": 2.0, "attack": 0.75}},
    )
    assert measures.of_run([first, tested]) == {
        "worst_class": 0.25,
        "worst_client": 0.125,
        "calibration_error": 0.0625,
        "attack_confidence": 0.5,
        "stability": None,
        "rounds_to_target": None,
        "honest_accepted": 0.75,
        "byzantine_accepted": 0.0,
        "seconds_rule": 1.5,
        "seconds_server": 1.75,
        "seconds_attacker": 0.5,
        "memory_server": 3.5,
        "memory_attacker": 0.25,
    }
    assert set(measures.of_run([Record(round=1, accepted=(True,))]).values()) == {None}  # of an earlier version


# --- beside other cells ---------------------------------------------------------------------------------------


def row(rule: str, attack: str, seed: int, best: float | None, **config: object) -> Row:
    settings = {"rule": rule, "attack": attack, "seed": seed, "clients": 50, **config}
    return Row(cell=f"{rule} under {attack}, seed {seed}", key="", group="", status="done", config=settings, best=best)


ACCURACY = {
    ("mean", "no-attack"): (0.9, 0.88),
    ("mean", "alie"): (0.5, 0.7),
    ("krum", "no-attack"): (0.8, 0.84),
    ("krum", "alie"): (0.3, 0.2),
    ("krum", "ipm"): (0.75, 0.85),
}
ROWS = [row(*cell, seed, ACCURACY[cell][seed]) for seed, cell in product((0, 1), ACCURACY)]


def test_attack_impact_is_the_drop_from_mean_without_attack() -> None:
    for cells in measures.over_seeds(measures.with_impacts(ROWS)):
        found = fmean(float(one.measures["attack_impact"] or 0) for one in cells.rows)
        assert found == pytest.approx(oracle.impact(ACCURACY["mean", "no-attack"], cells.values))


def test_another_setting_has_another_reference() -> None:
    elsewhere = row("krum", "alie", 0, 0.1, clients=20)
    clean = measures.references([*ROWS, row("mean", "no-attack", 0, 0.6, clients=20)])
    assert measures.impact(elsewhere, clean) == pytest.approx(0.5)
    assert measures.impact(elsewhere, measures.references(ROWS)) is None
    assert measures.impact(row("krum", "alie", 0, None), measures.references(ROWS)) is None


def test_seeds_are_averaged_and_spread() -> None:
    found = {(c.row.config["rule"], c.row.config["attack"]): c for c in measures.over_seeds(ROWS)}
    assert {cell: c.values for cell, c in found.items()} == ACCURACY
    assert found["krum", "alie"].mean == pytest.approx(0.25)
    assert found["krum", "alie"].std == pytest.approx(0.1 / 2**0.5)
    alone = measures.over_seeds([row("krum", "alie", 0, 0.3)])[0]
    assert (alone.mean, alone.std) == (0.3, None)


@pytest.mark.parametrize("status", ["failed", "running", "waiting"])
def test_what_is_not_done_has_no_part_in_any_figure(status: str) -> None:
    """A run that ended early has reached less than it would have: that is no figure of the setting."""
    ended = [replace(row(*cell, 2, 0.1), status=status) for cell in ACCURACY]
    over = {(c.row.config["rule"], c.row.config["attack"]): c for c in measures.over_seeds([*ended, *ROWS])}
    assert {cell: c.values for cell, c in over.items()} == ACCURACY
    assert {len(c.rows) for c in over.values()} == {3}
    assert measures.references([*ended, *ROWS]) == measures.references(ROWS)
    impacts = [one.measures["attack_impact"] for one in measures.with_impacts([*ROWS, *ended])]
    assert impacts == [*(one.measures["attack_impact"] for one in measures.with_impacts(ROWS)), *[None] * len(ended)]


def test_of_a_run_that_is_there_twice_the_one_that_is_done_counts() -> None:
    unfinished = replace(row("krum", "alie", 0, 0.1), status="failed")
    (over,) = measures.over_seeds([unfinished, row("krum", "alie", 0, 0.3)])
    assert over.values == (0.3,)


def over_attacks(by_attack: dict[str, float | None]) -> measures.OverAttacks:
    return measures.OverAttacks(rule="krum", group="", setting=(), by_attack=by_attack, clean=0.82)


def test_the_worst_attack_and_the_mean_over_attacks() -> None:
    krum = over_attacks({"alie": 0.25, "ipm": 0.8})
    assert (krum.worst_attack, krum.missing) == ("alie", ())
    assert (krum.clean, krum.worst, krum.mean) == pytest.approx((0.82, 0.25, 0.525))
    waiting = over_attacks({"alie": 0.25, "ipm": 0.8, "min-max": None})
    assert (waiting.missing, waiting.mean, waiting.worst) == (("min-max",), None, 0.25)
    nothing = over_attacks({})
    assert (nothing.worst_attack, nothing.worst, nothing.mean, nothing.missing) == (None, None, None, ())
