"""The backend of simulations against the loop: the same answers, whatever the model, the algorithm and the threads."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fedward import Context, Simulation, attacks, rules, sim
from fedward.clients import (
    Answer,
    ClassMomentum,
    Client,
    Gradient,
    LocalModel,
    LocalSGD,
    Shard,
    Siren,
    Task,
    WorkerMomentum,
)
from fedward.clients.model import Dropout
from fedward.sim.backends import Loop
from fedward.sim.parallel import Parallel

CLASSES = 3


class Shared(nn.Module):
    """One layer, used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(16, 16), nn.Linear(16, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        x = inputs.flatten(1)
        return self.outer(self.inner(self.inner(x).relu()))


class OverBatches(nn.Module):
    """Normalises over the batch without statistics: samples of other clients would count."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(16, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        x = inputs.flatten(1)
        return self.layer((x - x.mean(0)) / (x.std(0, correction=0) + 1))


class OwnRandomness(nn.Module):
    """Draws from PyTorch's own generator."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(16, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer(nn.functional.dropout(inputs.flatten(1), 0.5, self.training))


class Scaled(nn.Module):
    """Has a parameter outside of its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.factor = nn.Linear(16, CLASSES), nn.Parameter(torch.ones(16))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer(inputs.flatten(1) * self.factor)


def _convolutions() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, stride=2),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 4, 2, groups=2, bias=False),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(4, 5, bias=False),
        nn.Tanh(),
        nn.Dropout(0.2),
        nn.Linear(5, CLASSES),
    )


def _frozen_layer() -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, CLASSES))
    model[3].weight.requires_grad_(False)
    return model


def _sequence() -> nn.Module:
    return nn.Sequential(nn.Flatten(1, 2), nn.Linear(4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, CLASSES))


def _batch_norm() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(8, CLASSES))


def _same_padding() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3, padding="same"), nn.ReLU(), nn.Flatten(), nn.Linear(32, CLASSES))


TOGETHER = {"convolutions": _convolutions, "frozen layer": _frozen_layer, "sequence": _sequence}
APART = {
    "shared layer": Shared,
    "over batches": OverBatches,
    "own randomness": OwnRandomness,
    "own parameter": Scaled,
    "batch norm": _batch_norm,
    "same padding": _same_padding,
}
ALGORITHMS = {
    "gradient": Gradient(batch_size=6),
    "worker momentum": WorkerMomentum(inner=Gradient(batch_size=6)),
    "class momentum": ClassMomentum(batch_size=3),
    "local sgd": LocalSGD(batch_size=6, steps=3, lr=0.1, momentum=0.5),
    "siren": Siren(inner=LocalSGD(batch_size=4, steps=2)),
}


def _model(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(1)
    return make()


def _tasks(loop: Loop, round: int, states: list[dict[str, Tensor]], clients: int = 7) -> list[Task]:
    """Clients of different sizes, the smallest with less than a batch; not all hold the class of the round."""
    generator = torch.Generator().manual_seed(5)
    inputs, parameters = torch.randn(200, 1, 4, 4, generator=generator), loop.initial()
    labels = torch.randint(0, CLASSES, (200,), generator=generator)
    tasks = []
    for k in range(clients):
        held = torch.arange(k * 20, k * 20 + 4 + 3 * k)
        if k % 2:
            held = held[labels[held] != 0]
        context = Context(round=round, seed=3, group=round % CLASSES)
        tasks.append(
            Task(
                client=k,
                parameters=parameters,
                shard=Shard(inputs, labels, held),
                context=context,
                state=states[k],
                buffers=loop.initial_buffers(),
            )
        )
    return tasks


def _rounds(backend: Loop, algorithm: Client, rounds: int = 3) -> list[Tensor]:
    """Everything that comes of some rounds: rows, losses, memories, messages, buffers."""
    states: list[dict[str, Tensor]] = [{} for _ in range(7)]
    everything = []
    for round in range(rounds):
        out = torch.full((7, len(backend.initial())), torch.nan)
        answers = backend.messages(algorithm, _tasks(backend, round, states), out)
        states = [dict(answer.state) for answer in answers]
        sent = sum(answer.row is not None for answer in answers)
        assert bool(out[:sent].isfinite().all())
        assert bool(out[sent:].isnan().all())
        everything += [out[:sent].clone(), torch.tensor([answer.loss for answer in answers])]
        everything += [value.clone() for state in states for _, value in sorted(state.items())]
        everything += [answer.buffers for answer in answers if answer.buffers is not None]
        everything.append(torch.tensor([float(v) for a in answers for _, v in sorted(a.messages.items())]))
    return everything


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("model", [*TOGETHER, *APART])
def test_answers_are_the_loop_s(model: str, algorithm: str) -> None:
    module = _model((TOGETHER | APART)[model])
    expected = _rounds(Loop(module), ALGORITHMS[algorithm])
    before = torch.default_generator.get_state()
    one = Parallel(module, threads=1)
    found = _rounds(one, ALGORITHMS[algorithm])
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=2e-4, atol=1e-6)
    for threads in (2, 3):
        for a, b in zip(_rounds(Parallel(module, threads=threads), ALGORITHMS[algorithm]), found, strict=True):
            assert torch.equal(a, b)
    assert torch.equal(before, torch.default_generator.get_state())
    if algorithm in ("gradient", "worker momentum", "class momentum"):
        assert one.together is (model in TOGETHER)


def test_a_pass_is_shared_by_as_many_clients_as_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    module = _model(TOGETHER["convolutions"])
    backend = Parallel(module, threads=1)
    backend.samples_at_once = 12
    forward = backend.local.module.forward
    monkeypatch.setattr(backend.local.module, "forward", lambda x: (sizes.append(len(x)), forward(x))[1])
    out = torch.zeros(7, len(backend.initial()))
    backend.messages(ALGORITHMS["gradient"], _tasks(backend, 0, [{}] * 7), out)
    sizes = sizes[3:]  # without the comparison
    asked = [min(len(task.shard), 6) for task in _tasks(backend, 0, [{}] * 7)]
    assert sum(sizes) == sum(asked)
    expected = []
    for size in set(asked):
        passes, rest = divmod(asked.count(size), 12 // size)
        expected += [12 // size * size] * passes + [rest * size] * (rest > 0)
    assert sorted(sizes) == sorted(expected)


@pytest.mark.parametrize("samples", [1, 999, 2001])
def test_evaluation_is_the_loop_s(samples: int) -> None:
    module = _model(TOGETHER["convolutions"])
    split = sim.Split(inputs=torch.randn(samples, 1, 4, 4), labels=torch.randint(0, CLASSES, (samples,)))
    parameters = torch.randn_like(Loop(module).initial())
    for threads in (1, 2):
        found = Parallel(module, threads=threads).evaluate(parameters, split)
        expected = Loop(module).evaluate(parameters, split)
        assert (found.accuracy, found.loss) == (expected.accuracy, expected.loss)
        assert torch.equal(found.confusion, expected.confusion)


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_one_stream_gives_the_masks_of_torch(p: float) -> None:
    inputs = torch.randn(50, 8)
    torch.manual_seed(4)
    expected = nn.Dropout(p)(inputs)
    found = Dropout(p, [torch.Generator().manual_seed(4)])(inputs)
    assert torch.equal(found, expected)
    parts = Dropout(p, [torch.Generator().manual_seed(4), torch.Generator().manual_seed(9)])(inputs.repeat(2, 1))
    assert torch.equal(parts[:50], expected)
    assert p in (0.0, 1.0) or not torch.equal(parts[50:], expected)
    assert torch.equal(Dropout(p, [None]).eval()(inputs), inputs)


def test_threads_change_nothing_in_a_run() -> None:
    data = sim.federate(sim.load("fashion-mnist-subset"), 8)

    def run(threads: int) -> Tensor:
        simulation = Simulation(
            model=sim.SignGuardCNN, data=data, rule=rules.SignGuard(), attack=attacks.ALIE(), byzantine=2,
            clients=Gradient(batch_size=8), threads=threads,
        )  # fmt: skip
        for _ in simulation.run(3, evaluate_every=3):
            pass
        assert simulation.backend.together
        return torch.cat([simulation.rows.flatten(), torch.tensor([simulation.records[-1].loss])])

    assert torch.equal(run(1), run(2))


seen: list[int] = []


class Counting(LocalSGD):
    """Looks at how many cores PyTorch uses where it works."""

    def work(self, model: LocalModel, task: Task) -> Answer:
        seen.append(torch.get_num_threads())
        return super().work(model, task)


def test_a_thread_uses_one_core_whatever_the_process_does() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        backend = Parallel(_model(TOGETHER["sequence"]), threads=6)  # as many as no other test has, so new ones
        seen.clear()
        backend.messages(Counting(batch_size=4), _tasks(backend, 0, [{}] * 7), torch.zeros(7, len(backend.initial())))
        assert seen == [1] * 7
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_an_error_in_a_thread_is_raised_and_the_next_round_works() -> None:
    backend = Parallel(_model(TOGETHER["convolutions"]), threads=2)
    tasks, out = _tasks(backend, 0, [{}] * 7), torch.zeros(7, len(backend.initial()))
    broken = [
        *tasks[:3],
        Task(client=3, parameters=tasks[0].parameters, shard=Shard(torch.zeros(4, 2, 4, 4), torch.zeros(4).long())),
        *tasks[4:],
    ]
    with pytest.raises(RuntimeError, match="channels"):
        backend.messages(LocalSGD(batch_size=4), broken, out)
    with pytest.raises(RuntimeError):
        backend.messages(Gradient(batch_size=4), broken, out)
    assert len(backend.messages(Gradient(batch_size=4), tasks, out)) == 7


def test_threads_are_at_least_one() -> None:
    with pytest.raises(ValueError, match="threads >= 1"):
        Parallel(_model(TOGETHER["sequence"]), threads=0)
