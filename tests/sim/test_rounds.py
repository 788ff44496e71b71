"""Rounds in which not everybody answers, what clients remember and say, running statistics, whole systems."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import fedward as fw
from fedward import attacks, rules
from fedward.clients import ClassMomentum, Gradient, LocalSGD, Siren, WorkerMomentum
from fedward.experiments import load_spec
from fedward.sim import FederatedData, KClasses, federate
from tests.sim.rounds import CLASSES, DATA, DATASET, HEARD, SIREN, Listening, N, normed, simulation

BOOSTED = attacks.SignFlip(scale=4.0)


# --- who answers --------------------------------------------------------------------------------------------


def answering(record) -> list[int]:
    return [client for client, verdict in enumerate(record.accepted) if verdict is not None]


@pytest.mark.parametrize(("dropout", "count"), [(0.0, 8), (0.2, 7), (0.25, 6), (0.5, 4), (0.9, 1)])
def test_clients_that_drop_out(dropout: float, count: int) -> None:
    present = [answering(r) for r in simulation(dropout=dropout).run(10)]
    assert {len(p) for p in present} == {count}
    assert count == 8 or len(set(map(tuple, present))) > 3


def test_one_in_five_lost_in_each_round_trains_on() -> None:
    *_, last = simulation(dropout=0.2, clients=LocalSGD(batch_size=10, epochs=2, lr=0.1)).run(40, evaluate_every=40)
    assert last.accuracy > 0.75


def test_a_late_answer_arrives_a_round_later_from_a_client_that_did_nothing_else() -> None:
    sim = simulation(late=0.25, clients=Gradient(batch_size=10))
    computed = []
    messages = sim.backend.messages

    def computing(algorithm, tasks, out):
        answers = messages(algorithm, tasks, out)
        computed.append({t.client: a.row.clone() for t, a in zip(tasks, answers, strict=True)})
        return answers

    sim.backend.messages = computing
    before: set[int] = set()
    for t, record in enumerate(sim.run(10)):
        sent = dict(zip(answering(record), sim.rows, strict=True))
        assert not before & computed[t].keys(), "a client whose answer is under way took other work"
        on_time = sent.keys() - before
        late = computed[t].keys() - on_time
        assert len(late) == len(computed[t]) // 4
        for client, row in sent.items():
            assert torch.equal(row, computed[t - 1 if client in before else t][client])
        before = set(late)


def test_states_belong_to_clients_and_wait_for_them() -> None:
    sim = simulation(clients=WorkerMomentum(inner=Gradient(batch_size=10)), participation=0.5)
    before: dict = {}
    for record in sim.run(6):
        now, present = sim.progress.client_states, answering(record)
        for client in set(now) - set(present):
            assert torch.equal(now[client]["momentum"], before[client]["momentum"])
        for client in present:
            assert client not in before or not torch.equal(now[client]["momentum"], before[client]["momentum"])
        before = dict(now)


def test_nobody_left_to_answer_leaves_the_model_alone() -> None:
    sim = simulation(attack=attacks.Sybils(join=8), byzantine=[0], data=federate(DATASET, 2), participation=0.5)
    before, moved = sim.progress.parameters.clone(), []
    for record in sim.run(8):
        moved.append(not torch.equal(sim.progress.parameters, before))
        assert moved[-1] is (record.skipped is None)
        assert moved[-1] or "no client answered" in record.skipped
        before = sim.progress.parameters.clone()
    assert set(moved) == {True, False}


# --- what clients send and say ------------------------------------------------------------------------------


def test_deltas_are_added_and_gradients_subtracted() -> None:
    for clients, sign in ((LocalSGD(batch_size=10, lr=0.1), 1), (Gradient(batch_size=10), -0.1)):
        sim = simulation(clients=clients)
        before = sim.progress.parameters.clone()
        list(sim.run(1))
        torch.testing.assert_close(sim.progress.parameters, before + sign * sim.rows.mean(0))


def test_federated_averaging_of_one_client_is_its_own_training() -> None:
    data = federate(DATASET, 1)
    plain = nn.Sequential(nn.Flatten(), nn.Linear(16, CLASSES))
    clients = LocalSGD(batch_size=len(DATASET.train.labels), steps=2, lr=0.1)  # all of its data in each step
    sim = simulation(data=data, model=lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, CLASSES)), clients=clients)
    assert sim.server == fw.ServerSGD(lr=1.0)
    nn.utils.vector_to_parameters(sim.progress.parameters.clone(), plain.parameters())
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1)
    for _ in sim.run(3):
        for _ in range(2):
            optimizer.zero_grad()
            nn.functional.cross_entropy(plain(DATASET.train.inputs), DATASET.train.labels).backward()
            optimizer.step()
        expected = nn.utils.parameters_to_vector(plain.parameters()).detach()
        torch.testing.assert_close(sim.progress.parameters, expected, rtol=1e-5, atol=1e-6)


def test_what_clients_say_reaches_the_rule_and_byzantine_ones_say_what_their_attack_wants() -> None:
    HEARD.clear()
    sim = simulation(**{**SIREN, "rule": Listening(), "byzantine": [2], "attack": attacks.FalseAlarms()}, dropout=0.2)
    list(sim.run(4))
    assert len(HEARD) == 4
    for ids, messages, group in HEARD:
        assert set(messages) == set(ids)
        assert group is None
        for client, message in messages.items():
            assert message["num-examples"] == len(DATA.shards[client])
            assert isinstance(message["alarm"], bool)
            assert client != 2 or message["alarm"]


class Curious(attacks.Attack):
    """ALIE, of an attacker who wants to know the byzantine clients' own rows too."""

    def forge(self, view):
        return attacks.ALIE(z=1.0).forge(view)


