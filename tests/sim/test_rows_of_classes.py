"""Rounds of classes: how many rows one has is asked before the run, and which classes one is about."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fedward as fw
from fedward import attacks, mixers, rules
from fedward.clients import ClassMomentum
from fedward.core import BEYOND
from fedward.data.dataset import Dataset, FederatedData, Split
from fedward.data.dealing import federate
from fedward.data.partition import KClasses
from fedward.experiments.spec import SpecError, make_spec
from tests.oracles import desgd
from tests.oracles import rules as oracle

CLASSES = 4


def split(count: int) -> Split:
    inputs = torch.randn(count, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    return Split(inputs=inputs, labels=torch.arange(count) % CLASSES)


DATASET = Dataset(name="tiny", train=split(240), test=split(40), classes=CLASSES)
# Of 12 clients 2 are byzantine and hold everything; each class is held by 5 of the 10 others, and so has 7 rows.
DATA = federate(DATASET, 12, KClasses(k=2), holding_all=[0, 1])


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(4, CLASSES))


def simulation(**changes: Any) -> fw.Simulation:
    settings: dict[str, Any] = {
        "model": linear,
        "data": DATA,
        "byzantine": 2,
        "clients": ClassMomentum(batch_size=5),
        "attack": attacks.ALIE(z=1.0),
    }
    return fw.Simulation(**{**settings, **changes})


def skipped(run: fw.Simulation, rounds: int = 2 * CLASSES) -> list[str]:
    return [record.skipped for record in run.run(rounds) if record.skipped is not None]


@pytest.mark.parametrize("rule", [rules.Krum(f=3), rules.ClassWise(base=rules.Krum(f=3))], ids=repr)
def test_a_class_with_too_few_rows_is_refused_before_the_run(rule: fw.Rule) -> None:
    message = (
        r"^a round of class 0 \(7 rows, from 5 honest and 2 byzantine clients\): Krum\(f=3, bound='theorem'\) needs "
        r"n >= 2f \+ 3 = 9 clients \(n >= f \+ 3 = 6 with bound='definition'\), got 7: f is at most 2; give a smaller "
        r"f, or have more clients hold each class$"
    )
    with pytest.raises(fw.BoundError, match=message):
        simulation(rule=rule)


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("draw", ["cyclic", "random"])
@pytest.mark.parametrize(
    "rule",
    [
        rules.ClassWise(base=rules.Krum(f=2)),
        rules.ClassWise(base=rules.MultiKrum(f=4, bound="definition")),
        rules.ClassWise(base=rules.TrimmedMean(f=3)),
        rules.ClassWise(base=mixers.Bucketing(s=2) >> rules.TrimmedMean(f=1)),
        mixers.NNM(f=2) >> rules.ClassWise(base=rules.Krum(f=2)),
        rules.Delayed(base=rules.ClassWise(base=rules.Krum(f=2)), start=1),
        rules.Krum(f=2),
    ],
    ids=repr,
)
def test_what_is_taken_skips_no_round(rule: fw.Rule, classes: int, draw: Any) -> None:
    assert skipped(simulation(rule=rule, clients=ClassMomentum(batch_size=5, classes=classes, draw=draw))) == []


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (rules.ClassWise(base=rules.Krum(f=3)), r"Krum.* = 9 clients .*, got 7"),
        (rules.ClassWise(base=rules.MultiKrum(f=5, bound="definition")), r"MultiKrum.* n >= f \+ 3 = 8 clients, got 7"),
        (rules.ClassWise(base=rules.TrimmedMean(f=4)), r"TrimmedMean\(f=4\) needs n >= 2f \+ 1 = 9 clients, got 7"),
        (
            rules.ClassWise(base=mixers.Bucketing(s=2) >> rules.TrimmedMean(f=2)),
            r"TrimmedMean\(f=2\) .*, got 4: f is at most 1 \(7 clients after Bucketing\(s=2\)\)",
        ),
        (
            mixers.NNM(f=2) >> rules.ClassWise(base=rules.Krum(f=3)),
            r"Krum.*, got 7: f is at most 2 \(\d+ clients after NNM\(f=2\)\)",
        ),
        (rules.Delayed(base=rules.ClassWise(base=rules.Krum(f=3))), r"Krum.* = 9 clients .*, got 7"),
        (
            rules.RobustTailor(rules=(rules.ClassWise(base=rules.Mean()), rules.ClassWise(base=rules.Krum(f=3)))),
            r"Krum.* = 9 clients .*, got 7",
        ),
    ],
    ids=repr,
)
def test_each_class_is_asked_about_through_whatever_is_around_a_rule(rule: fw.Rule, message: str, classes: int) -> None:
    with pytest.raises(fw.BoundError, match=message) as caught:
        simulation(rule=rule, clients=ClassMomentum(batch_size=5, classes=classes))
    assert str(caught.value).startswith("a round of class 0 (7 rows, ")
    assert ("class 2 (7 rows, " in str(caught.value)) == (classes == 3)


def test_mixed_rows_of_several_classes_are_refused_before_the_run() -> None:
    rule = mixers.Bucketing(s=2) >> rules.ClassWise(base=rules.Median())
    with pytest.raises(ValueError, match=r"rows that a mixer made are nobody's, so a mixer belongs inside: class-wise"):
        simulation(rule=rule, clients=ClassMomentum(batch_size=5, classes=2))
    assert skipped(simulation(rule=rule)) == []  # of one class, mixed rows are of that class too


def test_the_class_with_the_fewest_rows_counts_wherever_it_comes() -> None:
    labels = DATASET.train.labels
    # Everybody holds all of classes 0 to 2; class 3 is held by the first three clients alone.
    shards = []
    for client in range(8):
        own = torch.arange(30 * client, 30 * client + 30)
        shards.append(own[(labels[own] != 3) | (client < 3)])
    thin = FederatedData(dataset=DATASET, shards=tuple(shards))
    made = {"data": thin, "attack": None, "byzantine": 0}
    for classes in (1, 2, 4):
        for draw in ("cyclic", "random"):
            algorithm = ClassMomentum(batch_size=5, classes=classes, draw=draw)
            with pytest.raises(fw.BoundError, match=r"class 3 \(\d rows"):
                simulation(rule=rules.ClassWise(base=rules.Krum(f=2)), clients=algorithm, **made)
            simulation(rule=rules.ClassWise(base=rules.Mean()), clients=algorithm, **made)


def test_a_class_with_too_many_rows_is_refused_as_well() -> None:
    labels = DATASET.train.labels
    shards = []
    for client in range(8):
        own = torch.arange(30 * client, 30 * client + 30)
        shards.append(own[(labels[own] != 3) | (client < 5)])
    made = {"data": FederatedData(dataset=DATASET, shards=tuple(shards)), "attack": None, "byzantine": 0}
    rule = rules.ClassWise(base=rules.SMEA(f=2, limit=12))  # 10 subsets of 5 rows, 28 of 8
    for classes in (1, 2):
        with pytest.raises(fw.BoundError, match=r"would try 28 subsets of 8 clients"):
            simulation(rule=rule, clients=ClassMomentum(batch_size=5, classes=classes), **made)


def test_byzantine_clients_count_for_the_classes_that_they_send() -> None:
    """Spared their work they claim every class; those that work send what they hold."""
    own = federate(DATASET, 12, KClasses(k=2))  # each class is held by 6 of 12, byzantine ones among them
    for attack in (attacks.ALIE(z=1.0), attacks.SignFlip()):
        run = simulation(data=own, rule=rules.Mean(), attack=attack)
        counted = [len(run._cohort.senders(c)) for c in range(CLASSES)]
        sent = [record.accepted.count(True) for record in run.run(CLASSES)]
        assert counted == sent
    assert counted == [6] * CLASSES


def test_where_some_do_not_answer_an_average_round_counts() -> None:
    rule = rules.ClassWise(base=rules.Krum(f=1))  # 5 rows
    with pytest.raises(fw.BoundError, match=r"class 0 \(3 rows on average, from 5 honest and 2 byzantine clients\)"):
        simulation(rule=rule, participation=0.5)
    simulation(rule=rule, dropout=0.25)  # 9 of 12 answer: 5 rows of 7
    with pytest.raises(fw.BoundError, match=r"4 rows on average"):
        simulation(rule=rule, dropout=0.34)


def test_a_round_beyond_the_theorem_is_recorded_as_one() -> None:
    run = simulation(rule=rules.ClassWise(base=rules.Krum(f=3, bound="definition")))
    assert [record.note for record in run.run(3)] == [BEYOND] * 3
    assert [record.note for record in simulation(rule=rules.ClassWise(base=rules.Krum(f=2))).run(3)] == [None] * 3


# --- specifications ----------------------------------------------------------------------------------------------

DESGD = {
    "data": "fashion-mnist-subset",
    "model": "linear",
    "clients": 24,
    "byzantine": 4,
    "partition": "k-classes:k=3",
    "byzantine_data": "all",
    "algorithm": "class-momentum",
    "batch_size": 2,
    "momentum": 0.0,
    "attack": "alie:z=1",
    "rounds": 3,
}


@pytest.mark.parametrize("algorithm", ["class-momentum", "class-momentum:classes=3,draw=random"])
def test_a_specification_of_too_few_rows_is_refused_before_the_run(algorithm: str) -> None:
    values = {**DESGD, "algorithm": algorithm}
    message = r"^a round of class 0 \(10 rows, from 6 honest and 4 byzantine clients\).*bound='definition'"
    for rule in ("class-wise:base=krum", "class-wise:base=multi-krum"):
        with pytest.raises(SpecError, match=message):
            make_spec({**values, "rule": rule}).simulation()
        definite = make_spec({**values, "rule": f"class-wise:base=({rule.partition('=')[2]}:bound=definition)"})
        assert ":f=4," in definite.resolved()["rule"]
        definite.simulation()
    make_spec({**values, "rule": "class-wise:base=trimmed-mean"}).simulation()
    mixed = make_spec({**values, "rule": "bucketing:s=2 >> class-wise:base=median"})
    if "classes=3" in algorithm:
        with pytest.raises(SpecError, match="a mixer belongs inside"):
            mixed.simulation()
    else:
        mixed.simulation()


def test_a_round_of_several_classes_has_more_rows_than_clients() -> None:
    few = {**DESGD, "clients": 8, "byzantine": 1, "partition": "iid", "rule": "krum:f=4"}
    with pytest.raises(SpecError, match="got 8"):
        make_spec(few)
    run = make_spec({**few, "algorithm": "class-momentum:classes=3"}).simulation()
    assert [(record.skipped, len(run.rows)) for record in run.run(2)] == [(None, 24)] * 2


def test_the_most_that_a_rule_takes_goes_by_the_bound_that_it_has() -> None:
    some = {"participation": 0.2}  # 10 of 50 answer; 5 byzantine ones are exceeded in one round of a hundred
    assert make_spec({**some, "rule": "krum"}).resolved()["rule"] == "krum:f=3"
    assert make_spec({**some, "rule": "krum:bound=definition"}).resolved()["rule"] == "krum:f=5,bound=definition"
    table = {"name": "krum", "bound": "definition"}
    assert make_spec({**some, "rule": table}).resolved()["rule"] == "krum:f=5,bound=definition"
    with pytest.raises(SpecError, match=r"n >= f \+ 3 = 11 clients, got 10"):
        make_spec({**some, "rule": "krum:f=8,bound=definition"})


def test_the_baseline_of_desgd_is_a_run() -> None:
    """SGD with momentum on the server, no attack, no defence, all data."""
    baseline = {**DESGD, "algorithm": "gradient", "momentum": 0.9, "rule": "mean", "attack": "no-attack"}
    run = make_spec({**baseline, "clients": 20, "byzantine": 0, "byzantine_data": "own"}).simulation()
    dealt = torch.cat(run.data.shards)
    assert len(dealt) == len(run.data.dataset.train) == len(set(dealt.tolist()))
    before = run.progress.parameters.clone()
    list(run.run(1))
    first = run.progress.parameters - before
    velocity = run.progress.velocity
    assert velocity is not None
    list(run.run(2))
    # v <- 0.9 v + (mean gradient + decay x), x <- x - lr v: the step of the second round holds 0.9 of the first.
    torch.testing.assert_close(-run.server.lr * velocity, first, rtol=1e-4, atol=1e-6)
    mean = run.rows.mean(0) + run.server.weight_decay * (before + first)
    torch.testing.assert_close(run.progress.velocity, 0.9 * velocity + mean, rtol=1e-4, atol=1e-6)


# --- which classes a round is about ------------------------------------------------------------------------------


def drawn(run: fw.Simulation, rounds: int) -> list[tuple[int, ...]]:
    """The classes of rounds, drawn for their own sake."""
    phases, now = run._phases, run.progress
    return [phases.draw(replace(now, round=number)).classes for number in range(rounds)]


def test_cyclic_classes_come_in_turn() -> None:
    run = simulation(rule=rules.Mean(), clients=ClassMomentum(batch_size=5, classes=3))
    assert drawn(run, 4) == [(0, 1, 2), (3, 0, 1), (2, 3, 0), (1, 2, 3)]


@pytest.mark.parametrize("classes", [1, 2, 3])
def test_random_classes_are_distinct_and_all_alike(classes: int) -> None:
    run = simulation(rule=rules.Mean(), clients=ClassMomentum(batch_size=5, classes=classes, draw="random"))
    rounds = drawn(run, 2000)
    assert all(len(set(chosen)) == classes for chosen in rounds)
    sets = Counter(frozenset(chosen) for chosen in rounds)
    possible = {1: 4, 2: 6, 3: 4}[classes]
    assert len(sets) == possible
    expected = len(rounds) / possible
    # Chi-squared of at most 5 degrees of freedom is above 20.5 once in a thousand.
    assert sum((count - expected) ** 2 / expected for count in sets.values()) < 20.5
    # Independent from round to round: a set follows itself as often as any other.
    again = sum(set(a) == set(b) for a, b in pairwise(rounds))
    assert abs(again - expected) < 5 * expected**0.5
    assert rounds == drawn(run, 2000)
    other = simulation(rule=rules.Mean(), clients=run.clients, seed=1)
    assert drawn(other, 50) != rounds[:50]


def test_random_classes_that_nobody_holds_are_passed_over() -> None:
    kept = (DATASET.train.labels != 2).nonzero().flatten()
    data = FederatedData(dataset=DATASET, shards=tuple(part.clone() for part in kept.tensor_split(4)))
    made = {"data": data, "attack": None, "byzantine": 0, "rule": rules.Mean()}
    for classes in (1, 2, 4):
        run = simulation(clients=ClassMomentum(batch_size=5, classes=classes, draw="random"), **made)
        rounds = drawn(run, 300)
        assert {len(chosen) for chosen in rounds} == {min(classes, 3)}
        assert {c for chosen in rounds for c in chosen} == {0, 1, 3}
        counts = Counter(chosen[0] for chosen in rounds)
        assert max(counts.values()) < 140  # of 100 expected each


def test_random_classes_of_a_resumed_run_are_those_of_the_whole(tmp_path: Any) -> None:
    def fresh() -> fw.Simulation:
        clients = ClassMomentum(batch_size=5, classes=2, draw="random")
        return simulation(rule=rules.ClassWise(base=rules.Krum(f=2)), clients=clients, seed=5)

    whole = fresh()
    list(whole.run(6, evaluate_every=6))
    run = fresh().run(6, evaluate_every=6, checkpoint=tmp_path / "run.pt")
    list(islice(run, 3))
    run.close()
    resumed = fresh()
    list(resumed.run(6, evaluate_every=6, checkpoint=tmp_path / "run.pt"))
    assert torch.equal(resumed.progress.parameters, whole.progress.parameters)


def test_a_node_of_flower_draws_no_classes_itself() -> None:
    flower = pytest.importorskip("fedward.flower")
    with pytest.raises(ValueError, match=r"the strategy says the class of each round.*draw='cyclic'"):
        flower.train_with(ClassMomentum(batch_size=5, draw="random"), lambda context: None)


# --- the whole of DeSGD against its oracle -----------------------------------------------------------------------


@pytest.mark.parametrize("draw", ["cyclic", "random"])
@pytest.mark.parametrize("classes", [1, 3])
def test_a_run_moves_the_model_as_its_oracle_does(classes: int, draw: Any) -> None:
    """Rows of each round as they were sent, by the classes that it was about, through the oracle's server."""
    decay = 0.01
    run = simulation(
        rule=rules.ClassWise(base=rules.TrimmedMean(f=2)),
        clients=ClassMomentum(batch_size=5, classes=classes, draw=draw),
        server=fw.ServerSGD(lr=0.1, momentum=0.0, weight_decay=decay),
    )
    server = desgd.DeSGDServer(lambda X: oracle.trimmed_mean(X, 2))
    expected = run.progress.parameters.double().numpy()
    seen = set()
    for number in range(10):
        about = run._phases.draw(run.progress).classes
        list(run.run(number + 1))
        seen.add(about)
        # A client sends a row for each class of the round that it holds; byzantine ones, spared their work, for all.
        owners = [c for client in range(DATA.n) for c in about if client in run._cohort.senders(c)]
        rows = run.rows.double().numpy()
        assert len(rows) == len(owners)
        by_class = {c: rows[[k for k, other in enumerate(owners) if other == c]] for c in about}
        expected = expected - 0.1 * (server.step_of_several(by_class) + decay * expected)
        np.testing.assert_allclose(run.progress.parameters.double().numpy(), expected, rtol=1e-4, atol=1e-6)
    assert len(seen) > 1


def test_more_classes_a_round_than_there_are_are_refused() -> None:
    with pytest.raises(ValueError, match="asks for 5 classes a round, and the data have 4: take fewer"):
        simulation(rule=rules.ClassWise(base=rules.Median()), clients=ClassMomentum(batch_size=5, classes=CLASSES + 1))
    every = ClassMomentum(batch_size=5, classes=CLASSES)
    assert not skipped(simulation(rule=rules.ClassWise(base=rules.Median()), clients=every), 2)
