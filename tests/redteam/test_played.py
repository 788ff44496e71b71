"""The red team reports an attack only where it was played, and a rule only where it decided."""

from __future__ import annotations

import json
from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import fedward as fw
from fedward import attacks, rules
from fedward.attacks.base import poisons
from fedward.cli import display
from fedward.experiments.spec import SpecError
from fedward.redteam import (
    Captured,
    Examination,
    Finding,
    Standing,
    capture,
    checked_attack,
    examine,
    load_examination,
    play,
    ranked,
    standing,
)
from fedward.registry.notation import describe, parse
from fedward.report import write_choice, write_examinations
from fedward.testing import QuadraticEvaluator
from tests.redteam.test_redteam import spec


def rounds(count: int, n: int = 10, d: int = 40) -> list[Captured]:
    generator = torch.Generator().manual_seed(2)
    common = torch.randn(d, generator=generator, dtype=torch.float64)
    return [
        Captured(
            rows=common + 0.1 * torch.randn(n, d, generator=generator, dtype=torch.float64),
            previous=common,
            evaluator=QuadraticEvaluator(d),
        )
        for _ in range(count)
    ]


# --- rules that must have seen rounds before they decide ----------------------------------------------------


LEARNING: list[tuple[fw.Rule, int]] = [
    (rules.FLDetector(window=2), 3),
    (rules.FLDetector(window=4), 5),
    (rules.RFFL(warmup=0, decay=0.5), 1),
    (rules.RFFL(warmup=3, decay=0.5), 4),
]


@pytest.mark.parametrize(("rule", "learns"), LEARNING, ids=repr)
def test_the_first_round_in_which_a_rule_can_leave_anybody_out(rule: fw.Rule, learns: int) -> None:
    assert rule.traits().learns == learns
    aggregate = fw.Aggregator(rule)
    left_out = []
    for now in rounds(learns + 1):
        now.rows[0] *= -5
        result = aggregate(now.rows)
        # A reputation of 0 has no weight either, but may rise again.
        removed = [float(r) < 0 for r in result.scores.get("reputation", ())]
        left_out.append(any(removed) if removed else not all(result.accepted))
    assert left_out == [False] * learns + [True]


@pytest.mark.parametrize("kind", [rules.SignGuardSim, rules.SignGuardDist])
@pytest.mark.parametrize(("warmup", "learns"), [(2, 2), ("3 epochs", 3), (None, 3)])
def test_the_first_round_that_has_a_reference(kind: Any, warmup: Any, learns: int) -> None:
    rule = kind(warmup=warmup)
    assert rule.traits().learns == learns
    state = {"reference": torch.ones(3)}
    found = [rule.reference(state, fw.Context(t)) is not None for t in range(learns + 1)]
    assert found == [False] * learns + [True]


def test_what_is_made_of_such_a_rule_must_have_seen_as_many() -> None:
    detector = rules.FLDetector(window=4)
    assert rules.Delayed(base=detector, start=7).traits().learns == 5
    either = (rules.Median(), detector)
    assert rules.RobustTailor(rules=either).traits().learns == 10  # it is drawn for every other round
    assert rules.RobustTailor(rules=either, probabilities=(0.9, 0.1)).traits().learns == 50
    assert rules.RobustTailor(rules=either, probabilities=(1.0, 0.0)).traits().learns == 0
    assert (fw.mixers.ClipNorm(radius=1.0) >> detector).traits().learns == 5
    assert rules.Median().traits().learns == 0


@pytest.mark.parametrize(("rule", "learns"), LEARNING, ids=repr)
def test_it_is_played_against_when_it_has_seen_them(rule: fw.Rule, learns: int) -> None:
    attack = attacks.SignFlip(scale=10.0)
    enough = play(rule, attack, rounds(learns + 3), byzantine=2)
    assert enough.undecided == 0
    assert enough.byzantine_accepted < 1.0
    late = play(rules.Delayed(base=rule, start=20), attack, rounds(learns + 3), byzantine=2)
    assert (late.undecided, late.byzantine_accepted) == (0, enough.byzantine_accepted)
    few = play(rule, attack, rounds(learns), byzantine=2)
    assert few.undecided == learns


def test_other_rules_have_one_honest_round_or_none() -> None:
    for count in (1, 2, 3):
        found = play(rules.Median(), attacks.SignFlip(), rounds(count), byzantine=2)
        assert found.undecided == 0


