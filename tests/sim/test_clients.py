"""Client algorithms: each beside plain PyTorch or its oracle, pure, and the same with or without the simulator."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
import torch
from torch import nn

import fedward as fw
from fedward import rules
from fedward.clients import (
    Answer,
    ClassMomentum,
    Gradient,
    LocalModel,
    LocalSGD,
    Setup,
    Shard,
    Siren,
    Task,
    WorkerMomentum,
    carry_out,
)
from fedward.sim import Dataset, FederatedData, Split
from tests.oracles import desgd

CLASSES = 3


def net() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(8, 6), nn.ReLU(), nn.Dropout(0.3), nn.Linear(6, CLASSES))


def normed() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(8, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, CLASSES))


def samples(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    inputs = torch.randn(count, 2, 4, generator=torch.Generator().manual_seed(seed))
    return inputs, inputs.flatten(1)[:, :CLASSES].argmax(1)


def task(count: int = 23, round: int = 0, group: int | None = 1, **changes) -> Task:
    model = LocalModel(net())
    context = fw.Context(round=round, seed=4, group=group)
    return replace(
        Task(client="anna", parameters=model.initial, shard=Shard(*samples(count)), context=context), **changes
    )


ALGORITHMS = {
    "gradient": Gradient(batch_size=5),
    "local": LocalSGD(batch_size=5, epochs=2, lr=0.1, momentum=0.5),
    "adamw": LocalSGD(batch_size=5, steps=3, optimizer="adamw", lr=0.01, weight_decay=0.1),
    "momentum": WorkerMomentum(inner=Gradient(batch_size=5), beta=0.8),
    "momentum of deltas": WorkerMomentum(inner=LocalSGD(batch_size=5, lr=0.1)),
    "classes": ClassMomentum(batch_size=4),
    "siren": Siren(inner=LocalSGD(batch_size=5, lr=0.2)),
    "siren with momentum": Siren(inner=WorkerMomentum(inner=LocalSGD(batch_size=5, lr=0.2))),
}


# --- every algorithm ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALGORITHMS)
def test_pure_and_repeatable(name: str) -> None:
    algorithm, model = ALGORITHMS[name], LocalModel(net())
    state: fw.State = {}
    for round in range(3):
        now = task(round=round, state=state)
        before, saved = now.parameters.clone(), {k: v.clone() for k, v in state.items()}
        first, generator = carry_out(algorithm, model, now), torch.get_rng_state()
        model.load(torch.ones_like(before))  # whatever is left in the model does not count
        again = carry_out(algorithm, model, now)
        assert torch.equal(first.row, again.row)
        assert first.messages == again.messages
        assert first.loss == again.loss
        assert first.state.keys() == again.state.keys()
        assert all(torch.equal(v, again.state[k]) for k, v in first.state.items())
        assert torch.equal(now.parameters, before)
        assert all(torch.equal(state[k], v) for k, v in saved.items())
        assert torch.equal(torch.get_rng_state(), generator)
        assert first.messages["num-examples"] == 23
        buffer = io.BytesIO()
        torch.save(dict(first.state), buffer)
        buffer.seek(0)
        state = torch.load(buffer, weights_only=True)
    other = carry_out(algorithm, model, replace(now, client="ben"))
    assert not torch.equal(other.row, first.row)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_simulator_runs_the_very_same_code(name: str) -> None:
    algorithm, model = ALGORITHMS[name], LocalModel(net())
    inputs, labels = samples(60)
    split = Split(inputs=inputs, labels=labels)
    dataset = Dataset(name="t", train=split, test=split, classes=CLASSES)
    data = FederatedData(dataset=dataset, shards=torch.arange(60).split(20))
    server = fw.ServerSGD(lr=0.5, momentum=0.5)
    sim = fw.Simulation(model=net(), data=data, rule=rules.Mean(), clients=algorithm, server=server, seed=4)
    parameters, velocity = model.initial, None
    states: list[fw.State] = [{}, {}, {}]
    for round, _ in enumerate(sim.run(4)):
        context = fw.Context(round=round, seed=4, group=round % CLASSES if algorithm.traits().by_class else None)
        shards = [Shard(inputs, labels, places) for places in data.shards]
        tasks = [
            Task(client=c, parameters=parameters, shard=shards[c], context=context, state=states[c]) for c in range(3)
        ]
        answers = [carry_out(algorithm, model, t) for t in tasks]
        states = [a.state for a in answers]
        mean = rules.Mean()(torch.stack([a.row for a in answers]))
        sign = -1 if algorithm.traits().sends == "delta" else 1
        parameters, velocity = server.step(parameters, sign * mean, velocity)
        assert torch.equal(sim.progress.parameters, parameters)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_as_text(name: str) -> None:
    text = fw.describe(ALGORITHMS[name])
    assert fw.parse(text, "client") == ALGORITHMS[name]


def test_a_batch_size_that_is_known_is_filled_in_everywhere() -> None:
    found = fw.parse("siren-client:inner=(worker-momentum:inner=(local-sgd:lr=0.1))", "client", batch_size=7)
    assert found == Siren(inner=WorkerMomentum(inner=LocalSGD(batch_size=7, lr=0.1)))


# --- one by one ---------------------------------------------------------------------------------------------


def test_every_sample_is_used_once_an_epoch_and_rounds_go_on_where_the_last_ended() -> None:
    seen = [torch.cat(list(task(20, round=t).batches(5, 2))) for t in range(4)]
    for epoch in (seen[:2], seen[2:]):
        assert sorted(torch.cat(epoch).tolist()) == list(range(20))
    assert not torch.equal(torch.cat(seen[:2]), torch.cat(seen[2:]))
    assert [len(b) for b in task(23).batches(5, 4)] == [5] * 4
    assert [len(b) for b in task(3).batches(5, 2)] == [3, 3]


@pytest.mark.parametrize(
    "changes", [{}, {"momentum": 0.9, "weight_decay": 0.1}, {"optimizer": "adam"}, {"optimizer": "adamw"}]
)
@pytest.mark.parametrize("length", [{"epochs": 2}, {"steps": 3}])
def test_local_sgd_is_plain_training(changes: dict, length: dict) -> None:
    algorithm = LocalSGD(batch_size=5, lr=0.05, **length, **changes)
    now = task(round=2)
    plain, (inputs, labels) = net(), samples(23)
    plain[3].p = 0.0
    quiet = nn.Sequential(*net().children())
    quiet[3].p = 0.0
    answer = carry_out(algorithm, LocalModel(quiet), now)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}.get(algorithm.optimizer)
    settings = {"lr": 0.05, "weight_decay": algorithm.weight_decay}
    optimizer = (
        kind(plain.parameters(), **settings)
        if kind
        else torch.optim.SGD(plain.parameters(), momentum=algorithm.momentum, **settings)
    )
    losses = []
    for places in now.batches(5, 3 if algorithm.steps else 8):
        loss = nn.functional.cross_entropy(plain(inputs[places]), labels[places])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    expected = nn.utils.parameters_to_vector(plain.parameters()).detach() - now.parameters
    torch.testing.assert_close(answer.row, expected, rtol=1e-4, atol=1e-6)
    assert answer.loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_worker_momentum_survives_rounds_without_the_client() -> None:
    algorithm, model = WorkerMomentum(inner=Gradient(batch_size=5), beta=0.8), LocalModel(net())
    state: fw.State = {}
    expected = torch.zeros_like(model.initial)
    for round in (0, 1, 5):
        now = task(round=round, state=state)
        gradient = carry_out(algorithm.inner, model, now).row
        expected = 0.8 * expected + 0.2 * gradient
        answer = carry_out(algorithm, model, now)
        torch.testing.assert_close(answer.row, expected)
        state = answer.state


@pytest.mark.parametrize("order", ["usual", "printed"])
def test_class_momentum_is_its_oracle_s(order: str) -> None:
    algorithm, model = ClassMomentum(batch_size=4, beta=0.8, order=order), LocalModel(net())
    inputs, labels = samples(40)
    held = (labels != 2).nonzero().flatten()
    state, momenta = {}, {}
    for round in range(5):
        asked = round % CLASSES
        now = task(round=round, state=state, shard=Shard(inputs, labels, held), group=asked)
        gradients = {}
        for c, shard in now.shard.by_class().items():
            assert set(shard.take()[1].tolist()) == {c}
            places = next(replace(now, shard=shard).batches(4, 1, f", class {c}"))
            model.load(now.parameters)
            model.train()
            gradients[c] = shard.take(places)
        with torch.random.fork_rng(devices=[]):  # one stream of dropout for all classes, in their order
            torch.manual_seed(now.context.draw_seed("model of client anna"))
            rows = {c: model.gradient(*batch)[0].numpy() for c, batch in gradients.items()}
        expected, momenta = desgd.desgd_worker(rows, momenta, 0.8, order, asked)
        answer = carry_out(algorithm, model, now)
        assert (answer.row is None) == (asked == 2) == (expected is None)
        if expected is not None:
            torch.testing.assert_close(answer.row, torch.from_numpy(expected).float(), rtol=1e-4, atol=1e-6)
        assert set(answer.state) == {"momentum of 0", "momentum of 1"}
        state = answer.state


def test_siren_s_client_alarms_at_a_poisoned_model_and_goes_on_from_its_own() -> None:
    algorithm, model = Siren(inner=LocalSGD(batch_size=10, epochs=20, lr=0.3), held_out=0.2), LocalModel(net())
    first = carry_out(algorithm, model, task(200))
    assert first.messages == {"num-examples": 200, "alarm": False}
    own = first.state["own"]
    torch.testing.assert_close(own - task().parameters, first.row)
    poisoned = -3 * own
    second = carry_out(algorithm, model, task(200, round=1, parameters=poisoned, state=first.state))
    assert second.messages["alarm"] is True
    torch.testing.assert_close(second.state["own"], second.row + poisoned, rtol=1e-4, atol=1e-5)
    assert (second.state["own"] - own).norm() < 0.5 * (own - poisoned).norm(), "it went on from its own model"
    improved = carry_out(algorithm, model, task(200, round=1, parameters=own, state=first.state))
    assert improved.messages["alarm"] is False
    assert carry_out(
        replace(algorithm, variant="printed"), model, task(200, parameters=own, state=first.state)
    ).messages["alarm"]


TRAINED: list[torch.Tensor] = []


class Witness(LocalSGD):
    """Keeps which samples it was given."""

    def work(self, model: LocalModel, task: Task) -> Answer:
        TRAINED.append(task.shard.places)
        return super().work(model, task)


def test_siren_never_trains_on_what_it_holds_out() -> None:
    algorithm, model = Siren(inner=Witness(batch_size=3), held_out=0.25), LocalModel(net())
    tested: list[torch.Tensor] = []
    evaluate = model.evaluate
    model.evaluate = lambda inputs, labels: (tested.append(inputs), evaluate(inputs, labels))[1]  # type: ignore[method-assign]
    TRAINED.clear()
    first = carry_out(algorithm, model, task(18))
    carry_out(algorithm, model, task(18, round=7, state=first.state))
    (trained, again), inputs = TRAINED, samples(18)[0]
    assert (len(trained), len(tested[0])) == (13, 5)
    assert torch.equal(trained, again)
    every = torch.cat([inputs[trained], tested[0]]).flatten(1)
    assert torch.equal(every.sort(0).values, inputs.flatten(1).sort(0).values)


# --- running statistics -------------------------------------------------------------------------------------


def test_running_statistics_follow_the_batches_or_stay() -> None:
    for policy, moves in (("mean", True), ("frozen", False)):
        model = LocalModel(normed(), Setup(batch_norm=policy))
        now = task(buffers=model.initial_buffers, parameters=model.initial)
        answer = carry_out(LocalSGD(batch_size=5, lr=0.1), model, now)
        assert answer.buffers.shape == (12,)
        assert torch.equal(answer.buffers, model.initial_buffers) != moves
    with pytest.raises(ValueError, match="batch_norm is one of mean, robust, frozen, got 'none'"):
        LocalModel(normed(), Setup(batch_norm="none"))


# --- errors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gradient(batch_size=0), "Gradient: batch_size is a whole number of at least 1, got 0"),
        (lambda: LocalSGD(batch_size=5, epochs=1, steps=2), "in epochs or in steps, got 1 and 2"),
        (lambda: LocalSGD(batch_size=5, epochs=0), "epochs is a whole number of at least 1 or None, got 0"),
        (lambda: LocalSGD(batch_size=5, steps=1.5), "steps is a whole number of at least 1 or None, got 1.5"),
        (lambda: LocalSGD(batch_size=5, optimizer="lion"), "one of sgd, adam, adamw, got 'lion'"),
        (lambda: LocalSGD(batch_size=5, lr=0), "lr is a number above 0, got 0"),
        (lambda: LocalSGD(batch_size=5, optimizer="adam", momentum=0.9), "adam has its own"),
        (
            lambda: WorkerMomentum(inner=Gradient(batch_size=5), beta=1.0),
            "beta is a number of at least 0 and below 1",
        ),
        (lambda: WorkerMomentum(inner=ClassMomentum(batch_size=5)), "would mix the classes"),
        (lambda: ClassMomentum(batch_size=5, order="other"), "order is one of usual, printed, got 'other'"),
        (lambda: Siren(inner=Gradient(batch_size=5)), "comes of local training"),
        (
            lambda: Siren(inner=LocalSGD(batch_size=5), held_out=1.0),
            "held_out is a number above 0 and below 1",
        ),
        (lambda: Siren(inner=LocalSGD(batch_size=5), variant="x"), "variant is one of tolerant, printed, official"),
    ],
)
def test_bounds(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_client_that_cannot_work_says_why() -> None:
    with pytest.raises(ValueError, match="has 1 samples and is to hold out 1"):
        carry_out(ALGORITHMS["siren"], LocalModel(net()), task(1))
    with pytest.raises(ValueError, match="needs a group"):
        carry_out(ALGORITHMS["classes"], LocalModel(net()), task(group=None))
