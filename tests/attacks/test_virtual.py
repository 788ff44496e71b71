"""Attacks that are looked at and not played, and which attack is played when."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import fedward as fw
from fedward import attacks
from fedward.attacks import View
from fedward.stack import Dense, materialise
from tests.oracles import attacks as oracle

ROWS = torch.randn(7, 30, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
VIEW = View(honest=Dense(ROWS[:5]), own=Dense(ROWS[5:]))


def test_own_rows_are_sent_and_forged_ones_are_looked_at() -> None:
    attack = attacks.Virtual(inner=attacks.ALIE(z=0.3))
    assert torch.equal(materialise(attack.forged(VIEW)), ROWS[5:])
    looked_at = attack.unsent(VIEW)
    assert looked_at is not None
    expected = oracle.attack_lie(ROWS[:5].numpy(), 2, 0.3)
    np.testing.assert_allclose(materialise(looked_at), expected, rtol=1e-12)
    assert attacks.ALIE().unsent(VIEW) is None


def test_byzantine_clients_work_as_nobody_attacks() -> None:
    assert attacks.ALIE().traits().knows == "honest"  # so that they are spared it
    assert attacks.Virtual().traits().knows == "all"


@pytest.mark.parametrize(
    "around",
    [
        lambda a: attacks.FalseAlarms(inner=a),
        lambda a: attacks.Schedule({0: a}),
        lambda a: attacks.RandomSchedule([a]),
        lambda a: attacks.Groups([a, a]),
    ],
)
def test_what_is_around_shows_the_same_rows(around) -> None:
    inner = attacks.Virtual(inner=attacks.ALIE(z=0.3))
    found = around(inner).unsent(VIEW)
    assert torch.equal(materialise(found), materialise(inner.unsent(VIEW)))
    assert around(attacks.ALIE()).unsent(VIEW) is None


def test_an_attack_that_remembers_what_it_sent_is_refused() -> None:
    with pytest.raises(ValueError, match="remembers rows that it sent"):
        attacks.Virtual(inner=attacks.Mimic())


@pytest.mark.parametrize(
    "inner",
    [
        attacks.LabelFlip(),
        attacks.Backdoor(),
        attacks.TargetedPoisoning(),
        attacks.RandomSchedule([attacks.ALIE(), attacks.LabelFlip()]),
        attacks.FalseAlarms(inner=attacks.ALIE()),
        attacks.Sybils(inner=attacks.ALIE()),
    ],
)
def test_an_attack_that_does_more_than_send_rows_is_refused(inner: attacks.Attack) -> None:
    with pytest.raises(ValueError, match="does more than send rows, and nobody acts here"):
        attacks.Virtual(inner=inner)


# --- which attack is played -----------------------------------------------------------------------------------


def test_the_attack_of_the_round_is_told() -> None:
    parts = (attacks.NoAttack(), attacks.ALIE(), attacks.MinMax())
    drawn = attacks.RandomSchedule(parts, every=3)
    planned = attacks.Schedule({2: attacks.ALIE(), 4: attacks.MinMax()})
    told = [drawn.played(fw.Context(round, seed=1)) for round in range(30)]
    assert all(told[k] is told[k - k % 3] for k in range(30))
    assert {type(attack) for attack in told} == {type(part) for part in parts}
    for number, attack in enumerate(told):
        sent = materialise(drawn.forged(View(honest=VIEW.honest, own=VIEW.own, context=fw.Context(number, seed=1))))
        assert torch.equal(sent, materialise(attack.forged(VIEW)))
    assert [type(planned.played(fw.Context(t))).__name__ for t in range(6)] == [
        *["NoAttack"] * 2,
        *["ALIE"] * 2,
        *["MinMax"] * 2,
    ]


def test_an_attack_that_stays_is_itself_whatever_is_around_it() -> None:
    for attack in (attacks.ALIE(), attacks.FalseAlarms(inner=attacks.ALIE()), attacks.Groups([attacks.ALIE()])):
        assert attack.played(fw.Context(3)) is attack
    alarms = attacks.FalseAlarms(inner=attacks.Schedule({0: attacks.NoAttack(), 2: attacks.ALIE()}))
    assert [type(alarms.played(fw.Context(t))).__name__ for t in (1, 2)] == ["NoAttack", "ALIE"]
