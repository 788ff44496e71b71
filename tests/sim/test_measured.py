"""What records tell of a test besides accuracy, beside the formulas; and of virtual rows and drawn attacks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fedward as fw
from fedward import attacks, rules
from fedward.clients import Tally
from fedward.data.dataset import Dataset, FederatedData, Split
from tests.oracles import measures as oracle


def made(samples: int, classes: int, seed: int, scale: float = 2.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(samples, classes, generator=generator)
    return logits, torch.randint(0, classes - 1, (samples,), generator=generator)  # the last class has no sample


@settings(max_examples=40)
@given(samples=st.integers(1, 40), classes=st.integers(2, 30), seed=st.integers(0, 999))
def test_calibration_and_accuracy_by_class_are_those_of_the_formulas(samples: int, classes: int, seed: int) -> None:
    logits, labels = made(samples, classes, seed)
    tally = Tally.sum([Tally.of(logits[:7], labels[:7]), Tally.of(logits[7:], labels[7:])])
    expected = oracle.calibration_error(logits.double().tolist(), labels.tolist())
    assert tally.calibration_error == pytest.approx(expected, abs=1e-6)
    right = logits.argmax(1) == labels
    for label, found in enumerate(tally.by_class):
        of_class = labels == label
        assert found == (float(right[of_class].double().mean()) if of_class.any() else None)


def test_a_sure_model_that_is_half_right_is_off_by_half() -> None:
    logits = torch.tensor([[200.0, 0.0]]).expand(4, 2)
    assert Tally.of(logits, torch.tensor([0, 0, 1, 1])).calibration_error == 0.5
    assert Tally.of(logits.neg().nan_to_num() * torch.nan, torch.tensor([0, 0, 1, 1])).calibration_error is None


@settings(max_examples=40)
@given(samples=st.integers(5, 40), classes=st.integers(2, 6), seed=st.integers(0, 999))
def test_clients_are_tested_on_their_own_mix(samples: int, classes: int, seed: int) -> None:
    logits, labels = made(samples, classes, seed)
    held = [made(9, classes, seed + k)[1].tolist() for k in range(1, 4)]
    mixes = torch.stack([torch.bincount(torch.tensor(labels_), minlength=classes) for labels_ in held])
    found = Tally.of(logits, labels).among(mixes).tolist()
    there = set(labels.tolist())
    for accuracy, of_client in zip(found, held, strict=True):
        if there & set(of_client):
            expected = oracle.client_accuracy(logits.argmax(1).tolist(), labels.tolist(), of_client)
            assert accuracy == pytest.approx(expected)
        else:
            assert accuracy != accuracy


def data(classes: int = 4, samples: int = 240) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    centres = 2 * torch.randn(classes, 6, generator=generator)

    def split(n: int) -> Split:
        labels = torch.arange(n) % classes
        return Split(inputs=centres[labels] + torch.randn(n, 6, generator=generator), labels=labels)

    return Dataset(name="blobs", train=split(samples), test=split(80), classes=classes)


HELD = ([2], [3], [0, 1], [2, 3], [0, 2], [1, 3])
"""Classes of each client, the first two of which are byzantine."""


def simulation(**changes: object) -> fw.Simulation:
    dataset = data()
    places = torch.arange(len(dataset.train.labels)).reshape(-1, 4)  # class c is column c
    settings = {
        "model": lambda: torch.nn.Linear(6, 4),
        "data": FederatedData(dataset=dataset, shards=tuple(places[:, held].reshape(-1) for held in HELD)),
        "rule": rules.Mean(),
        "byzantine": 2,
        "seed": 3,
    }
    return fw.Simulation(**{**settings, **changes})  # type: ignore[arg-type]


def test_records_have_what_the_tests_found() -> None:
    run = simulation()
    first, second = run.run(2, evaluate_every=2)
    assert (first.by_class, first.worst_client, first.calibration_error, first.worst_class) == ((), None, None, None)
    tally = run.backend.evaluate(run.progress.parameters, run.data.dataset.test)
    assert second.by_class == tally.by_class
    assert second.worst_class == min(tally.by_class)
    assert second.calibration_error == tally.calibration_error
    labels = run.data.dataset.train.labels
    assert [sorted(set(labels[shard].tolist())) for shard in run.data.shards] == [*HELD]
    worst = min(sum(tally.by_class[c] for c in held) / 2 for held in HELD[2:])
    assert second.worst_client == pytest.approx(worst)


def test_virtual_rows_are_on_record_and_change_nothing() -> None:
    plain, virtual = simulation(), simulation(attack=attacks.Virtual(inner=attacks.Constant(value=-1.0)))
    for one, other in zip(plain.run(3, 2), virtual.run(3, 2), strict=True):
        assert torch.equal(plain.progress.parameters, virtual.progress.parameters)
        assert (one.accuracy, one.by_class) == (other.accuracy, other.by_class)
        if one.signs is None:
            assert other.signs is None
            continue
        assert dict(other.signs or {}) == {**one.signs, "virtual": (0.0, 0.0, 1.0)}
        assert other.attack is None


def test_the_attack_that_was_drawn_is_on_record() -> None:
    drawn = attacks.RandomSchedule([attacks.NoAttack(), attacks.SignFlip(scale=2.0)], every=2)
    records = list(simulation(attack=drawn).run(12, 6))
    assert {record.attack for record in records} == {"no-attack", "sign-flip:scale=2.0"}
    assert all(records[k].attack == records[k + 1].attack for k in range(0, 12, 2))
    for record in records:
        turned = record.signs is not None and record.attack != "no-attack"
        assert not turned or record.signs["byzantine"] != record.signs["honest"]


def test_memory_is_what_lies_there_after_the_round() -> None:
    server = fw.ServerSGD(lr=0.1, momentum=0.9)
    run = simulation(rule=rules.SignGuardSim(warmup=1), attack=attacks.Mimic(warmup=1), server=server)
    first, second = run.run(2, evaluate_every=2)
    assert first.memory == {}
    d = 6 * 4 + 4
    now = run.progress
    assert second.memory == {
        "rows": 6 * d * 4,
        "server": 2 * d * 4,
        "rule": sum(value.numel() * value.element_size() for value in now.rule_state.values()),
        "attacker": sum(value.numel() * value.element_size() for value in now.attack_state.values()),
        "clients": 0,
    }
    assert min(second.memory["rule"], second.memory["attacker"]) >= d * 4
