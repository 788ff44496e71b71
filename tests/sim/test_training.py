"""How servers and clients train, against plain loops; every one resumes, and is the same on any number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fedward as fw
from fedward import attacks, rules
from fedward.clients import (
    Augment,
    FedProx,
    Gradient,
    LocalModel,
    LocalSGD,
    Scaffold,
    Task,
    WorkerMomentum,
    carry_out,
)
from fedward.sim import FedAdagrad, FedAdam, FedAvgM, FedYogi, Server
from fedward.training import Cosine, MultiStep, WarmUp
from tests.oracles import training as oracle
from tests.sim.federations import CLASSES, SIZE, convolution, federation, images, linear, task

# --- servers ------------------------------------------------------------------------------------------------

GRADIENTS = torch.randn(6, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
GRADIENTS[2, 3] = 0


def stepped(server: Server, gradients: Tensor = GRADIENTS) -> Tensor:
    parameters, velocity, state = torch.linspace(-1, 1, 5, dtype=torch.float64), None, {}
    for round, gradient in enumerate(gradients):
        given = (parameters.clone(), gradient.clone(), {k: v.clone() for k, v in state.items()})
        moved = server.move(parameters, gradient, velocity, state, round)
        again = server.move(parameters, gradient, velocity, state, round)
        assert torch.equal(moved.parameters, again.parameters)  # pure
        assert torch.equal(parameters, given[0])
        assert torch.equal(gradient, given[1])
        assert all(torch.equal(state[k], v) for k, v in given[2].items())
        parameters, velocity, state = moved.parameters, moved.velocity, moved.state
    return parameters


@pytest.mark.parametrize(
    ("server", "kind"),
    [
        (FedAdam(lr=0.05, beta1=0.8, beta2=0.95, tau=0.01), "adam"),
        (FedYogi(lr=0.05, beta1=0.8, beta2=0.95, tau=0.01), "yogi"),
        (FedAdagrad(lr=0.05, beta1=0.8, tau=0.01), "adagrad"),
    ],
)
def test_adaptive_servers_are_the_paper_s(server: Server, kind: str) -> None:
    begin = np.linspace(-1, 1, 5)
    expected = oracle.adaptive_server(kind, begin, [-g.numpy() for g in GRADIENTS], 0.05, 0.8, 0.95, 0.01)
    np.testing.assert_allclose(stepped(server).numpy(), expected, rtol=1e-12)


def test_momentum_of_the_server_is_the_paper_s() -> None:
    expected = oracle.averaged_with_momentum(np.linspace(-1, 1, 5), [-g.numpy() for g in GRADIENTS], 0.5, 0.9)
    np.testing.assert_allclose(stepped(FedAvgM(lr=0.5)).numpy(), expected, rtol=1e-12)


def test_a_schedule_of_the_server_is_pytorch_s() -> None:
    parameter = nn.Parameter(torch.linspace(-1, 1, 5, dtype=torch.float64))
    optimizer = torch.optim.SGD([parameter], 0.2, momentum=0.7, weight_decay=0.1)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 4], 0.3)
    for gradient in GRADIENTS:
        parameter.grad = gradient.clone()
        optimizer.step()
        scheduler.step()
    schedule = MultiStep(milestones=(2, 4), gamma=0.3)
    server = fw.ServerSGD(lr=0.2, momentum=0.7, weight_decay=0.1, schedule=schedule)
    torch.testing.assert_close(stepped(server), parameter.detach(), rtol=1e-12, atol=0)
    constant = MultiStep(milestones=(100,))
    assert torch.equal(stepped(fw.ServerSGD(schedule=constant)), stepped(fw.ServerSGD()))


def test_a_server_of_one_s_own_by_the_step_alone() -> None:
    class Signs(fw.ServerSGD):
        def step(self, parameters: Tensor, gradient: Tensor, velocity: Tensor | None) -> tuple[Tensor, Tensor]:
            return parameters - self.lr * gradient.sign(), gradient

    expected = torch.linspace(-1, 1, 5, dtype=torch.float64) - 0.1 * GRADIENTS.sign().sum(0)
    torch.testing.assert_close(stepped(Signs(lr=0.1)), expected)


def gradient_at(task: Task, batches: list[Tensor], weights: np.ndarray, k: int) -> np.ndarray:
    """Of the mean cross-entropy of a linear model, by its formula."""
    inputs, labels = task.shard.take(batches[k])
    x = inputs.flatten(1).numpy()
    logits = x @ weights.reshape(CLASSES, 8).T
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    p[np.arange(len(x)), labels.numpy()] -= 1
    return (p.T @ x / len(x)).reshape(-1)


@pytest.mark.parametrize("mu", [0.0, 0.5])
def test_fed_prox_is_the_paper_s(mu: float) -> None:
    algorithm = FedProx(batch_size=4, steps=5, lr=0.3, proximal=mu)
    now = task(round=2)
    answer = carry_out(algorithm, LocalModel(linear()), now)
    batches = list(now.batches(4, 5))
    begin = now.parameters.numpy()
    expected = oracle.proximal_steps(lambda w, k: gradient_at(now, batches, w, k), begin, 5, 0.3, mu)
    np.testing.assert_allclose(answer.row.numpy(), expected - begin, rtol=1e-9, atol=1e-12)
    plain = carry_out(LocalSGD(batch_size=4, steps=5, lr=0.3), LocalModel(linear()), now)
    assert torch.equal(plain.row, answer.row) is (mu == 0)


@pytest.mark.parametrize("participation", [1.0, 0.5])
def test_scaffold_is_the_paper_s_under_the_mean(participation: float) -> None:
    rounds, steps, lr = 4, 3, 0.2
    run = fw.Simulation(
        model=linear(),
        data=federation(),
        rule=rules.Mean(),
        clients=Scaffold(batch_size=4, steps=steps, lr=lr),
        server=fw.ServerSGD(lr=0.7),
        participation=participation,
        seed=3,
    )
    begin = run.progress.parameters.numpy().copy()
    records = list(run.run(rounds))
    chosen = [[i for i, accepted in enumerate(record.accepted) if accepted is not None] for record in records]
    assert all(len(present) == 4 * participation for present in chosen)

    def of(client: int) -> Any:
        def gradient(w: np.ndarray, round: int, k: int) -> np.ndarray:
            now = task(client, round)
            return gradient_at(now, list(now.batches(4, steps)), w, k)

        return gradient

    x, c, own = oracle.scaffold([of(i) for i in range(4)], chosen, begin, steps, lr, 0.7)
    np.testing.assert_allclose(run.progress.parameters.numpy(), x, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(run.progress.told["control"].numpy(), c, rtol=1e-9, atol=1e-12)
    for client, state in run.progress.client_states.items():
        np.testing.assert_allclose(state["control"].numpy(), own[client], rtol=1e-9, atol=1e-12)


def test_scaffold_rests_where_the_learning_rate_is_zero() -> None:
    algorithm = Scaffold(batch_size=4, steps=2, lr=0.2, schedule=Cosine(rounds=2))
    state = {"control": torch.ones(SIZE, dtype=torch.float64)}
    answer = carry_out(algorithm, LocalModel(linear()), task(round=5, state=state, told=state))
    assert not answer.row.any()
    assert torch.equal(answer.state["control"], state["control"])
    assert algorithm.tell(state, torch.zeros(SIZE), 1.0, 5) == state


def test_the_client_s_schedule_goes_by_rounds() -> None:
    schedule = WarmUp(rounds=2, begin=0.5, then=Cosine(rounds=3))
    for round in range(6):
        scheduled = carry_out(
            LocalSGD(batch_size=4, steps=2, lr=0.2, schedule=schedule), LocalModel(linear()), task(round=round)
        )
        lr = schedule.at(0.2, round)
        if not lr:
            assert not scheduled.row.any()
            continue
        plain = carry_out(LocalSGD(batch_size=4, steps=2, lr=lr), LocalModel(linear()), task(round=round))
        assert torch.equal(scheduled.row, plain.row)


def test_smoothed_labels_are_pytorch_s() -> None:
    now = task()
    (batch,) = now.batches(5, 1)
    model = linear()
    inputs, labels = now.shard.take(batch)
    nn.functional.cross_entropy(model(inputs), labels, label_smoothing=0.2).backward()
    smoothed = Gradient(batch_size=5, smoothing=0.2)
    for algorithm in (smoothed, WorkerMomentum(inner=smoothed, beta=0.0)):
        answer = carry_out(algorithm, LocalModel(linear()), now)
        torch.testing.assert_close(answer.row, model[1].weight.grad.flatten())
    stepped = carry_out(LocalSGD(batch_size=5, steps=1, lr=0.1, smoothing=0.2), LocalModel(linear()), now)
    torch.testing.assert_close(stepped.row, -0.1 * model[1].weight.grad.flatten())


def test_clipping() -> None:
    free = carry_out(Gradient(batch_size=5), LocalModel(linear()), task()).row
    norm = float(free.norm())
    clipped = carry_out(Gradient(batch_size=5, clip=norm / 3), LocalModel(linear()), task()).row
    torch.testing.assert_close(clipped, free / 3)
    assert torch.equal(carry_out(Gradient(batch_size=5, clip=norm * 2), LocalModel(linear()), task()).row, free)
    step = carry_out(LocalSGD(batch_size=5, steps=1, lr=0.1, clip=norm / 3), LocalModel(linear()), task()).row
    torch.testing.assert_close(step, -0.1 * free / 3, rtol=1e-5, atol=0)


# --- all of them in runs ------------------------------------------------------------------------------------

RUNS: dict[str, dict[str, Any]] = {
    "fed-adam": {"server": FedAdam(lr=0.1)},
    "fed-yogi with deltas": {"server": FedYogi(lr=0.1), "clients": LocalSGD(batch_size=4, steps=2, lr=0.1)},
    "fed-adagrad": {"server": FedAdagrad(lr=0.1)},
    "fed-avg-m": {"server": FedAvgM(), "clients": LocalSGD(batch_size=4, steps=2, lr=0.1)},
    "scheduled": {
        "server": fw.ServerSGD(lr=0.1, momentum=0.9, schedule=WarmUp(rounds=2)),
        "clients": Gradient(batch_size=4, smoothing=0.1, clip=1.0),
    },
    "scaffold": {"clients": Scaffold(batch_size=4, steps=3, lr=0.1), "participation": 0.75},
    "fed-prox, adam": {"clients": FedProx(batch_size=4, steps=3, optimizer="adam", lr=0.01, schedule=Cosine(rounds=9))},
    "augmented": {"clients": Augment(inner=WorkerMomentum(inner=Gradient(batch_size=4)), crop=1)},
    "bfloat16": {"precision": "bfloat16", "clients": Gradient(batch_size=4)},
}


def simulation(threads: int = 1, **given: Any) -> fw.Simulation:
    settings = {"model": convolution, "data": images(), "rule": rules.CenteredClipping(radius=1.0), "seed": 5}
    return fw.Simulation(**{**settings, "attack": attacks.PoisonedFL(), "byzantine": 1, "threads": threads, **given})


def everything(run: fw.Simulation) -> Iterator[Tensor]:
    now = run.progress
    yield now.parameters
    yield now.velocity
    for states in (now.server_state, now.told, *(state for _, state in sorted(now.client_states.items()))):
        yield from (value for _, value in sorted(states.items()))


@pytest.mark.parametrize("name", RUNS)
def test_runs_resume_and_threads_change_nothing(name: str, tmp_path: Path) -> None:
    whole = simulation(**RUNS[name])
    list(whole.run(6))
    threaded = simulation(threads=2, **RUNS[name])
    list(threaded.run(6))
    for stop in (1, 4):
        file = tmp_path / f"{stop}.pt"
        list(simulation(**RUNS[name]).run(stop, checkpoint=file))
        resumed = simulation(**RUNS[name])
        list(resumed.run(6, checkpoint=file))
        for other in (resumed, threaded):
            pairs = zip(everything(whole), everything(other), strict=True)
            assert all(torch.equal(a, b) for a, b in pairs)
    assert whole.progress.parameters.isfinite().all()


def test_checkpoints_without_the_new_states_are_read() -> None:
    run = simulation()
    list(run.run(2))
    saved = run.progress.to_saved()
    for key in ("server_state", "told"):
        del saved[key]
    read = type(run.progress).of_saved(saved, torch.device("cpu"))
    assert read.server_state == read.told == {}


def test_less_precise_gradients_are_shared_and_near() -> None:
    rows = {}
    for precision in ("float32", "bfloat16"):
        run = simulation(precision=precision, byzantine=0, clients=Gradient(batch_size=12))
        list(run.run(1))
        assert run.backend.together
        assert run.rows.dtype == torch.float32
        rows[precision] = run.rows.clone()
    exact, coarse = rows.values()
    assert not torch.equal(exact, coarse)
    assert float((exact - coarse).norm() / exact.norm()) < 0.03
    with pytest.raises(ValueError, match="precision is one of float32, bfloat16"):
        simulation(precision="float8")
