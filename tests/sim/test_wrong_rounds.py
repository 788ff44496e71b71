"""When all goes wrong: runs that diverge, rounds that are skipped, and what is refused before anything runs."""

from dataclasses import replace
from math import isnan, nan

import numpy as np
import pytest
import torch

import fedward as fw
from fedward import rules
from fedward.core import BoundError
from fedward.report.runs import _diverged
from tests.sim.engine import N, convolution, dropping, simulation


@pytest.mark.parametrize("rule", [rules.Mean(), rules.Krum(f=1), rules.SignGuardSim(warmup=1)], ids=str)
def test_a_diverged_run_is_recorded_and_goes_on(rule):
    sim = simulation(model=convolution, rule=rule, server=fw.ServerSGD(lr=1e30, momentum=0.5), byzantine=2)
    records = list(sim.run(6, evaluate_every=2))
    assert [r.round for r in records] == [1, 2, 3, 4, 5, 6]
    skipped = [r for r in records if r.skipped]
    assert records[-1] in skipped
    for record in skipped:
        assert "NaN or Inf" in record.skipped
        assert record.accepted == (False,) * N
        assert (record.byzantine_accepted, record.honest_accepted, dict(record.reasons)) == (0.0, 0.0, {})
        assert isnan(record.train_loss)
    assert 0 <= records[-1].accuracy <= 1


def test_a_skipped_round_changes_neither_model_nor_momentum_nor_memory():
    sim = simulation(rule=rules.SignGuardSim(warmup=1), server=fw.ServerSGD(momentum=0.9))
    run = sim.run(3)
    next(run)
    before = sim.progress
    messages = sim.backend.messages

    def broken(algorithm, tasks, out):
        answers = messages(algorithm, tasks, out)
        out.fill_(torch.nan)
        return answers

    sim.backend.messages = broken
    record = next(run)
    sim.backend.messages = messages
    assert (
        record.skipped
        == f"every one of the {N} clients sent NaN or Inf, or a norm beyond 1e154: keep the previous model"
    )
    assert torch.equal(sim.progress.parameters, before.parameters)
    assert torch.equal(sim.progress.velocity, before.velocity)
    assert torch.equal(sim.progress.rule_state["reference"], before.rule_state["reference"])
    assert next(run).skipped is None


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"byzantine": N}, ValueError, f"byzantine is a number below n = {N}"),
        ({"byzantine": -1}, ValueError, "got -1"),
        ({"byzantine": [0, N]}, ValueError, rf"got \[0, {N}\]"),
        ({"byzantine": [1, 1]}, ValueError, "distinct"),
        ({"byzantine": 2.5}, ValueError, "byzantine is a number .*, got 2.5"),
        ({"byzantine": True}, ValueError, "byzantine is a number .*, got True"),
        ({"byzantine": "2"}, ValueError, "byzantine is a number .*, got '2'"),
        ({"byzantine": [0.5]}, ValueError, r"byzantine is a number .*, got \[0.5\]"),
        ({"model": "linear"}, ValueError, "model is a module or a function that makes one, got 'linear'"),
        ({"model": dict}, ValueError, "makes dict, and a model is a torch.nn.Module"),
        ({"data": "mnist"}, ValueError, "data is FederatedData, got 'mnist'"),
        ({"threads": "2"}, ValueError, "threads is a whole number or None, got '2'"),
        ({"participation": 0}, ValueError, "above 0 and at most 1, got 0"),
        ({"participation": 1.5}, ValueError, "got 1.5"),
        ({"rule": rules.Krum(f=3)}, BoundError, r"= 9 clients .*, got 8"),
        ({"rule": rules.Krum(f=1), "participation": 0.5}, BoundError, r"= 5 clients .*, got 4"),
        ({"rule": rules.Krum(f=1), "dropout": 0.5}, BoundError, r"= 5 clients .*, got 4"),
        ({"rule": rules.Krum(f=2), "dropout": 0.13, "late": 0.13}, BoundError, r"= 7 clients .*, got 6"),
        ({"dropout": 0.5, "late": 0.5}, ValueError, "together below 1, got 0.5 and 0.5"),
        ({"dropout": -0.1}, ValueError, "got -0.1 and 0"),
        ({"late": 0.2, "clients": fw.clients.ClassMomentum(batch_size=5)}, ValueError, "no answer can be late"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_refused_before_anything_runs(changes, error, message):
    with pytest.raises(error, match=message):
        simulation(**changes)


def test_byzantine_clients_may_be_named_by_numbers_of_any_kind():
    expected = frozenset({0, 1, 2})
    for byzantine in (3, np.int64(3), range(3), [2, 0, 1], {0, 1, 2}, np.arange(3)):
        assert simulation(byzantine=byzantine).byzantine == expected


def test_numbers_out_of_bounds():
    for arguments in ({"rounds": 0}, {"rounds": 1, "evaluate_every": 0}):
        with pytest.raises(ValueError, match="rounds >= 1 and evaluate_every >= 1 are needed"):
            next(simulation().run(**arguments))
    for arguments in ({"rounds": 2.5}, {"rounds": 2, "evaluate_every": "5"}):
        with pytest.raises(ValueError, match="is a whole number, got"):
            next(simulation().run(**arguments))
    for wrong in ({"lr": 0}, {"lr": -1}, {"momentum": 1}, {"momentum": -0.1}, {"weight_decay": -1}):
        with pytest.raises(ValueError, match=f"ServerSGD: {next(iter(wrong))} is a number .*, got"):
            fw.ServerSGD(**wrong)


def test_a_run_can_be_gone_on_with_in_memory():
    straight, twice = simulation(model=dropping), simulation(model=dropping)
    _ = list(straight.run(6)), list(twice.run(2))
    assert [r.round for r in twice.run(6)] == [3, 4, 5, 6]
    assert torch.equal(straight.progress.parameters, twice.progress.parameters)


def test_a_round_that_no_honest_client_answers_has_no_training_loss(tmp_path):
    """It is no perfect one, and no divergence either."""
    sim = simulation(byzantine=N - 1, participation=1 / N, attack=fw.attacks.Zero())
    records = list(sim.run(rounds=12))
    honest = [record.honest_accepted is not None for record in records]
    assert True in honest
    assert False in honest
    assert [record.train_loss is not None for record in records] == honest
    assert _diverged(records, range(N - 1)) == []


def test_a_diverged_run_of_a_function_is_told_although_it_has_no_rates():
    records = list(simulation(rule=fw.rule(lambda G: G.mean(0))).run(rounds=2))
    lost = [replace(record, train_loss=nan) for record in records[1:]]
    assert _diverged([*records[:1], *lost], range(N - 1)) == ["The training loss is not finite in round 2."]
