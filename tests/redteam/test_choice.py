"""A choice of rule: what a rule's standing is, who comes first, and that the command says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedward.experiments.spec import SpecError
from fedward.redteam import (
    ALIKE,
    ALSO,
    CANDIDATES,
    NONE,
    Examination,
    Finding,
    Standing,
    attacks_played,
    attacks_trained,
    examination_steps,
    examine,
    load_examination,
    ranked,
    seconds_of,
    standing,
    unknown_dropped_told,
)
from fedward.registry.notation import describe, parse
from fedward.sim.forms import read_back, written
from tests.redteam.test_redteam import spec


def made(worst: float, dropped: float | None = 0.0, seconds: float = 0.1, rule: str = "mean") -> Standing:
    return Standing(
        rule=rule,
        worst=worst,
        under="alie",
        where="iid, seed 0",
        untouched=0.8,
        honest_dropped=dropped,
        seconds=seconds,
    )


def examined(untouched: float, kept: float, partition: str, **trained: float) -> Examination:
    nothing: dict[str, Any] = {"kappa": 0.1, "progress": 1.0, "byzantine_accepted": 0.0}
    return Examination(
        settings={"rule": "median", "partition": partition, "seed": 3},
        findings=(Finding(attack=NONE, honest_accepted=kept, **nothing),),
        untouched=untouched,
        besides=trained,
    )


def test_the_best_first_and_of_equals_whoever_drops_fewest_honest_then_the_quickest() -> None:
    order = [
        made(0.7 - ALIKE / 2, 0.0, 0.1),
        made(0.7, 0.0, 0.2),
        made(0.7 - ALIKE / 4, 0.3, 0.1),
        made(0.65, 0.9, 9.0),
        made(0.64, 0.0, 0.0),
    ]
    assert ranked(order[::-1]) == order
    assert ranked([]) == []
    # What one of the best drops is not known: that it is nothing must not put it before the others.
    unknown = [made(0.7, 0.4, 0.1), made(0.7, None, 0.2), made(0.7, 0.0, 0.3), made(0.6, None, 0.0)]
    assert ranked(unknown[::-1]) == unknown


def test_a_standing_is_the_worst_of_all_settings() -> None:
    two = [
        examined(0.8, 0.9, "iid", alie=0.7, scaling=0.75),
        examined(0.6, 0.7, "dirichlet:alpha=0.5", alie=0.4, scaling=0.3),
    ]
    found = standing("median", two, 0.5)
    assert (found.worst, found.under, found.where) == (0.3, "scaling", "dirichlet:alpha=0.5, seed 3")
    assert (found.untouched, found.seconds) == (0.6, 0.5)
    assert found.honest_dropped == pytest.approx(0.3)
    unmeasured = Examination(settings=two[1].settings, findings=(), untouched=0.6, besides={"alie": 0.4})
    assert standing("median", [two[0], unmeasured], 0.5).honest_dropped is None
    assert not found.collapses
    assert made(0.39).collapses
    with pytest.raises(ValueError, match="median was not trained"):
        standing("median", [examined(0.8, 1.0, "iid")], 0.5)


def test_what_rules_drop_where_nobody_attacks_is_always_measured() -> None:
    assert attacks_played([]) is None
    assert attacks_played(["alie", "min-max"]) == (NONE, "alie", "min-max")
    for there in (["alie", "no-attack"], ["all", "alie"]):
        assert attacks_played(there) == tuple(there)
    assert attacks_played(["sign-flip", "sign-flip:scale=1.0", " sign-flip"]) == (NONE, "sign-flip"), (
        "one attack is one"
    )


def test_attacks_that_begin_after_the_captured_rounds_are_left_to_training() -> None:
    late = ["alie", "sybils:join=30"]
    here = spec("median")
    assert attacks_played(late, [here]) == (NONE, "alie")
    assert "sybils:join=30" in attacks_trained(late)
    with pytest.raises(SpecError, match="attacks in none of the rounds that count"):
        examine(here, Path("nowhere.jsonl"), attacks=["sybils:join=30"])


def test_whoever_names_attacks_has_candidates_trained_under_these() -> None:
    """And not under others, which would decide the ranking without having been asked for."""
    assert attacks_trained([]) == attacks_trained(["all"]) == ALSO
    assert attacks_trained(["sign-flip", "sign-flip:scale=1.0"]) == ("sign-flip",)
    for none in (["no-attack"], ["no-attack", " no-attack"]):
        with pytest.raises(SpecError, match="no-attack alone ranks nobody"):
            attacks_trained(none)
    assert attacks_trained(["alie", "ipm", "alie", "no-attack"]) == ("alie", "ipm")
    assert attacks_trained(["all", "ipm"]) == (*ALSO, "ipm")
    assert attacks_trained(["label-flip"]) == ("label-flip",)
    assert attacks_played(["label-flip", "ipm"]) == (NONE, "ipm"), "there are no rows to forge where data are poisoned"
    for choose in (attacks_played, attacks_trained):
        with pytest.raises(SpecError, match="unknown attack 'alei'"):
            choose(["alei"])


def test_what_is_trained_under_in_any_case_is_kept_and_counted(tmp_path: Path) -> None:
    file = tmp_path / "krum.jsonl"
    told: list[tuple[str, int, int]] = []
    options: dict[str, Any] = {"warmup": 1, "rounds": 1, "worst": 1, "attacks": ("alie", "sign-flip")}
    also = ("label-flip", "alie")
    whole = examine(spec(), file, also=also, on_progress=lambda *now: told.append(now), **options)
    assert told[-1] == ("done", 6, 6)
    assert examination_steps(options["attacks"], 1, also) == 6
    assert list(whole.besides) == ["label-flip"]
    # The worst kind of attack is another one than those that the model is trained under in any case.
    assert {attack for attack, _ in whole.trained} == {"label-flip", "alie", "sign-flip"}
    assert [accuracy for _, accuracy in whole.trained] == sorted(accuracy for _, accuracy in whole.trained)
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:-2]))
    assert examine(spec(), file, also=also, **options).to_json() == whole.to_json()
    assert load_examination(file).to_json() == whole.to_json()


def test_candidates_are_rules_without_data_of_the_servers_own() -> None:
    for text in CANDIDATES:
        rule = spec(text).make_rule()
        assert not rule.traits().root_data, text
        assert seconds_of({text: rule}, spec())[text] > 0
    assert [describe(parse(text, "attack")) for text in ALSO]


def test_what_a_function_drops_is_not_known_and_that_is_said() -> None:
    silent = examined(0.8, 0.9, "iid", alie=0.7)
    [finding] = silent.findings
    silent = replace(silent, findings=(replace(finding, honest_accepted=None, byzantine_accepted=None),))
    found = standing("ours.trim:f=2", [silent], 0.5)
    assert found.honest_dropped is None
    assert found.to_json()["honest_dropped"] is None
    told = [*unknown_dropped_told([made(0.7), found])]
    assert len(told) == 1
    assert "What ours.trim:f=2 drops is not known" in told[0]
    assert "time alone decides" in told[0]
    assert not [*unknown_dropped_told([made(0.7)])]
    # The file of an examination has it, too.
    line = written(silent.findings[0])
    assert line["honest_accepted"] is None
    assert read_back(Finding, json.loads(json.dumps(line))) == silent.findings[0]
