"""Whatever model PyTorch trains, clients that send gradients work on, too: in shared passes, or client by client."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fedward import Evaluator, Simulation, clients, rules, sim
from fedward.clients import Client, Gradient, LocalModel, Shard, Task
from fedward.core.evaluator import RootEvaluator
from fedward.sim.backends import Loop
from fedward.sim.parallel import Parallel

CLASSES, WIDTH = 3, 5


class Unused(nn.Module):
    """Has a layer that nothing goes through."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.other = nn.Linear(WIDTH, CLASSES), nn.Linear(WIDTH, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.layer(inputs)
        return logits


class Dropped(Unused):
    """What comes out of a layer goes nowhere."""

    def forward(self, inputs: Tensor) -> Tensor:
        self.other(inputs)
        return super().forward(inputs)


class Stopped(Unused):
    """A layer works without gradients."""

    def forward(self, inputs: Tensor) -> Tensor:
        with torch.no_grad():
            shift = self.other(inputs)
        return super().forward(inputs) + shift


class ByKeyword(Unused):
    """A layer is called by the name of its argument."""

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.layer(input=inputs) + self.other(inputs)
        return logits


class Locked(Unused):
    """One mask for all samples, as in recurrent networks for text."""

    def __init__(self, rows: int = 1) -> None:
        super().__init__()
        self.mask = nn.Dropout(0.3)
        self.rows = rows

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs * self.mask(torch.ones(self.rows, WIDTH)).mean(0))


class Single(Locked):
    """A mask of a single number."""

    def forward(self, inputs: Tensor) -> Tensor:
        return Unused.forward(self, inputs * self.mask(torch.tensor(1.0)))


class OfFour(Unused):
    """Takes no other batch than one of four."""

    def forward(self, inputs: Tensor) -> Tensor:
        if self.training:
            inputs = inputs.view(4, WIDTH)
        return super().forward(inputs)


MODELS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "a layer unused": (Unused, "not at all"),
    "an output unused": (Dropped, "what comes out of a layer"),
    "a layer without gradients": (Stopped, "what comes out of a layer"),
    "a layer by keyword": (ByKeyword, "Linear is called otherwise than with its input alone"),
    "one mask": (Locked, "a mask of 1 rows is not one for each of 2 parts"),
    "three masks": (lambda: Locked(3), "a mask of 3 rows"),
    "a mask of a number": (Single, "a mask of a single number"),
    "one size of batch": (OfFour, "the model does not take two batches at once: shape"),
}
SENDING: list[Client] = [
    Gradient(batch_size=4),
    clients.WorkerMomentum(inner=Gradient(batch_size=4)),
    clients.LocalSGD(batch_size=4),
    clients.LocalSGD(batch_size=4, clip=1.0),
]


def made(name: str) -> nn.Module:
    torch.manual_seed(1)
    return MODELS[name][0]()


def rows(backend: Loop, algorithm: Client) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    inputs, labels = torch.randn(30, WIDTH, generator=generator), torch.arange(30) % CLASSES
    parameters = backend.initial()
    tasks = [
        Task(client=k, parameters=parameters, shard=Shard(inputs, labels, torch.arange(10 * k, 10 * k + 10)))
        for k in range(3)
    ]
    out = torch.full((3, len(parameters)), torch.nan)
    backend.messages(algorithm, tasks, out)
    return out


@pytest.mark.parametrize("algorithm", SENDING, ids=lambda algorithm: repr(algorithm)[:40])
@pytest.mark.parametrize("name", MODELS)
def test_rows_are_those_of_one_client_after_the_other(name: str, algorithm: Client) -> None:
    backend = Parallel(made(name), threads=1)
    found = rows(backend, algorithm)
    assert found.isfinite().all()
    assert torch.equal(found, rows(Loop(made(name)), algorithm))
    if algorithm is SENDING[0]:
        assert backend.together is False
        assert MODELS[name][1] in str(backend.apart)


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_pytorch_s_and_zero_where_nothing_goes_through(name: str) -> None:
    local = LocalModel(made(name))
    local.train()
    inputs, labels = torch.randn(4, WIDTH), torch.arange(4) % CLASSES
    with local.seeded(3):
        found, _ = local.gradient(inputs, labels)
    with local.seeded(3):
        torch.autograd.backward(local.loss(inputs, labels))
    expected = [torch.zeros_like(p) if p.grad is None else p.grad for p in local.parameters]
    assert torch.equal(found, torch.cat([g.reshape(-1) for g in expected]))


@pytest.mark.parametrize("name", MODELS)
def test_a_mask_is_pytorch_s_own(name: str) -> None:
    """As after torch.manual_seed."""
    model, local = made(name), LocalModel(made(name))
    local.train()
    inputs, labels = torch.randn(4, WIDTH), torch.arange(4) % CLASSES
    with local.seeded(3):
        found = local.loss(inputs, labels)
    torch.manual_seed(3)
    assert torch.allclose(found, nn.functional.cross_entropy(model.train()(inputs), labels))


def test_the_server_s_own_gradient_is_taken_of_them_as_well() -> None:
    data = torch.randn(4, WIDTH), torch.arange(4) % CLASSES
    evaluator: Evaluator = RootEvaluator(made("a layer unused"), *data, step=-1.0)
    expected, _ = LocalModel(made("a layer unused")).gradient(*data)
    assert torch.allclose(evaluator.update(), expected)


def test_a_simulation_of_such_a_model_goes_through() -> None:
    part = (torch.randn(60, WIDTH), torch.arange(60) % CLASSES)
    simulation = Simulation(
        model=Unused(), data=sim.federate((part, part), 6), rule=rules.Mean(), clients=Gradient(batch_size=4)
    )
    assert [record.round for record in simulation.run(2)] == [1, 2]


class LayerDrop(Unused):
    """Skips a layer now and then, for a whole batch."""

    def forward(self, inputs: Tensor) -> Tensor:
        skips = self.training and float(torch.rand(())) < 0.1
        return super().forward(inputs if skips else inputs + nn.functional.pad(self.other(inputs), (0, 2)))


class AtMostEight(Unused):
    """Takes the batches of two clients at once, and not those of three."""

    def forward(self, inputs: Tensor) -> Tensor:
        assert len(inputs) <= 8 or not self.training, "eight at most"
        return super().forward(inputs + nn.functional.pad(self.other(inputs), (0, 2)))


@pytest.mark.parametrize("seed", range(4))
def test_a_model_that_draws_for_a_whole_batch_has_each_client_s_own(seed: int) -> None:
    run = sim.Simulation(
        model=LayerDrop, data=own_federation(), rule=rules.Mean(), clients=Gradient(batch_size=4), seed=seed
    )
    assert len(list(run.run(20))) == 20
    assert "draws from PyTorch's own generator" in str(run.backend.apart)


def test_what_a_round_cannot_share_goes_client_by_client() -> None:
    torch.manual_seed(0)
    model = AtMostEight()
    backend = Parallel(model, threads=1)
    found = rows(backend, SENDING[0])
    assert torch.equal(found, rows(Loop(model), SENDING[0]))
    assert "the batches of a round at once: eight at most" in str(backend.apart)
    assert backend.together


def own_federation() -> sim.FederatedData:
    generator = torch.Generator().manual_seed(5)
    split = sim.Split(inputs=torch.randn(60, WIDTH, generator=generator), labels=torch.arange(60) % CLASSES)
    return sim.federate(sim.Dataset(name="t", train=split, test=split, classes=CLASSES), 6)
