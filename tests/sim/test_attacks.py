"""Attacks in the simulator: they take part as they say, a run resumes bitwise, and records tell of their success."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fedward as fw
from fedward import attacks, rules
from fedward.sim import Dataset, FederatedData, Split
from tests.oracles import attacks as oracle

N, M, CLASSES, ROUNDS = 8, 2, 4, 4


def net() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, CLASSES))


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, CLASSES))


def split(samples: int, seed: int) -> Split:
    inputs = torch.randn(samples, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    return Split(inputs=inputs, labels=inputs.flatten(1)[:, :CLASSES].argmax(1))


DATA = FederatedData(
    dataset=Dataset(name="tiny", train=split(10 * N, 0), test=split(60, 1), classes=CLASSES),
    shards=torch.randperm(10 * N, generator=torch.Generator().manual_seed(2)).split(10),
)

ATTACKS: dict[str, attacks.Attack] = {
    "label-flip": attacks.LabelFlip(),
    "label-flip of one class": attacks.LabelFlip(source=0, target=3),
    "targeted-poisoning": attacks.TargetedPoisoning(source=0, label=3),
    "backdoor": attacks.Backdoor(label=1, size=2),
    "schedule": attacks.Schedule({0: attacks.NoAttack(), 1: attacks.Mimic(warmup=2), 3: attacks.LabelFlip()}),
    "random-schedule": attacks.RandomSchedule([attacks.Mimic(), attacks.PoisonedFL(), attacks.LabelFlip()]),
    "sybils": attacks.Sybils(inner=attacks.PoisonedFL(every=1), join=2),
    "groups": attacks.Groups([attacks.PoisonedFL(), attacks.Mimic()]),
    "free-rider": attacks.FreeRider(),
    "poisonedfl": attacks.PoisonedFL(every=2),
    "mimic": attacks.Mimic(warmup=3),
    "mimic of the first round": attacks.Mimic(target="first-round"),
    "mimic of one client": attacks.Mimic(target=5),
    "alie with jitter": attacks.ALIE(z=-1.0, jitter=0.05, ddof=1, knows="all"),
    "tailored-min-max": attacks.TailoredMinMax(direction="unit"),
    "maximise": attacks.Maximise(attacks.Deviation, over="gamma", candidates=4),
    "false-alarms": attacks.FalseAlarms(inner=attacks.ALIE()),
    "byz-mean of mimic": attacks.ByzMean(inner=attacks.Mimic(warmup=3)),
    "fang-krum": attacks.FangKrum(),
    "fang-trimmed-mean": attacks.FangTrimmedMean(),
    "non-finite": attacks.NonFinite(),
}
AIMED = {"targeted-poisoning", "backdoor"}
REMEMBERING = {"schedule", "random-schedule", "sybils", "groups", "poisonedfl", "byz-mean of mimic"}
REMEMBERING |= {"mimic", "mimic of the first round"}


def simulation(**changes: Any) -> fw.Simulation:
    settings = {
        "model": net,
        "data": DATA,
        "rule": rules.TrimmedMean(f=1),
        "byzantine": M,
        "clients": fw.clients.Gradient(batch_size=5),
        "server": fw.ServerSGD(lr=0.2, momentum=0.9),
        "seed": 3,
    }
    return fw.Simulation(**{**settings, **changes})


def timeless(records: Any) -> list[dict[str, Any]]:
    return [{**asdict(record), "seconds": sorted(record.seconds)} for record in records]


@pytest.mark.parametrize("name", ATTACKS)
def test_a_run_resumes_bitwise_from_a_checkpoint_in_its_middle(name: str, tmp_path: Path) -> None:
    attack = ATTACKS[name]
    straight, path = simulation(attack=attack), tmp_path / "run.pt"
    records = list(straight.run(ROUNDS, evaluate_every=2))
    assert [record.round for record in records] == [1, 2, 3, 4]
    assert all(record.skipped is None for record in records)
    assert straight.progress.parameters.isfinite().all()
    list(simulation(attack=attack).run(2, evaluate_every=2, checkpoint=path))
    resumed = simulation(attack=attack)
    assert [record.round for record in resumed.run(ROUNDS, evaluate_every=2, checkpoint=path)] == [3, 4]
    assert torch.equal(straight.progress.parameters, resumed.progress.parameters)
    assert straight.progress.attack_state.keys() == resumed.progress.attack_state.keys()
    for key, value in straight.progress.attack_state.items():
        assert torch.equal(value, resumed.progress.attack_state[key]), key
    assert timeless(straight.records) == timeless(resumed.records)
    assert bool(straight.progress.attack_state) is (name in REMEMBERING)


@pytest.mark.parametrize("name", ATTACKS)
def test_records_tell_the_confidence_of_attacks_that_are_after_something(name: str) -> None:
    sim = simulation(attack=ATTACKS[name])
    for record in sim.run(ROUNDS, evaluate_every=2):
        if name in AIMED and record.round % 2 == 0:
            assert 0 < record.confidence < 1
            assert record.confidence == pytest.approx(confidence(sim, ATTACKS[name]), rel=1e-5)
        else:
            assert record.confidence is None


def confidence(sim: fw.Simulation, attack: attacks.Attack) -> float:
    """The mean probability of the wanted labels, by definition."""
    model = (net if len(sim.parameters()) == 4 else linear)().eval()
    model.load_state_dict(sim.parameters())
    inputs, labels = DATA.dataset.test.inputs.clone(), DATA.dataset.test.labels
    if isinstance(attack, attacks.Backdoor):
        chosen, wanted = labels != attack.label, attack.label
        inputs[chosen, :, -attack.size :, -attack.size :] = inputs[chosen].max()
    else:
        assert isinstance(attack, attacks.TargetedPoisoning)
        chosen, wanted = labels == attack.source, attack.label
    with torch.no_grad():
        return float(model(inputs[chosen]).softmax(1)[:, wanted].mean())


def test_without_byzantine_clients_there_is_no_confidence() -> None:
    sim = simulation(attack=attacks.TargetedPoisoning(), byzantine=0)
    assert all(record.confidence is None for record in sim.run(2, evaluate_every=1))


@pytest.mark.parametrize("attack", [attacks.TargetedPoisoning(source=0, label=3), attacks.Backdoor(label=1, size=2)])
def test_poisoned_training_gets_its_way(attack: attacks.Attack) -> None:
    """Against a mean the wanted label becomes likelier than it does in training without attack."""
    runs = []
    for played in (attack, attacks.NoAttack()):
        sim = simulation(attack=played, rule=rules.Mean(), model=linear)
        list(sim.run(40, evaluate_every=40))
        runs.append(confidence(sim, attack))
    assert runs[0] > runs[1] + 0.2


# --- who takes part -----------------------------------------------------------------------------------------


def test_sybils_take_part_from_the_round_they_join() -> None:
    sim = simulation(attack=attacks.Sybils(inner=attacks.Constant(value=2.0), join=2))
    for record in sim.run(ROUNDS, evaluate_every=1):
        joined = record.round > 2
        assert [accepted is not None for accepted in record.accepted] == [joined] * M + [True] * (N - M)
        assert (record.byzantine_accepted is None) is not joined
        assert (record.signs["byzantine"] is None) is not joined
        if joined:
            assert (sim.rows[:M] == 2).all()


def test_the_rows_are_those_of_the_clients_that_took_part() -> None:
    sim = simulation(attack=attacks.Sybils(inner=attacks.Zero(), join=2))
    assert [len(sim.rows) for _ in sim.run(ROUNDS)] == [N - M, N - M, N, N]


def test_before_sybils_join_the_run_is_that_of_the_honest_alone() -> None:
    sim = simulation(attack=attacks.Sybils(inner=attacks.SignFlip(), join=3), rule=rules.Mean())
    with_them = simulation(attack=attacks.NoAttack(), rule=rules.Mean())
    server = sim.server
    for k, _ in enumerate(zip(sim.run(3), with_them.run(3), strict=True)):
        assert len(sim.rows) == N - M
        if k == 0:
            assert torch.equal(sim.rows, with_them.rows[M:])
            initial, _ = server.step(sim.backend.initial(), sim.rows.mean(0), None)
            torch.testing.assert_close(sim.progress.parameters, initial)


def test_a_rule_that_needs_more_clients_than_there_are_before_sybils_join_skips_rounds() -> None:
    sim = simulation(attack=attacks.Sybils(inner=attacks.ALIE(), join=2), rule=rules.Krum(f=2))
    skipped = [record.skipped for record in sim.run(ROUNDS)]
    assert [s is None for s in skipped] == [False, False, True, True]
    assert "= 7 clients (n >= f + 3 = 5 with bound='definition'), got 6" in skipped[0]


# --- what they send -----------------------------------------------------------------------------------------


def test_free_riders_send_the_last_step_of_the_server() -> None:
    sim = simulation(attack=attacks.FreeRider(), rule=rules.Mean())
    last = None
    for _ in sim.run(ROUNDS):
        expected = torch.zeros(sim.rows.shape[1]) if last is None else last
        assert torch.equal(sim.rows[:M], expected.expand(M, -1))
        last = sim.progress.velocity


def test_mimic_sends_an_honest_row() -> None:
    sim = simulation(attack=attacks.Mimic(warmup=2))
    copied = []
    for _ in sim.run(ROUNDS):
        same = [i for i in range(M, N) if torch.equal(sim.rows[i], sim.rows[0])]
        assert len(same) == 1
        assert torch.equal(sim.rows[0], sim.rows[1])
        copied += same
    assert copied[1] == copied[2] == copied[3]


def test_poisoned_fl_is_eight_times_as_long_as_the_last_step_and_always_along_the_same_signs() -> None:
    sim = simulation(attack=attacks.PoisonedFL(), rule=rules.Mean(), server=fw.ServerSGD(lr=0.01))
    last, signs = None, None
    for _ in sim.run(ROUNDS):
        row = sim.rows[0]
        if last is None:
            assert not row.any()
        else:
            assert float(row.norm()) == pytest.approx(8 * float(last.norm()), rel=1e-4)
            signs = row.sign() if signs is None else signs
            assert (row * signs >= 0).all()
        last = sim.progress.velocity


def test_poisoned_data_changes_only_byzantine_rows() -> None:
    for attack in (attacks.TargetedPoisoning(source=0, label=3, boost=1.0), attacks.Backdoor(boost=1.0, size=2)):
        poisoned, clean = simulation(attack=attack), simulation()
        before = DATA.dataset.train.inputs.clone(), DATA.dataset.train.labels.clone()
        _ = next(poisoned.run(1)), next(clean.run(1))
        assert torch.equal(poisoned.rows[M:], clean.rows[M:])
        assert not torch.equal(poisoned.rows[:M], clean.rows[:M])
        assert torch.equal(DATA.dataset.train.inputs, before[0])
        assert torch.equal(DATA.dataset.train.labels, before[1])


def test_boosted_rows_are_n_over_m_times_as_long() -> None:
    boosted = simulation(attack=attacks.TargetedPoisoning(source=0, label=3))
    plain = simulation(attack=attacks.TargetedPoisoning(source=0, label=3, boost=1.0))
    _ = next(boosted.run(1)), next(plain.run(1))
    torch.testing.assert_close(boosted.rows[:M], N / M * plain.rows[:M])


def test_only_the_clients_of_a_group_train_on_its_data() -> None:
    flips = attacks.Groups([attacks.LabelFlip(), attacks.NoAttack()])
    grouped, flipped, clean = simulation(attack=flips), simulation(attack=attacks.LabelFlip()), simulation()
    _ = next(grouped.run(1)), next(flipped.run(1)), next(clean.run(1))
    assert torch.equal(grouped.rows[0], flipped.rows[0])
    assert torch.equal(grouped.rows[1:], clean.rows[1:])


@dataclass(frozen=True, kw_only=True)
class Listens(fw.Rule):
    """Averages, and writes down what clients say."""

    heard: list[Mapping[Any, Any]]

    def decide(self, updates: fw.Updates, state: fw.State, context: fw.Context) -> fw.Plan:
        self.heard.append(dict(context.messages))
        return fw.average_of(updates, torch.arange(updates.n))


@pytest.mark.parametrize(
    ("attack", "alarms"),
    [
        (attacks.NoAttack(), {}),
        (attacks.FalseAlarms(), {1: {"alarm": True}, 6: {"alarm": True}}),
        (attacks.SilentAlarms(), {1: {"alarm": False}, 6: {"alarm": False}}),
    ],
    ids=lambda a: type(a).__name__,
)
def test_the_rule_hears_what_byzantine_clients_say(attack: attacks.Attack, alarms: Mapping[int, Any]) -> None:
    heard: list[Mapping[Any, Any]] = []
    list(simulation(attack=attack, byzantine=[1, 6], rule=Listens(heard=heard)).run(3))
    assert all(said["num-examples"] > 0 for round in heard for said in round.values())
    alarming = [{c: {"alarm": said["alarm"]} for c, said in round.items() if "alarm" in said} for round in heard]
    assert alarming == [alarms] * 3


def test_alie_in_a_round_of_one_class_goes_by_that_class_alone() -> None:
    sim = simulation(
        attack=attacks.ALIE(z=1.0),
        clients=fw.clients.ClassMomentum(batch_size=2),
        rule=rules.ClassWise(base=rules.Median()),
        byzantine=[0, 1],
    )
    for record in sim.run(ROUNDS):
        took_part = [client for client, verdict in enumerate(record.accepted) if verdict is not None]
        m = sum(client < 2 for client in took_part)
        rows = sim.rows.numpy()
        assert len(rows) == len(took_part)
        held = oracle.attack_alie_classwise([rows[m:]], 0, m)
        np.testing.assert_allclose(rows[:m], held, atol=1e-6)


def test_an_adaptive_attack_asks_the_rule_that_there_is() -> None:
    """Against Krum the search stays close enough to be picked; against a mean it goes as far as it may."""
    search = attacks.Maximise(attacks.Deviation, over="gamma", bounds=(0.0, 100.0))
    hidden = replace(search, objective="accepted")
    krum = simulation(attack=hidden, rule=rules.Krum(f=2))
    assert next(krum.run(1)).byzantine_accepted == 0.5  # Krum picks one of the two
    mean = simulation(attack=search, rule=rules.Mean())
    next(mean.run(1))
    honest = mean.rows[M:].double()
    expected = honest.mean(0) - 100 * honest.std(0, correction=0)
    torch.testing.assert_close(mean.rows[0].double(), expected, rtol=1e-4, atol=1e-5)
