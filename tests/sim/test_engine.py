"""The simulator: what a round does, that it can be repeated, and what the records say."""

import random
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

import fedward as fw
from fedward import attacks, rules
from tests.sim.engine import CLASSES, DATA, N, convolution, data, dropping, linear, simulation, spied, timeless

# --- repeatable ---------------------------------------------------------------------------------------------

CONFIGURATIONS = {
    "plain": {},
    "dropout": {"model": dropping, "rule": rules.SignGuardSim(warmup=2), "byzantine": 2, "attack": attacks.ALIE()},
    "noise": {"rule": rules.MultiKrum(f=2), "byzantine": 2, "attack": attacks.Noise()},
    "some": {"participation": 0.6, "model": dropping, "server": fw.ServerSGD(lr=0.1, momentum=0.9)},
    "convolution": {"model": convolution, "rule": rules.Median()},
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_same_seed_is_bitwise_the_same_run(name):
    one, other, third = (simulation(**CONFIGURATIONS[name], seed=seed) for seed in (3, 3, 4))
    for _ in zip(one.run(5, 2), other.run(5, 2), third.run(5, 2), strict=True):  # side by side, so nothing is shared
        assert torch.equal(one.progress.parameters, other.progress.parameters)
        assert not torch.equal(one.progress.parameters, third.progress.parameters)
    assert timeless(one.records) == timeless(other.records) != timeless(third.records)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_global_generators_are_neither_used_nor_changed(name):
    torch.manual_seed(11), np.random.seed(11), random.seed(11)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    sim = simulation(**CONFIGURATIONS[name])
    list(sim.run(3))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]
    assert random.getstate() == before[2]
    torch.manual_seed(12)
    again = simulation(**CONFIGURATIONS[name])
    list(again.run(3))
    assert torch.equal(sim.progress.parameters, again.progress.parameters)


def test_every_sample_is_used_once_an_epoch_and_every_client_and_round_has_its_own_dropout():
    sim = simulation()
    seen = spied(sim)
    list(sim.run(4))
    assert len({job.seed for round in seen for job in round["jobs"].values()}) == 4 * N
    for epoch in (seen[:2], seen[2:]):
        for client in range(N):
            used = torch.cat([round["jobs"][client].inputs for round in epoch])
            own = DATA.dataset.train.inputs[DATA.shards[client]]
            assert torch.equal(used.flatten(1).sort(0).values, own.flatten(1).sort(0).values)
    orders = [torch.cat([round["jobs"][0].inputs for round in epoch]) for epoch in (seen[:2], seen[2:])]
    assert not torch.equal(*orders)


# --- one round ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [linear, convolution])
def test_rows_are_what_plain_autograd_gives_for_each_client(model):
    sim = simulation(model=model)
    seen = spied(sim)
    list(sim.run(2))
    for round in seen:
        for job, row in zip(round["jobs"].values(), round["sent"], strict=True):
            plain = model()
            nn.utils.vector_to_parameters(round["parameters"].clone(), plain.parameters())
            nn.functional.cross_entropy(plain(job.inputs), job.labels).backward()
            gradient = torch.cat([p.grad.reshape(-1) for p in plain.parameters()])
            torch.testing.assert_close(row, gradient, rtol=1e-5, atol=1e-7)