# --- attacks that are not played on captured rows -----------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "label-flip",
        "backdoor",
        "targeted-poisoning",
        "groups:attacks=(alie | label-flip)",
        "schedule:attacks=(0: alie | 1: backdoor)",
        "false-alarms:inner=label-flip",
        "maximise:attack=backdoor,over=boost,bounds=(1, 3)",
    ],
)
def test_an_attack_on_data_is_refused_before_any_work(text: str, tmp_path: Path) -> None:
    for asked in (
        lambda: checked_attack(text),
        lambda: play(rules.Mean(), parse(text, "attack"), rounds(3), byzantine=2),
        lambda: examine(spec(), tmp_path / "e.jsonl", attacks=["alie", text]),
    ):
        with pytest.raises(ValueError, match=r"poisons the data .* also="):
            asked()
    with pytest.raises(SpecError):
        checked_attack(text)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("schedule:attacks=(0: no-attack | 50: sign-flip)", 3),
        ("schedule:attacks=(0: sign-flip | 1: no-attack)", 3),
        ("schedule:attacks=(1: sign-flip)", 1),
        ("sybils:inner=sign-flip,join=1000", 3),
        ("sybils", 3),
        ("virtual", 3),
        ("random-schedule:attacks=(no-attack | no-attack)", 3),
        ("virtual:inner=(schedule:attacks=(0: alie | 50: min-max))", 3),
        ("virtual:inner=(random-schedule:attacks=(alie | min-max))", 3),
        ("sybils:inner=(schedule:attacks=(50: sign-flip)),join=0", 3),
        ("sybils:inner=no-attack,join=0", 3),
        ("groups:attacks=(schedule:attacks=(50: sign-flip))", 3),
        ("groups:attacks=(no-attack | no-attack)", 3),
    ],
)
def test_an_attack_that_would_be_none_is_refused_before_any_work(text: str, count: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="attacks in none of the rounds that count"):
        play(rules.Mean(), parse(text, "attack"), rounds(count), byzantine=2)
    with pytest.raises(SpecError, match="attacks in none of the rounds that count"):
        examine(spec(), tmp_path / "e.jsonl", attacks=["alie", text], rounds=count)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text",
    ["schedule:attacks=(0: no-attack | 3: sign-flip:scale=10.0)", "sybils:inner=(sign-flip:scale=10.0),join=3"],
)
def test_only_rounds_in_which_it_attacks_count(text: str) -> None:
    every = rounds(5)
    found = play(rules.Mean(), parse(text, "attack"), every, byzantine=2)
    alone = play(rules.Mean(), attacks.SignFlip(scale=10.0), [every[0], *every[3:]], byzantine=2)
    assert found == replace(alone, attack=found.attack)


def test_whoever_joins_late_is_not_there_before() -> None:
    seen: list[tuple[list[Hashable], set[Hashable]]] = []

    class Listening(rules.Mean):
        def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
            seen.append((list(updates.ids), set(context.messages)))
            return super().decide(updates, state, context)

    talking = [replace(now, messages={client: {} for client in range(5)}) for now in rounds(4, n=5)]
    play(Listening(), attacks.Sybils(inner=attacks.Constant(), join=2), talking, byzantine=[0, 3])
    assert seen == [([1, 2, 4], {1, 2, 4})] * 2 + [([0, 1, 2, 3, 4], {0, 1, 2, 3, 4})] * 2


def test_lies_in_words_and_a_mean_that_is_steered_are_attacks() -> None:
    for text in ("false-alarms", "byz-mean:inner=no-attack", "groups:attacks=(no-attack | sign-flip)"):
        assert play(rules.Mean(), parse(text, "attack"), rounds(3), byzantine=2).attack == text


def test_whatever_changes_data_itself_poisons_also_around_another_attack() -> None:
    class Trigger(attacks.Sybils):
        def poison(self, batch: attacks.Batch, context: fw.Context) -> attacks.Batch:
            return replace(batch, inputs=batch.inputs + 1)

    assert poisons(Trigger())
    assert poisons(attacks.FalseAlarms(inner=Trigger()))
    assert poisons(attacks.Schedule({0: attacks.LabelFlip()}))
    assert not poisons(attacks.Sybils())
    assert not poisons(attacks.Groups([attacks.ALIE(), attacks.SignFlip()]))


@pytest.mark.parametrize(
    "attack", [attacks.SignFlip(scale=10.0), attacks.IPM(epsilon=10.0, knows="all"), attacks.ALIE(z=30.0, knows="own")]
)
def test_a_liar_with_nan_disarms_nobody(attack: attacks.Attack) -> None:
    whole, spoiled = rounds(3), rounds(3)
    for now in spoiled:
        now.rows[1] = torch.nan
    found = play(rules.Mean(), attack, spoiled, byzantine=3)
    assert found.byzantine_accepted == 1.0
    assert found.kappa > 0.1 * play(rules.Mean(), attack, whole, byzantine=3).kappa


