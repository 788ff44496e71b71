"""The red team against rules that hear alarms: clients that raise them, and attackers that lie in what they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import fedward as fw
from fedward import attacks, mixers, rules
from fedward.attacks import FalseAlarms, NoAttack, SilentAlarms
from fedward.core import rows_of
from fedward.experiments.spec import RunSpec, make_spec
from fedward.redteam import ALARMS, EVERYTHING, Captured, as_examined, attacks_on, capture, examine, play
from fedward.registry.notation import describe, parse
from fedward.report import write_examinations

HOLE = "false-alarms:inner=(groups:attacks=(sign-flip:scale=4.0 | sign-flip:scale=0.5))"
SETTING = {
    "data": "fashion-mnist-subset",
    "model": "linear",
    "clients": 12,
    "byzantine": 3,
    "batch_size": 8,
    "rounds": 2,
    "lr": 0.05,
}


def spec(rule: str, **changes: object) -> RunSpec:
    return make_spec({**SETTING, "rule": rule, **changes})


class Near:
    """Root data on which a model is the better the nearer it is to all ones."""

    def error_rates(self, steps: fw.Updates) -> torch.Tensor:
        away = [float((row.double() - 1).norm()) / 100 for row in rows_of(steps)]
        return torch.tensor(away, dtype=torch.float64).clamp_max(1)

    def update(self) -> torch.Tensor:
        raise AssertionError("SIREN trains nothing on its root data")

    losses = error_rates


def captured(rounds: int = 3, n: int = 10, d: int = 40) -> list[Captured]:
    """Rounds without honest alarms."""
    generator = torch.Generator().manual_seed(5)
    silent = {client: {"alarm": False} for client in range(n)}
    return [
        Captured(
            rows=1 + 0.1 * torch.randn(n, d, generator=generator, dtype=torch.float64),
            previous=None,
            evaluator=Near(),
            messages=silent,
        )
        for _ in range(rounds)
    ]


# --- who raises alarms --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule", ["siren", "delayed:base=siren", "nnm:f=2 >> siren", "robust-tailor:rules=(siren | mean)"]
)
def test_a_rule_that_hears_alarms_is_examined_among_clients_that_raise_them(rule: str) -> None:
    before = spec(rule)
    examined = as_examined(before)
    algorithm = examined.make_algorithm()
    assert isinstance(algorithm, fw.clients.Siren)
    assert algorithm.inner == fw.clients.LocalSGD(batch_size=8, lr=0.05, momentum=0.9, weight_decay=5e-4)
    server = examined.make_server()
    assert (server.lr, server.momentum, server.weight_decay) == (1.0, 0.0, 0.0)
    changed = {key for key, value in before.model_dump().items() if examined.model_dump()[key] != value}
    assert changed == {"algorithm", "lr"}
    assert as_examined(examined) == examined
    assert attacks_on(before.make_rule()) == (*EVERYTHING, *ALARMS)


def test_local_training_of_one_s_own_stays() -> None:
    own = as_examined(spec("siren", algorithm="local-sgd:steps=2,lr=0.3", lr=0.7))
    assert own.algorithm == "siren-client:inner=(local-sgd:batch_size=8,steps=2,lr=0.3)"
    assert own.make_server().lr == 0.7


def test_other_rules_are_examined_as_they_were() -> None:
    for rule in ("krum", "mean", "delayed:base=median"):
        assert as_examined(spec(rule)) == spec(rule)
        assert attacks_on(spec(rule).make_rule()) == EVERYTHING


def test_what_clients_say_is_captured_with_their_rows() -> None:
    """With a tolerance of nothing some clients alarm even where all are honest."""
    talking = spec("siren", algorithm="siren-client:inner=(local-sgd:steps=2,lr=0.1),tolerance=0", byzantine=0)
    found = capture(talking, warmup=1, rounds=1)
    heard: list[dict] = []

    class Listening(rules.Mean):
        def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
            heard.append({client: said["alarm"] for client, said in context.messages.items()})
            return super().decide(updates, state, context)

    list(talking.simulation(rule=Listening(), attack=NoAttack()).run(2))
    said = [{client: message["alarm"] for client, message in now.messages.items()} for now in found]
    assert said == heard[1:]
    assert set(said[0].values()) == {True, False}


# --- what attackers say -------------------------------------------------------------------------------------


def test_what_attackers_say_counts_as_it_does_in_a_simulation() -> None:
    printed = play(rules.SIREN(), parse(HOLE, "attack"), captured(), byzantine=2)
    assert printed.byzantine_accepted == 0.5
    assert printed.honest_accepted == 0.0
    closed = play(rules.SIREN(divergent="best-of-all"), parse(HOLE, "attack"), captured(), byzantine=2)
    assert (closed.byzantine_accepted, closed.honest_accepted) == (0.0, 1.0)
    mute = play(rules.SIREN(), parse(HOLE, "attack").inner, captured(), byzantine=2)
    assert (mute.byzantine_accepted, mute.honest_accepted) == (1.0, 1.0)


def test_in_the_first_of_several_rounds_they_say_what_honest_clients_say() -> None:
    heard: list[dict] = []

    class Listening(rules.Mean):
        def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
            heard.append({client: said["alarm"] for client, said in context.messages.items()})
            return super().decide(updates, state, context)

    play(Listening(), FalseAlarms(), captured(3, n=4), byzantine=[1, 3])
    assert heard == [dict.fromkeys(range(4), False)] + [{0: False, 1: True, 2: False, 3: True}] * 2
    heard.clear()
    rounds = [replace(now, messages={i: {"alarm": True} for i in range(4)}) for now in captured(2, n=4)]
    play(Listening(), SilentAlarms(), rounds, byzantine=1)
    assert heard[1] == {0: False, 1: True, 2: True, 3: True}


def test_an_adaptive_attack_tries_its_rows_with_the_alarms_that_it_will_raise() -> None:
    search = attacks.Maximise(attacks.SignFlip, over="scale", bounds=(0.5, 4), objective="accepted", candidates=4)
    silent = play(rules.SIREN(), search, captured(), byzantine=2)
    assert silent.byzantine_accepted == 1.0
    alarming = play(rules.SIREN(), FalseAlarms(inner=search), captured(), byzantine=2)
    assert alarming.byzantine_accepted < 1.0


@pytest.mark.parametrize("attack", [HOLE, "false-alarms:inner=alie"])
def test_a_defence_that_is_switched_on_late_is_played_against_when_it_is_on(attack: str) -> None:
    at_once = play(rules.SIREN(), parse(attack, "attack"), captured(), byzantine=2)
    late = play(rules.Delayed(base=rules.SIREN(), start=30), parse(attack, "attack"), captured(), byzantine=2)
    assert late == at_once
    chained = mixers.ClipNorm(radius=1e9) >> rules.SIREN()
    assert play(chained, parse(attack, "attack"), captured(), byzantine=2).kappa == pytest.approx(at_once.kappa)


# --- an examination -----------------------------------------------------------------------------------------


def test_the_arsenal_has_the_attack_on_divergent_alarms() -> None:
    assert HOLE in ALARMS
    for text in ALARMS:
        assert describe(parse(text, "attack"))
        assert parse(text, "attack").traits().protocol


def test_an_examination_of_siren_has_alarms_in_it(tmp_path: Path) -> None:
    file = tmp_path / "siren.jsonl"
    options: dict[str, Any] = {"warmup": 0, "rounds": 1, "worst": 1, "attacks": ("no-attack", HOLE)}
    found = examine(spec("siren", rounds=1), file, **options)
    assert found.settings["algorithm"].startswith("siren-client:inner=")
    by_attack = {finding.attack: finding for finding in found.findings}
    assert by_attack["no-attack"].byzantine_accepted == 1.0
    assert by_attack[describe(parse(HOLE, "attack"))].byzantine_accepted < 1.0
    assert len(found.trained) == 1
    assert "Clients: siren-client:inner=" in write_examinations([found], {}, tmp_path / "page.html").read_text()
    assert examine(spec("siren", rounds=1), file, **options).to_json() == found.to_json()