def test_an_attack_that_goes_by_honest_rows_spares_its_clients_the_work_and_changes_nothing_else() -> None:
    ran = []
    for attack in (attacks.ALIE(z=1.0), Curious()):
        sim = simulation(byzantine=[1, 5], attack=attack, participation=0.8, rule=rules.Median())
        calls = []
        messages = sim.backend.messages
        sim.backend.messages = lambda a, tasks, out, m=messages, c=calls: (
            c.extend(t.client for t in tasks) or m(a, tasks, out)
        )
        list(sim.run(4))
        ran.append((sim.progress.parameters, {1, 5} & set(calls)))
    torch.testing.assert_close(ran[0][0], ran[1][0], rtol=1e-5, atol=1e-7)
    assert (ran[0][1], bool(ran[1][1])) == (set(), True)


# --- running statistics -------------------------------------------------------------------------------------


def test_running_statistics_are_the_mean_of_those_of_accepted_clients() -> None:
    class Half(rules.Mean):
        def decide(self, updates, state, context):
            return fw.average_of(updates, torch.tensor([0, 2, 3]))

    sim = simulation(model=normed, rule=Half())
    collected = []
    messages = sim.backend.messages
    sim.backend.messages = lambda a, t, o: collected.append(messages(a, t, o)) or collected[-1]
    list(sim.run(2))
    expected = torch.stack([collected[-1][i].buffers for i in (0, 2, 3)]).mean(0)
    assert torch.equal(sim.progress.buffers, expected)
    model = normed()
    model.load_state_dict(sim.parameters(), strict=False)
    assert torch.equal(torch.cat([model[1].running_mean, model[1].running_var]), expected)
    assert torch.equal(model[0].weight.flatten(), sim.progress.parameters[:36])
    assert not torch.equal(sim.progress.buffers, sim.backend.initial_buffers())


def test_statistics_that_are_not_finite_are_left_out() -> None:
    sim = simulation(model=normed)
    messages = sim.backend.messages

    def broken(algorithm, tasks, out):
        first, *others = messages(algorithm, tasks, out)
        return [replace(first, buffers=torch.full_like(first.buffers, torch.nan)), *others]

    sim.backend.messages = broken
    list(sim.run(2))
    assert bool(sim.progress.buffers.isfinite().all())


def test_frozen_statistics_never_move_and_both_policies_learn() -> None:
    reached = {}
    for policy in ("mean", "frozen"):
        sim = simulation(model=normed, batch_norm=policy)
        *_, last = sim.run(40, evaluate_every=40)
        reached[policy] = last.accuracy
        assert torch.equal(sim.progress.buffers, sim.backend.initial_buffers()) == (policy == "frozen")
    assert min(reached.values()) > 0.7, reached


# --- whole systems ------------------------------------------------------------------------------------------


def test_siren_outlives_what_the_mean_does_not() -> None:
    bad = {
        "byzantine": 3,
        "attack": attacks.SignFlip(scale=4.0),
        "clients": Siren(inner=LocalSGD(batch_size=5, lr=0.1)),
    }
    *_, siren = simulation(rule=rules.SIREN(), root=50, **bad).run(25, evaluate_every=25)
    *_, mean = simulation(rule=rules.Mean(), **bad).run(25, evaluate_every=25)
    assert siren.accuracy > mean.accuracy + 0.2
    assert siren.note in ("no alarm", "false alarms", "true alarms", "divergent alarms")
    index = siren.scores["malicious index"]
    assert min(index[:3]) > max(index[3:])