def test_a_round_is_about_the_class_that_it_was_captured_in() -> None:
    """So that a rule which remembers by class has a memory for each, as in training."""
    heard: list[int | None] = []

    class Listening(rules.Mean):
        def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
            heard.append(context.group)
            return super().decide(updates, state, context)

    settings = {"algorithm": "class-momentum:classes=1,batch_size=4", "partition": "k-classes:k=5", "clients": 10}
    captured = capture(spec(**settings), warmup=1, rounds=3)
    play(Listening(), attacks.SignFlip(), captured, byzantine=2)
    assert heard == [now.group for now in captured] == [1, 2, 3]


# --- what is said of a rule that never decided --------------------------------------------------------------


def examination(rule: str, captured: int = 3, undecided: int = 0, accuracy: float = 0.8, **more: Any) -> Examination:
    settings = {"rule": rule, "captured": captured, "data": "d", "model": "m", "partition": "iid", "clients": 10}
    shares: dict[str, Any] = {"progress": 1.0, "byzantine_accepted": 1.0, "honest_accepted": 1.0}
    found = [
        Finding(attack="no-attack", kappa=0.01, undecided=undecided, **shares),
        Finding(attack="alie", kappa=0.123, accuracy=accuracy, undecided=undecided, **shares),
    ]
    return Examination(settings=settings | {"byzantine": 2, "rounds": 9}, findings=tuple(found), untouched=0.9, **more)


def test_terminal_json_and_page_say_that_a_rule_never_decided(tmp_path: Path) -> None:
    never, did = examination("fldetector", undecided=11), examination("median")
    words = "must have seen 11 rounds before, and 3 rounds were captured"
    assert words in "\n".join(display.worst_told([never]))
    assert not any("0.123" in line for line in display.worst_told([never]))
    with display.out.capture() as shown:
        display.out.print(display.examination_table([never, did]))
    lines = {line.split()[0]: line for line in shown.get().splitlines() if line.split()}
    assert "never decided" in lines["fldetector"]
    assert "0.123" not in lines["fldetector"]
    assert "0.123" in lines["median"]
    told = never.to_json()
    assert (told["undecided"], told["worst"]["by_kappa"]) == (11, None)
    assert [f["undecided"] for f in told["findings"]] == [11, 11]
    assert did.to_json()["undecided"] == 0
    assert did.to_json()["worst"]["by_kappa"] is not None
    for several in ([never], [never, did], [never, never]):
        page = write_examinations(several, {}, tmp_path / "page.html").read_text()
        assert words in page
        assert "worst by kappa: alie" not in page.split("run-2")[0] or several == [never, did]
    assert "never decided" not in write_examinations([did], {}, tmp_path / "page.html").read_text()


def test_findings_of_earlier_versions_are_told_by_the_rule() -> None:
    assert examination("fldetector").undecided == 11
    assert examination("rffl:warmup=1").undecided == 0
    assert examination("rffl:warmup=2").undecided == 3
    assert examination("fldetector", captured=14).undecided == 0
    assert examination("no.such.module.Rule").undecided == 0


def test_a_rule_that_never_decided_is_ranked_after_all_others(tmp_path: Path) -> None:
    never = standing("fldetector", [examination("fldetector", undecided=11, accuracy=0.88)], 0.1)
    assert never.undecided == 11
    best, other = (
        Standing(**{**vars(never), "rule": r, "undecided": 0, "worst": w}) for r, w in (("a", 0.5), ("b", 0.1))
    )
    assert ranked([never, other, best]) == [best, other, never]
    assert json.loads(json.dumps(never.to_json()))["undecided"] == 11
    found = {s.rule: [examination(s.rule, undecided=s.undecided)] for s in (best, other, never)}
    page = write_choice([best, other, never], found, {}, tmp_path / "choice.html").read_text()
    assert "fldetector never decided on captured rounds" in page
    with display.out.capture() as shown:
        display.out.print(display.ranking_table([best, never]))
    assert "fldetector (never" in " ".join(shown.get().split())
    assert (
        "None of these was examined by what it is"
        in write_choice([never], {"fldetector": found["fldetector"]}, {}, tmp_path / "choice.html").read_text()
    )


def test_an_examination_keeps_it(tmp_path: Path) -> None:
    options: dict[str, Any] = {"warmup": 0, "worst": 0, "attacks": ("no-attack", "sign-flip:scale=10.0")}
    file = tmp_path / "f.jsonl"
    found = examine(spec("fldetector:window=1"), file, rounds=2, **options)
    assert found.undecided == load_examination(file).undecided == 2
    assert examine(spec("fldetector:window=1"), tmp_path / "g.jsonl", rounds=3, **options).undecided == 0
    assert describe(parse("fldetector:window=1", "rule")) in found.undecided_told()