def test_a_whole_run_is_plain_training_on_all_batches():
    sim = simulation(server=fw.ServerSGD(lr=0.3, momentum=0.9, weight_decay=1e-2))
    seen = spied(sim)
    plain = linear()
    nn.utils.vector_to_parameters(sim.progress.parameters.clone(), plain.parameters())
    optimiser = torch.optim.SGD(plain.parameters(), lr=0.3, momentum=0.9, weight_decay=1e-2)
    for record in sim.run(5, evaluate_every=1):
        jobs = list(seen[-1]["jobs"].values())
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(
            plain(torch.cat([j.inputs for j in jobs])), torch.cat([j.labels for j in jobs])
        )
        loss.backward()
        optimiser.step()
        assert record.train_loss == pytest.approx(loss.item(), rel=1e-5)
        for value, expected in zip(sim.parameters().values(), plain.parameters(), strict=True):
            torch.testing.assert_close(value, expected.detach(), rtol=1e-4, atol=1e-6)
        with torch.no_grad():
            logits, labels = plain(DATA.dataset.test.inputs), DATA.dataset.test.labels
        assert record.accuracy == float((logits.argmax(1) == labels).double().mean())
        assert record.loss == pytest.approx(float(nn.functional.cross_entropy(logits, labels)), rel=1e-4)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_server_sgd_is_torch_sgd(momentum, weight_decay):
    server = fw.ServerSGD(lr=0.1, momentum=momentum, weight_decay=weight_decay)
    generator = torch.Generator().manual_seed(0)
    parameters = torch.randn(50, generator=generator)
    expected = nn.Parameter(parameters.clone())
    optimiser = torch.optim.SGD([expected], lr=0.1, momentum=momentum, weight_decay=weight_decay)
    velocity = None
    for _ in range(5):
        gradient = torch.randn(50, generator=generator)
        expected.grad = gradient.clone()
        optimiser.step()
        before = gradient.clone(), parameters.clone(), velocity
        new, following = server.step(parameters, gradient, velocity)
        assert torch.equal(gradient, before[0])
        assert torch.equal(parameters, before[1])
        parameters, velocity = new, following
        torch.testing.assert_close(parameters, expected.detach(), rtol=1e-6, atol=1e-7)


def test_a_module_is_taken_with_the_weights_it_has_and_left_alone():
    with torch.random.fork_rng(devices=[]):
        model = convolution()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    sim = simulation(model=model)
    assert torch.equal(sim.progress.parameters, nn.utils.parameters_to_vector(model.parameters()).detach())
    list(sim.run(2))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    model.load_state_dict(sim.parameters())


def test_training_learns():
    sim = simulation(server=fw.ServerSGD(lr=0.5))
    first, *_, last = sim.run(60, evaluate_every=1)
    assert (last.accuracy > max(0.75, first.accuracy), last.train_loss < first.train_loss) == (True, True)


# --- attacks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("byzantine", [2, [1, 6], (7,)], ids=str)
@pytest.mark.parametrize("attack", [attacks.ALIE(), attacks.SignFlip(), attacks.MinMax(), attacks.ByzMean()], ids=str)
def test_forged_rows_take_the_place_of_byzantine_ones_alone(byzantine, attack):
    sim = simulation(byzantine=byzantine, attack=attack)
    seen = spied(sim)
    list(sim.run(2))
    bad = list(range(byzantine)) if isinstance(byzantine, int) else list(byzantine)
    good = [i for i in range(N) if i not in bad]
    assert sim.byzantine == set(bad)
    for round in seen:
        honest = torch.stack([round["own"][i] for i in good])
        own = torch.stack([round["own"].get(i, torch.zeros_like(honest[0])) for i in bad])
        assert torch.equal(round["sent"][good], honest)
        assert not any(torch.equal(row, mine) for row, mine in zip(round["sent"][bad], own, strict=True))
        torch.testing.assert_close(round["sent"][bad], attack(honest, own), rtol=1e-4, atol=1e-6)


def test_forged_rows_are_the_same_whatever_the_blocks(monkeypatch):
    """Rows are overwritten block by block while the attack still reads them."""
    wide = nn.Sequential(nn.Flatten(), nn.Linear(16, 300), nn.Linear(300, CLASSES))
    for attack in (attacks.SignFlip(), attacks.ByzMean(inner=attacks.MinSum()), attacks.Noise()):
        runs = []
        for entries in (1 << 19, 8):
            monkeypatch.setattr("fedward.stack.sources.BLOCK_ENTRIES", entries)
            sim = simulation(model=wide, byzantine=3, attack=attack)
            list(sim.run(2))
            runs.append(sim.progress.parameters)
        torch.testing.assert_close(*runs, rtol=1e-4, atol=1e-6)


