"""fedward's client algorithms on the nodes of a federation: the same as in the simulator, and SIREN around any app."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, Context
from flwr.clientapp import ClientApp
from torch import nn

import fedward as fw
from fedward import attacks, clients, rules, sim
from fedward.core import RootEvaluator
from fedward.flower import RobustFedAvg, hostile, siren_mod, train_with
from fedward.sim import Dataset, FederatedData, Split

from .federation import Images, InProcess, Quadratic, arrays_of, liars, model

N, CLASSES, ROUNDS = 6, 3, 5


def split(samples: int, seed: int) -> Split:
    inputs = torch.randn(samples, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    return Split(inputs=inputs, labels=inputs.flatten(1)[:, :CLASSES].argmax(1))


TRAIN = split(20 * N, 0)
ORDER = TRAIN.labels.argsort(stable=True)  # neighbours hold the same classes, so nobody holds all
DATA = FederatedData(
    dataset=Dataset(name="tiny", train=TRAIN, test=split(30, 1), classes=CLASSES), shards=ORDER.split(20)
)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, CLASSES))


def plain() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, CLASSES))


def prepared(make: Any) -> Any:
    def prepare(context: Context) -> tuple[nn.Module, clients.Shard]:
        shard = DATA.shards[int(context.node_config["partition-id"])]
        return make(), clients.Shard(TRAIN.inputs, TRAIN.labels, shard)

    return prepare


def nodes(*arguments: Any, **options: Any) -> InProcess:
    app = ClientApp()
    app.train()(train_with(*arguments, **options))
    return InProcess(app, nodes=list(range(N)))


ALGORITHMS = {
    "gradient": (clients.Gradient(batch_size=5), 0.1),
    "local-sgd": (clients.LocalSGD(epochs=1, batch_size=5, lr=0.1, momentum=0.5), 1.0),
    "worker-momentum": (clients.WorkerMomentum(inner=clients.Gradient(batch_size=5), beta=0.5), 0.1),
    "siren": (clients.Siren(inner=clients.LocalSGD(steps=2, batch_size=5, lr=0.1), held_out=0.2), 1.0),
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_federation_is_the_simulation(name: str) -> None:
    algorithm, lr = ALGORITHMS[name]
    simulation = fw.Simulation(
        model=plain(), data=DATA, rule=rules.Mean(), clients=algorithm, server=fw.ServerSGD(lr=lr), seed=3
    )
    list(simulation.run(ROUNDS))
    grid = nodes(algorithm, prepared(plain), lr=lr, seed=3)
    strategy = RobustFedAvg(rule="mean", fraction_evaluate=0.0)
    result = strategy.start(grid, arrays_of(plain().state_dict()), num_rounds=ROUNDS)
    assert strategy.audits[0].kept, strategy.audits[0]
    wanted = {k: v.numpy() for k, v in simulation.parameters().items()}
    for name, array in result.arrays.items():
        np.testing.assert_allclose(array.numpy(), wanted[name], rtol=1e-4, atol=1e-6)


def test_class_momenta_class_by_class_are_the_simulation_too() -> None:
    algorithm, rule = clients.ClassMomentum(batch_size=4), rules.ClassWise(base=rules.Mean())
    simulation = fw.Simulation(
        model=plain(), data=DATA, rule=rule, clients=algorithm, server=fw.ServerSGD(lr=0.1), seed=3
    )
    list(simulation.run(ROUNDS))
    grid = nodes(algorithm, prepared(plain), lr=0.1, seed=3)
    strategy = RobustFedAvg(rule=rule, classes=CLASSES, fraction_evaluate=0.0)
    result = strategy.start(grid, arrays_of(plain().state_dict()), num_rounds=ROUNDS)
    assert strategy.audits[0].kept, strategy.audits[0]
    wanted = {k: v.numpy() for k, v in simulation.parameters().items()}
    for name, array in result.arrays.items():
        np.testing.assert_allclose(array.numpy(), wanted[name], rtol=1e-4, atol=1e-6)
    silent = list(strategy.audits[0].dropped)
    assert silent
    assert all(v.reason == "error" and "has nothing to send in this round" in v.detail for v in silent)


def test_running_statistics_come_along_and_counters_stay() -> None:
    algorithm = clients.LocalSGD(steps=2, batch_size=5, lr=0.1)
    grid = nodes(algorithm, prepared(net))
    first = arrays_of(net().state_dict())
    result = RobustFedAvg(rule="mean", fraction_evaluate=0.0).start(grid, first, num_rounds=2)
    assert not np.allclose(result.arrays["2.running_mean"].numpy(), 0)
    assert (result.arrays["2.running_var"].numpy() > 0).all()
    assert int(result.arrays["2.num_batches_tracked"].numpy()) == 0


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="lr > 0"):
        train_with(clients.Gradient(batch_size=5), prepared(plain), lr=0)
    with pytest.raises(ValueError, match=r"0 <= tolerance <= 1 .* got 2, 'tolerant'"):
        siren_mod(lambda arrays, context: 1.0, tolerance=2)
    with pytest.raises(ValueError, match="'loud'"):
        siren_mod(lambda arrays, context: 1.0, variant="loud")
    with pytest.raises(ValueError, match="classes, a whole number of at least 1"):
        RobustFedAvg(rule="mean", classes=0)
    with pytest.raises(ValueError, match=r"got 2\.5"):
        RobustFedAvg(rule="mean", classes=2.5)  # type: ignore[arg-type]


# --- SIREN --------------------------------------------------------------------------------------------------


def closeness(arrays: Mapping[str, np.ndarray], context: Context) -> float:
    """An accuracy for `Quadratic`: how near the weights are to 1."""
    return max(0.0, 1 - abs(float(arrays["b.bias"].mean()) - 1))


def alarms(strategy: RobustFedAvg, heard: list[dict[int, int]]) -> RobustFedAvg:
    judge = strategy.aggregator.__class__.__call__

    class Listening(strategy.aggregator.__class__):  # type: ignore[name-defined]
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            heard.append({node: said["alarm"] for node, said in kwargs["messages"].items()})
            return judge(self, *args, **kwargs)

    strategy.aggregator.__class__ = Listening
    return strategy


def test_alarms_are_raised_where_the_model_got_worse_and_training_goes_on_from_the_own_model() -> None:
    grid = InProcess(Quadratic([siren_mod(closeness)], spread=0.0).app)
    heard: list[dict[int, int]] = []
    strategy = alarms(RobustFedAvg(rule="mean", fraction_evaluate=0.0), heard)
    strategy.start(grid, model(), num_rounds=2)
    assert [set(h.values()) for h in heard] == [{0}, {0}]
    worse = ArrayRecord({k: Array(np.asarray(a.numpy() * (a.numpy().dtype.kind != "f"))) for k, a in model().items()})
    replies = grid.send_and_receive(strategy.configure_train(3, worse, _config(), grid))
    strategy.arrays = None
    for reply in replies:
        assert reply.content["metrics"]["alarm"] == 1
        # Its own model was at 0.75; half the way to 1 from there.
        np.testing.assert_allclose(reply.content["arrays"]["b.bias"].numpy(), 0.875)


def test_a_restarted_node_is_silent_at_first() -> None:
    grid = InProcess(Quadratic([siren_mod(closeness, variant="printed")], spread=0.0).app)
    heard: list[dict[int, int]] = []
    strategy = alarms(RobustFedAvg(rule="mean", fraction_evaluate=0.0), heard)
    strategy.start(grid, model(), num_rounds=1)
    grid.restart(grid.nodes[3])
    strategy.start(grid, strategy.arrays, num_rounds=1)
    assert {node for node, alarm in heard[1].items() if not alarm} == {grid.nodes[3]}


def _config() -> Any:
    from flwr.app import ConfigRecord

    return ConfigRecord()


def test_siren_drops_boosted_flippers_and_the_model_learns() -> None:
    images = Images()
    held = sim.load("fashion-mnist-subset").train
    inputs, labels = held.inputs[:100], held.labels[:100]

    def accuracy(arrays: Mapping[str, np.ndarray], context: Context) -> float:
        module = Images.model()
        module.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in arrays.items()})
        with torch.inference_mode():
            return float((module(inputs).argmax(1) == labels).float().mean())

    def evaluator(tensors: Mapping[str, torch.Tensor]) -> RootEvaluator:
        module = Images.model()
        module.load_state_dict(tensors)
        return RootEvaluator(module, inputs, labels, step=1.0)

    lying = hostile.update_mod(attacks.SilentAlarms(inner=attacks.SignFlip(scale=4)), liars(0, 1, 2, 3))
    app = Images([lying, siren_mod(accuracy)]).app
    strategy = RobustFedAvg(rule=rules.SIREN(), evaluator=evaluator, fraction_evaluate=0.0)
    result = strategy.start(InProcess(app), arrays_of(images.model().state_dict()), num_rounds=6)
    bad = set(InProcess(app).nodes[:4])

    assert float(images.accuracy(6, result.arrays)["accuracy"]) > 0.6
    alarmed = [audit for audit in strategy.audits if audit.dropped]  # without alarms everybody counts
    assert alarmed
    assert not any(bad & set(audit.kept) for audit in alarmed)
