"""Attacks made of attacks: which part plays when and for whom, and that it plays as it would alone."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import fedward as fw
from fedward import attacks
from fedward.attacks import Batch, View
from fedward.core import State
from fedward.stack import Dense, Updates, materialise

H, M, D = 9, 7, 12


@dataclass(frozen=True, kw_only=True)
class Counter(attacks.Attack):
    """Sends how many rounds it has played, and has a say in everything."""

    step: float = 1.0
    declared = fw.Traits(history=True)

    def forge(self, view: View) -> Updates:
        count = int(view.state.get("count", 0)) + 1
        return Dense(torch.full((view.own.n, view.own.d), count * self.step, dtype=view.own.dtype))

    def advance(self, view: View, forged: Tensor) -> State:
        return {"count": torch.tensor(int(view.state.get("count", 0)) + 1)}

    def poison(self, batch: Batch, context: fw.Context) -> Batch:
        return replace(batch, labels=batch.labels + 1)

    def say(self, messages: Mapping[str, Any], context: fw.Context) -> Mapping[str, Any]:
        return {**messages, "round": context.round}

    def present(self, context: fw.Context) -> bool:
        return context.round != 3

    def aim(self, inputs: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
        return inputs[:1], labels[:1]


def rows(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    honest, own = (1 + torch.randn(k, D, generator=generator, dtype=torch.float64) for k in (H, M))
    return honest, own


def play(attack: attacks.Attack, rounds: Sequence[int], seed: int = 0) -> list[Tensor]:
    """What it sends in each of these rounds."""
    honest, own = rows()
    state: State = {}
    sent = []
    for round in rounds:
        view = View(honest=Dense(honest), own=Dense(own), context=fw.Context(round=round, seed=seed), state=state)
        sent.append(materialise(attack.forge(view)))
        state = attack.advance(view, sent[-1])
    return sent


def firsts(attack: attacks.Attack, rounds: Sequence[int]) -> list[float]:
    return [float(sent[0, 0]) for sent in play(attack, rounds)]


# --- what is inside is heard --------------------------------------------------------------------------------

WRAPPERS: dict[str, Callable[[attacks.Attack], attacks.Attack]] = {
    "byz-mean": lambda a: attacks.ByzMean(inner=a, split=1.0),
    "schedule": lambda a: attacks.Schedule({0: a}),
    "random-schedule": lambda a: attacks.RandomSchedule([a]),
    "groups": lambda a: attacks.Groups([a]),
    "sybils": lambda a: attacks.Sybils(inner=a, join=0),
    "false-alarms": lambda a: attacks.FalseAlarms(inner=a),
    "silent-alarms": lambda a: attacks.SilentAlarms(inner=a),
    "maximise": lambda a: attacks.Maximise(a, over="step", bounds=(0.5, 1.0)),
}
ONE_VOICE = sorted(WRAPPERS.keys() - {"groups"})  # that of all byzantine clients


def test_every_attack_that_has_another_inside_is_tried() -> None:
    has = {e.name for e in fw.catalogue("attack") if {"inner", "attack", "attacks"} & e.arguments.keys()}
    assert has == {*WRAPPERS, "virtual"}  # which sends nothing of what is inside: test_virtual.py


@pytest.mark.parametrize("name", WRAPPERS)
def test_the_memory_inside_is_kept(name: str) -> None:
    attack = WRAPPERS[name](Counter())
    assert attack.traits().history
    assert firsts(attack, range(5)) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("name", sorted(WRAPPERS.keys() - {"maximise"}))
def test_without_memory_inside_there_is_none(name: str) -> None:
    assert not WRAPPERS[name](attacks.ALIE()).traits().history
    assert not attacks.Maximise(attacks.ALIE, over="z").traits().history


@pytest.mark.parametrize("name", WRAPPERS)
def test_data_is_poisoned_by_what_is_inside(name: str) -> None:
    attack = WRAPPERS[name](Counter())
    batch = Batch(inputs=torch.zeros(4, 1, 5, 5), labels=torch.arange(4), classes=10, member=2, members=3)
    poisoned = attack.poison(batch, fw.Context(round=1))
    assert poisoned.labels.tolist() == [1, 2, 3, 4]
    assert (poisoned.member, poisoned.members) == (2, 3)
    assert batch.labels.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ONE_VOICE)
def test_what_is_inside_speaks(name: str) -> None:
    attack = WRAPPERS[name](Counter())
    said = dict(attack.say({"alarm": "honest", "other": 1}, fw.Context(round=6)))
    alarms = {attacks.FalseAlarms: True, attacks.SilentAlarms: False}
    assert said == {"alarm": alarms.get(type(attack), "honest"), "other": 1, "round": 6}


@pytest.mark.parametrize("name", ONE_VOICE)
def test_what_is_inside_stays_away(name: str) -> None:
    attack = WRAPPERS[name](Counter())
    assert [attack.present(fw.Context(round=r)) for r in range(5)] == [True, True, True, False, True]


@pytest.mark.parametrize("name", WRAPPERS)
def test_what_is_inside_has_an_aim(name: str) -> None:
    attack = WRAPPERS[name](Counter())
    inputs, labels = torch.rand(6, 1, 5, 5), torch.arange(6)
    aimed = attack.aim(inputs, labels, 10)
    assert aimed is not None
    assert torch.equal(aimed[0], inputs[:1])


@pytest.mark.parametrize("wrap", [w for name, w in WRAPPERS.items() if name not in ("byz-mean", "maximise")])
@pytest.mark.parametrize("inner", [attacks.ALIE(), attacks.SignFlip(), attacks.ByzMean(), attacks.Zero()], ids=str)
def test_rows_are_those_of_what_is_inside(
    wrap: Callable[[attacks.Attack], attacks.Attack], inner: attacks.Attack
) -> None:
    honest, own = rows()
    context = fw.Context(round=4, seed=1)
    assert torch.equal(wrap(inner)(honest, own, context=context), inner(honest, own, context=context))


# --- schedules ----------------------------------------------------------------------------------------------


def test_a_schedule_plays_each_part_from_its_round_to_the_next() -> None:
    schedule = attacks.Schedule({5: attacks.Constant(value=2), 2: attacks.SignFlip(), 9: attacks.NoAttack()})
    _, own = rows()
    for round, sent in enumerate(play(schedule, range(12))):
        expected = own if round < 2 or round >= 9 else -own if round < 5 else torch.full_like(own, 2)
        assert torch.equal(sent, expected), round
    last = play(attacks.Schedule({0: attacks.NoAttack(), 7: attacks.Zero()}), [6, 7, 8, 1000])
    assert [bool(sent.any()) for sent in last] == [True, False, False, False]


def test_the_order_in_which_a_schedule_is_written_does_not_matter() -> None:
    parts = {0: attacks.NoAttack(), 50: attacks.MinMax(), 80: attacks.NoAttack()}
    other = dict(reversed(parts.items()))
    assert attacks.Schedule(parts) == attacks.Schedule(other) == attacks.Schedule(tuple(parts.items()))
    assert repr(attacks.Schedule(parts)) == repr(attacks.Schedule(other))
    assert hash(attacks.Schedule(parts)) == hash(attacks.Schedule(other))


def test_parts_of_a_schedule_have_memories_of_their_own() -> None:
    schedule = attacks.Schedule({0: Counter(), 2: attacks.Zero(), 4: Counter(), 6: Counter(step=10)})
    assert firsts(schedule, range(9)) == [1, 2, 0, 0, 1, 2, 10, 20, 30]


def test_a_part_remembers_across_rounds_in_which_it_did_not_play() -> None:
    schedule = attacks.RandomSchedule([Counter(), Counter(step=100)])
    seen = firsts(schedule, range(20))
    small, large = [v for v in seen if v < 100], [v / 100 for v in seen if v >= 100]
    assert small == [*range(1, len(small) + 1)]
    assert large == [*range(1, len(large) + 1)]
    assert min(len(small), len(large)) > 3


def test_data_messages_and_presence_follow_the_schedule() -> None:
    schedule = attacks.Schedule(
        {
            1: attacks.LabelFlip(),
            2: attacks.FalseAlarms(),
            3: attacks.Sybils(join=5),
            6: attacks.TargetedPoisoning(source=3, label=0),
        }
    )
    batch = Batch(inputs=torch.zeros(4, 2), labels=torch.arange(4), classes=4)
    for round in range(8):
        context = fw.Context(round=round)
        labels = schedule.poison(batch, context).labels.tolist()
        assert labels == {1: [3, 2, 1, 0], 6: [0, 1, 2, 0], 7: [0, 1, 2, 0]}.get(round, [0, 1, 2, 3])
        assert schedule.say({}, context) == ({"alarm": True} if round == 2 else {})
        assert schedule.present(context) is (round not in (3, 4))
    aimed = schedule.aim(torch.arange(4.0)[:, None], torch.arange(4), 4)
    assert aimed is not None
    assert (aimed[0].tolist(), aimed[1].tolist()) == ([[3.0]], [0])


# --- drawn at random ----------------------------------------------------------------------------------------

STRATEGIES = tuple(attacks.Constant(value=float(k)) for k in range(9))


def drawn(attack: attacks.Attack, rounds: int, seed: int = 0) -> list[int]:
    honest, own = torch.zeros(1, 1), torch.zeros(1, 1)
    return [int(attack(honest, own, context=fw.Context(round=r, seed=seed))) for r in range(rounds)]


def test_every_strategy_is_drawn_as_often_as_every_other() -> None:
    tally = Tally(drawn(attacks.RandomSchedule(STRATEGIES), 1800))
    chi_square = sum((tally[k] - 200) ** 2 / 200 for k in range(9))
    assert chi_square < 26.1  # exceeded once in a thousand with 8 degrees of freedom


def test_draws_do_not_hang_together() -> None:
    draws = drawn(attacks.RandomSchedule(STRATEGIES), 1800)
    stays = sum(a == b for a, b in pairwise(draws))
    assert 150 < stays < 250  # one in nine, 200 expected
    assert draws[:50] != drawn(attacks.RandomSchedule(STRATEGIES), 50, seed=1)
    assert draws[:50] == drawn(attacks.RandomSchedule(STRATEGIES), 50)


def test_a_draw_holds_for_an_epoch() -> None:
    draws = drawn(attacks.RandomSchedule(STRATEGIES, every=20), 400)
    epochs = [draws[20 * e : 20 * (e + 1)] for e in range(20)]
    assert all(len(set(epoch)) == 1 for epoch in epochs)
    assert len({epoch[0] for epoch in epochs}) > 4
    assert [epoch[0] for epoch in epochs] == drawn(attacks.RandomSchedule(STRATEGIES), 20)


def test_all_that_is_asked_of_a_draw_is_answered_by_one_strategy() -> None:
    schedule = attacks.RandomSchedule(
        [attacks.NoAttack(), attacks.FalseAlarms(inner=attacks.LabelFlip()), attacks.Sybils(join=99)]
    )
    batch, seen = Batch(inputs=torch.zeros(2, 1), labels=torch.arange(2), classes=2), set()
    for round in range(60):
        context = fw.Context(round=round, seed=3)
        answers = (
            schedule.poison(batch, context).labels.tolist(),
            dict(schedule.say({}, context)),
            schedule.present(context),
        )
        strategies = [([0, 1], {}, True), ([1, 0], {"alarm": True}, True), ([0, 1], {}, False)]
        assert answers in strategies
        seen.add(strategies.index(answers))
    assert seen == {0, 1, 2}


def test_strategies_draw_their_noise_anew() -> None:
    first, second = play(attacks.RandomSchedule([attacks.Gaussian()]), [0, 1])
    assert not torch.equal(first, second)
    one, other = (play(attacks.RandomSchedule([attacks.Gaussian()]), [0], seed)[0] for seed in (0, 1))
    assert not torch.equal(one, other)


# --- groups -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("m", "groups", "sizes"), [(7, 3, [3, 2, 2]), (6, 3, [2, 2, 2]), (2, 3, [1, 1, 0]), (5, 1, [5]), (1, 2, [1, 0])]
)
def test_members_are_dealt_in_order_the_first_groups_larger(m: int, groups: int, sizes: list[int]) -> None:
    attack = attacks.Groups([attacks.Constant(value=float(k)) for k in range(groups)])
    sent = attack(torch.zeros(3, 4), torch.zeros(m, 4))
    assert sent[:, 0].tolist() == [float(k) for k, size in enumerate(sizes) for _ in range(size)]
    flips = attacks.Groups([attacks.LabelFlip(source=0, target=k + 1) for k in range(groups)])
    poisoned = [
        flips.poison(
            Batch(inputs=torch.zeros(1, 1), labels=torch.zeros(1, dtype=torch.int64), classes=9, member=i, members=m),
            fw.Context(),
        )
        for i in range(m)
    ]
    assert [int(b.labels) - 1 for b in poisoned] == sent[:, 0].tolist()
    assert [(b.member, b.members) for b in poisoned] == [(i, m) for i in range(m)]


PARTS = (
    attacks.ALIE(z=1.0),
    attacks.ByzMean(),
    attacks.SignFlip(),
    attacks.IPM(knows="own"),
    attacks.ALIE(knows="all"),
    attacks.Scaling(factor=3),
)


def test_each_group_attacks_as_if_it_were_alone_with_the_honest() -> None:
    honest, own = rows()
    for parts in (PARTS[:2], PARTS[2:4], PARTS[1:4], PARTS[3:], PARTS):
        sent = attacks.Groups(parts)(honest, own)
        members = np.array_split(np.arange(M), len(parts))
        expected = [attack(honest, own[torch.from_numpy(part)]) for attack, part in zip(parts, members, strict=True)]
        torch.testing.assert_close(sent, torch.cat(expected), rtol=1e-12, atol=1e-12)


def test_groups_have_memories_and_noise_of_their_own() -> None:
    honest, own = rows()
    attack = attacks.Groups([Counter(), attacks.Schedule({1: Counter(step=10)})])
    assert attack.traits().history
    sent = play(attack, range(3))
    assert [s[0, 0].item() for s in sent] == [1, 2, 3]
    assert [s[-1, 0].item() for s in sent][1:] == [10, 20]
    noisy = attacks.Groups([attacks.Gaussian(), attacks.Gaussian()])(honest, own[:4])
    assert len(torch.unique(noisy)) == noisy.numel()


def test_the_members_of_a_group_are_counted_within_it() -> None:
    """A group inside a group deals its own members."""
    inner = attacks.Groups([attacks.Constant(value=1.0), attacks.Constant(value=2.0)])
    attack = attacks.Groups([inner, attacks.Constant(value=3.0)])
    assert attack(torch.zeros(3, 4), torch.zeros(7, 4))[:, 0].tolist() == [1, 1, 2, 2, 3, 3, 3]
    flips = attacks.Groups([attacks.LabelFlip(source=0, target=1), attacks.LabelFlip(source=0, target=2)])
    nested = attacks.Groups([flips, attacks.LabelFlip(source=0, target=3)])
    labels = [
        int(
            nested.poison(
                Batch(
                    inputs=torch.zeros(1, 1), labels=torch.zeros(1, dtype=torch.int64), classes=9, member=i, members=7
                ),
                fw.Context(),
            ).labels
        )
        for i in range(7)
    ]
    assert labels == [1, 1, 2, 2, 3, 3, 3]


@pytest.mark.parametrize(
    "silent", [lambda: attacks.FalseAlarms(), lambda: attacks.SilentAlarms(), lambda: attacks.Sybils(join=3)]
)
def test_a_group_that_cannot_have_its_way_is_refused(silent: Callable[[], attacks.Attack]) -> None:
    """What only some of the byzantine clients say, or when only some are there, must not be lost without a word."""
    with pytest.raises(ValueError, match="is for all byzantine clients at once"):
        attacks.Groups([silent(), attacks.ALIE()])


# --- sybils and alarms --------------------------------------------------------------------------------------


def test_sybils_are_absent_before_they_join() -> None:
    attack = attacks.Sybils(inner=attacks.Zero(), join=4)
    assert [attack.present(fw.Context(round=r)) for r in range(6)] == [False] * 4 + [True] * 2
    assert not attack(*rows(), context=fw.Context(round=4)).any()
    nested = attacks.Sybils(inner=attacks.Sybils(join=5), join=3)
    assert [nested.present(fw.Context(round=r)) for r in range(7)] == [False] * 5 + [True] * 2
    assert attacks.Sybils(join=0).present(fw.Context(round=0))


@pytest.mark.parametrize("round", [0, 3, 100])
@pytest.mark.parametrize("honestly", [{}, {"alarm": True}, {"alarm": False}, {"alarm": False, "samples": 9}])
def test_alarms(round: int, honestly: dict[str, Any]) -> None:
    context = fw.Context(round=round)
    before = dict(honestly)
    assert attacks.FalseAlarms().say(honestly, context) == {**honestly, "alarm": True}
    assert attacks.SilentAlarms().say(honestly, context) == {**honestly, "alarm": False}
    assert attacks.FalseAlarms(inner=attacks.SilentAlarms()).say(honestly, context)["alarm"] is True
    assert attacks.NoAttack().say(honestly, context) == honestly == before