def test_label_flip_changes_the_rows_of_byzantine_clients_and_nobody_elses():
    honest, flipped = simulation(byzantine=3), simulation(byzantine=3, attack=attacks.LabelFlip())
    a, b = spied(honest), spied(flipped)
    next(honest.run(1)), next(flipped.run(1))
    assert torch.equal(a[0]["sent"][3:], b[0]["sent"][3:])
    for i in range(3):
        assert torch.equal(a[0]["jobs"][i].inputs, b[0]["jobs"][i].inputs)
        assert torch.equal(a[0]["jobs"][i].labels, CLASSES - 1 - b[0]["jobs"][i].labels)
        assert (a[0]["sent"][i] - b[0]["sent"][i]).norm() > 0.1 * a[0]["sent"][i].norm()
    assert torch.equal(DATA.dataset.train.labels, data().dataset.train.labels)


# --- records ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Refuses(fw.Rule):
    """Accepts all but some clients, by id."""

    out: tuple

    def decide(self, updates, state, context):
        kept = torch.tensor([i for i, name in enumerate(updates.ids) if name not in self.out])
        return fw.average_of(updates, kept, reason=fw.Reason.FAR)


DETECTED = [((), 2, (1.0, 1.0)), ((0, 1), 2, (0.0, 1.0)), ((1, 2, 3), 2, (0.5, 4 / 6)), ((3,), [3], (0.0, 1.0))]


@pytest.mark.parametrize(("out", "byzantine", "rates"), [*DETECTED, ((5,), 0, (None, 7 / 8))])
def test_detection_rates(out, byzantine, rates):
    sim = simulation(rule=Refuses(out=out), byzantine=byzantine)
    for record in sim.run(2):
        assert (record.byzantine_accepted, record.honest_accepted) == rates
        assert record.accepted == tuple(i not in out for i in range(N))
        assert record.reasons == dict.fromkeys(out, fw.Reason.FAR)
        assert record.skipped is None


def test_what_is_evaluated_and_when():
    sim = simulation(byzantine=2, attack=attacks.SignFlip())
    records = list(sim.run(7, evaluate_every=3))
    assert [r.round for r in records if r.accuracy is not None] == [3, 6, 7]
    for record in records:
        assert (record.accuracy is None) == (record.loss is None) == (record.signs is None)
        assert record.seconds.keys() >= {"gradients", "attack", "aggregate", "update"}
        assert ("evaluate" in record.seconds) == (record.accuracy is not None)
        assert all(t >= 0 for t in record.seconds.values())
    plus, zero, minus = records[-1].signs["honest"]
    assert plus + zero + minus == pytest.approx(1)
    assert simulation().run(1, 1).__next__().signs["byzantine"] is None
    assert sim.records == tuple(records)


@pytest.mark.parametrize(
    ("share", "n", "drawn"),
    [(1.0, 8, 8), (0.5, 8, 4), (0.3, 8, 3), (0.01, 8, 1), (0.55, 20, 11), (0.28, 25, 7), (0.14, 50, 7), (0.07, 100, 7)],
)
def test_participation_is_rounded_up(share, n, drawn):
    sim = simulation(data=data(n), participation=share, byzantine=1)
    chosen = []
    for record in sim.run(4):
        active = [i for i, verdict in enumerate(record.accepted) if verdict is not None]
        assert len(active) == drawn
        assert (record.byzantine_accepted is None) == (0 not in active)
        chosen.append(tuple(active))
    assert drawn == n or len(set(chosen)) > 1


def test_rows_of_those_who_take_part_belong_to_them():
    sim = simulation(participation=0.5, rule=Refuses(out=(0, 3)), byzantine=[3], attack=attacks.SignFlip())
    seen = spied(sim)
    for record in sim.run(12):
        active = [i for i, verdict in enumerate(record.accepted) if verdict is not None]
        assert [record.accepted[i] for i in active] == [i not in (0, 3) for i in active]
        for i, client in enumerate(active):
            inputs = seen[-1]["jobs"][client].inputs
            own = DATA.dataset.train.inputs[DATA.shards[client]]
            assert bool((inputs[:1] == own).flatten(1).all(1).any())
            assert torch.equal(seen[-1]["sent"][i], seen[-1]["own"][client] * (-1 if client == 3 else 1))
