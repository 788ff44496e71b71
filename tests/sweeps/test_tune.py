"""Tuning: what is tried on what, who wins, and what is run then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedward.experiments.spec import SpecError
from fedward.sweeps import Row, Sweep, make_sweep
from fedward.sweeps.choices import choose, read_choices, write_choices
from fedward.sweeps.trials import TrialRun, contest_of, trials
from fedward.sweeps.tune import carried_out, trial_sweep, tuned

TABLE: dict[str, Any] = {
    "data": "fashion-mnist-subset",
    "model": "linear",
    "clients": 20,
    "byzantine": 4,
    "rounds": 40,
    "rule": ["mean", "trimmed-mean"],
    "attack": ["no-attack", "alie", "sign-flip"],
    "seed": [0, 1],
    "tune": {"lr": [0.1, 0.2], "rule": {"f": [2, 4]}, "validation": 0.2, "rounds": 10},
}


def sweep(**changes: Any) -> Sweep:
    return make_sweep({**TABLE, **changes}, name="one")


def row(trial: TrialRun, accuracy: float | None, status: str = "done") -> Row:
    figures: dict[str, Any] = {"best": accuracy, "rounds_done": 10, "seconds": 2.0}
    return Row(cell=trial.cell.name, key="", group="", status=status, config={}, **figures)


def test_every_candidate_of_every_rule_is_tried_under_every_attack() -> None:
    tried = trials(sweep())
    # Mean has no f: two candidates; trimmed mean has four; three attacks each, one seed.
    assert len(tried) == (2 + 4) * 3
    assert len({trial.cell.name for trial in tried}) == len(tried)
    assert len({repr(trial.cell.spec.resolved()) for trial in tried}) == len(tried)
    settings = {(trial.cell.spec.seed, trial.cell.spec.validation, trial.cell.spec.rounds) for trial in tried}
    assert settings == {(0, 0.2, 10)}
    for trial in tried:
        spec = trial.cell.spec
        f = trial.values.get("rule.f")
        assert spec.lr == trial.values["lr"]
        assert spec.resolved()["rule"] == ("mean" if f is None else f"trimmed-mean:f={f}")


def test_candidates_are_tried_without_attack_in_a_sweep_that_has_attacks_alone() -> None:
    tried = trials(sweep(attack="alie"))
    assert {trial.attack for trial in tried} == {"no-attack", "alie"}
    assert {trial.cell.spec.attack for trial in tried} == {"no-attack", "alie"}


@pytest.mark.parametrize("spelling", ["noattack", "NoAttack", "no_attack", "fedward.attacks.NoAttack"])
def test_no_attack_is_none_however_it_is_spelled(spelling: str) -> None:
    tried = trials(sweep(attack=[spelling, "alie"], rule="mean", tune={"lr": [0.1, 0.2]}))
    assert len(tried) == 4
    assert {trial.attack for trial in tried} == {"no-attack", "alie"}
    reached = {("no-attack", 0.1): 0.3, ("alie", 0.1): 0.5, ("no-attack", 0.2): 0.2, ("alie", 0.2): 0.6}
    found = choose(tried, [row(trial, reached[trial.attack, trial.values["lr"]]) for trial in tried])
    assert {(c.purpose, c.attack, c.score) for c in found} == {("clean", "no-attack", 0.3), ("worst", "alie", 0.6)}


@pytest.mark.parametrize(
    "seeds",
    [
        {"seed": 0, "runs": [{"group": "a", "seed": [0, 1]}, {"group": "b", "seed": [2, 1]}]},
        {"seed": [0, 1], "partition": ["iid", "s-fraction:s=0.5"], "zip": [["seed", "partition"]]},
        {"seed": [0, 1, 2], "zip": [["seed", "attack"]]},
        {"seed": [0, 1], "rule": ["mean", "trimmed-mean"], "zip": [["seed", "rule"]]},
    ],
    ids=["groups", "partitions", "attacks", "rules"],
)
def test_every_cell_gets_its_choice_whatever_seeds_it_has(seeds: dict[str, Any]) -> None:
    """All of a sweep is tried that is run afterwards, each contest and attack with the first seed that it has."""
    whole = sweep(**seeds)
    tried = trials(whole)
    assert len({trial.cell.name for trial in tried}) == len(tried)
    there = {(contest_of(cell), cell.spec.attack) for cell in whole.cells}
    assert there <= {(trial.contest, trial.attack) for trial in tried}
    under: dict[tuple[str, str], set[int]] = {}
    for trial in tried:
        under.setdefault((trial.contest, trial.attack), set()).add(trial.cell.spec.seed)
    assert {len(one) for one in under.values()} == {1}
    made = tuned(whole, choose(tried, [row(trial, 0.5) for trial in tried]))
    assert len(made.cells) == len(whole.cells)


SCORES = {
    # lr, f: without attack, under ALIE, under SignFlip
    (0.1, 2): (0.90, 0.50, 0.60),
    (0.1, 4): (0.85, 0.70, 0.55),
    (0.2, 2): (0.80, 0.65, 0.58),
    (0.2, 4): (0.80, 0.58, 0.70),
}


def scored(tried: list[TrialRun]) -> list[Row]:
    places = {"no-attack": 0, "alie": 1, "sign-flip": 2}
    return [row(t, SCORES[t.values["lr"], t.values.get("rule.f", 2)][places[t.attack]]) for t in tried]


def test_a_trial_that_learned_nothing_is_no_score() -> None:
    tried = trials(sweep(attack="no-attack", rule="mean", tune={"lr": [0.1, 0.2]}))
    rows = [row(trial, 0.9 if trial.values["lr"] == 0.1 else 0.5) for trial in tried]
    assert choose(tried, rows)[0].values == {"lr": 0.1}
    vain = [replace(one, in_vain="no round changed the model" * (one.best == 0.9)) for one in rows]
    assert choose(tried, vain)[0].values == {"lr": 0.2}


def test_one_is_best_without_attack_and_one_under_its_worst() -> None:
    tried = trials(sweep())
    found = {(c.contest.partition(",")[0], c.purpose): c for c in choose(tried, scored(tried))}
    clean, worst = found["trimmed-mean", "clean"], found["trimmed-mean", "worst"]
    assert (dict(clean.values), clean.score, clean.attack) == ({"lr": 0.1, "rule.f": 2}, 0.90, "no-attack")
    # Worst attacks leave 0.50, 0.55, 0.58 and 0.58: of equals the first.
    assert (dict(worst.values), worst.score, worst.attack) == ({"lr": 0.2, "rule.f": 2}, 0.58, "sign-flip")
    assert (worst.candidates, worst.trials, worst.rounds, worst.seconds) == (4, 12, 120, 24.0)
    assert "best of 4 candidates after 12 trials, 120 rounds in all, 24 s" in worst.told()
    assert found["mean", "worst"].values == {"lr": 0.2}


def test_a_candidate_that_did_not_finish_cannot_win() -> None:
    tried = trials(sweep())
    rows = {one.cell: one for one in scored(tried)}
    for trial in tried:
        if trial.values == {"lr": 0.1, "rule.f": 2} and trial.attack == "alie":
            rows[trial.cell.name] = row(trial, 0.99, "failed")
    found = {c.purpose: c for c in choose(tried, rows.values()) if c.contest.startswith("trimmed-mean")}
    assert found["clean"].values == {"lr": 0.1, "rule.f": 4}
    assert found["clean"].candidates == 3
    with pytest.raises(SpecError, match="no candidate finished all of its trials"):
        choose(tried, [])


def test_the_sweep_is_run_with_both_on_the_test_set() -> None:
    whole = sweep()
    tried = trials(whole)
    found = tuned(whole, choose(tried, scored(tried)))
    mean = [cell for cell in found.cells if cell.settings["rule"] == "mean"]
    assert len(found.cells) == 2 * len(whole.cells)
    assert {cell.spec.lr for cell in mean if cell.group == "tuned-clean"} == {0.1}
    assert {cell.spec.lr for cell in mean if cell.group == "tuned-worst"} == {0.2}
    assert {(cell.spec.validation, cell.spec.rounds) for cell in found.cells} == {(0.0, 40)}
    assert {cell.spec.seed for cell in found.cells} == {0, 1}
    assert len({cell.name for cell in found.cells}) == len(found.cells)


def test_one_that_wins_both_is_run_once() -> None:
    whole = sweep(tune={"lr": [0.1]})
    tried = trials(whole)
    found = tuned(whole, choose(tried, [row(trial, 0.5) for trial in tried]))
    assert len(found.cells) == len(whole.cells)
    assert {cell.group for cell in found.cells} == {"tuned"}


def test_groups_and_axes_are_contests_of_their_own() -> None:
    groups = [{"group": "a"}, {"group": "b", "clients": 30}]
    whole = sweep(partition=["iid", "s-fraction:s=0.5"], runs=groups, tune={"lr": [0.1, 0.2]})
    tried = trials(whole)
    assert len({trial.contest for trial in tried}) == 2 * 2 * 2  # groups, partitions, rules
    rows = [row(trial, 0.6 if trial.values["lr"] == 0.2 and "a/" in trial.contest else 0.5) for trial in tried]
    found = tuned(whole, choose(tried, rows))
    assert {(cell.group, cell.spec.lr) for cell in found.cells} == {("a/tuned", 0.2), ("b/tuned", 0.1)}


def test_trials_are_a_sweep_of_their_own() -> None:
    whole = sweep()
    tried = trials(whole)
    found = trial_sweep(whole, tried)
    assert (found.name, len(found.cells), found.tune) == ("one-trials", len(tried), {})


def test_all_of_it_is_one_call_and_choices_are_kept(tmp_path: Path) -> None:
    asked: list[Sweep] = []

    def run(given: Sweep) -> list[Row]:
        asked.append(given)
        return scored(trials(whole))

    whole = sweep()
    found, choices = carried_out(whole, run)
    assert [one.name for one in asked] == ["one-trials"]
    assert {cell.group for cell in found.cells} == {"tuned-clean", "tuned-worst"}
    write_choices(choices, tmp_path / "choices.json")
    again = read_choices(tmp_path / "choices.json")
    assert again == choices
    assert tuned(whole, again).cells == found.cells


@pytest.mark.parametrize("content", [None, "[{}]", "{", "3", '[{"purpose": "best"}]'])
def test_what_are_no_choices_is_said(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "choices.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SpecError, match="not the choices of a tuned sweep"):
        read_choices(file)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"validation": 0.1}, "nothing to choose from"),
        ({"lr": 0.1}, "lr takes a list of values to choose from, got 0.1"),
        ({"lr": []}, "lr takes a list of values"),
        ({"learning_rate": [0.1]}, "unknown key 'learning_rate'"),
        ({"seed": [0, 1]}, "seed is no hyper-parameter; make it an axis"),
        ({"rule": ["mean"]}, "write parameters of rules as rule.f"),
        ({"rule": {"g": [1]}}, "no rule of the sweep has a parameter 'g'; they have f"),
        ({"lr": [0.1], "validation": 1.0}, "validation is a share above 0 and below 1, got 1.0"),
        ({"lr": [0.1], "rounds": 0}, "rounds are a number of at least 1, got 0"),
        ({"lr": [0.1, -1.0]}, "tune: mean under no-attack, lr=-1.0: lr"),
        ({"rule": {"f": [11]}}, "tune: trimmed-mean under no-attack, rule.f=11"),
    ],
)
def test_what_cannot_be_tried_is_said_before_anything_is_run(table: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError) as caught:
        trials(sweep(tune=table))
    assert said in str(caught.value)