def test_the_class_of_a_round_goes_round_and_only_its_holders_answer() -> None:
    HEARD.clear()
    data = federate(DATASET, N, KClasses(k=2), holding_all=[0, 1])
    sim = simulation(clients=ClassMomentum(batch_size=5), rule=Listening(), data=data, byzantine=2, seed=1)
    list(sim.run(2 * CLASSES))
    assert [group for *_, group in HEARD] == [*range(CLASSES)] * 2
    labels = DATASET.train.labels
    for ids, _, group in HEARD:
        assert list(ids) == [c for c in range(N) if group in labels[data.shards[c]].tolist()]
        assert {0, 1} <= set(ids)


def test_in_rounds_of_several_classes_a_client_sends_a_row_for_each_that_it_holds() -> None:
    HEARD.clear()
    data = federate(DATASET, N, KClasses(k=2), holding_all=[0, 1])
    run = simulation(clients=ClassMomentum(batch_size=5, classes=3), rule=Listening(), data=data, byzantine=2, seed=1)
    list(run.run(CLASSES))
    labels = DATASET.train.labels
    for t, (ids, _, group) in enumerate(HEARD):
        classes = [c % CLASSES for c in range(3 * t, 3 * t + 3)]
        held = [(i, c) for i in range(N) for c in classes if c in labels[data.shards[i]].tolist()]
        assert list(ids) == held
        assert group == {row: row[1] for row in held}
    momenta = run.progress.client_states
    expected = torch.stack([momenta[i][f"momentum of {c}"] for i, c in held])
    torch.testing.assert_close(run.rows, expected, rtol=0, atol=0)


def test_an_attack_in_a_round_of_several_classes_goes_by_the_rows_of_each() -> None:
    data = federate(DATASET, N, KClasses(k=3), holding_all=[0, 1])
    changes = {"clients": ClassMomentum(batch_size=5, classes=2), "data": data, "byzantine": 2}
    run = simulation(rule=rules.ClassWise(base=rules.Mean()), attack=attacks.ALIE(z=1.0), **changes)
    *_, record = run.run(3)
    known = run.progress.client_states
    sent = [(i, c) for i in range(N) for c in (0, 1) if i < 2 or f"momentum of {c}" in known[i]]
    for c in (0, 1):
        honest = torch.stack([known[i][f"momentum of {c}"] for i, k in sent if k == c and i > 1])
        forged = [run.rows[k] for k, row in enumerate(sent) if row in ((0, c), (1, c))]
        expected = honest.mean(0) - honest.std(0, correction=0)
        for row in forged:
            torch.testing.assert_close(row, expected, rtol=1e-4, atol=1e-6)
    assert record.accepted == (True,) * N


def test_a_class_that_nobody_holds_is_left_out() -> None:
    HEARD.clear()
    kept = (DATASET.train.labels != 2).nonzero().flatten()
    data = FederatedData(dataset=DATASET, shards=tuple(part.clone() for part in kept.tensor_split(4)))
    list(simulation(clients=ClassMomentum(batch_size=5), rule=Listening(), data=data).run(4))
    assert [group for *_, group in HEARD] == [0, 1, 3, 3]


def test_federate_gives_some_clients_everything() -> None:
    data = federate(DATASET, 6, KClasses(k=2), holding_all=[4, 0])
    whole = list(range(len(DATASET.train)))
    assert data.shards[0].tolist() == data.shards[4].tolist() == whole
    others = torch.cat([data.shards[i] for i in (1, 2, 3, 5)])
    assert sorted(others.tolist()) == whole
    with pytest.raises(ValueError, match="holding_all names some of the clients 0 to 5"):
        federate(DATASET, 6, holding_all=range(6))


# --- the published settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("file", sorted((Path(__file__).parents[2] / "results").glob("*/published.toml")), ids=str)
def test_published_settings_can_be_run(file: Path) -> None:
    spec = load_spec(file, data="fashion-mnist-subset", device="cpu", rounds=1, batch_size=2)
    assert spec.make_server().momentum == 0
    local = spec.make_algorithm()
    if spec.rule == "siren":
        assert local.inner.epochs == 5
        spec = spec.model_copy(update={"algorithm": "siren-client:inner=(local-sgd:steps=1,lr=0.001)"})
    *_, last = spec.model_copy(update={"model": "linear"}).simulation().run(1)
    assert last.skipped is None
