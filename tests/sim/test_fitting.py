"""A simulation builds its model for the data, and says what does not fit before anything runs."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fedward import Simulation, clients, rules, sim
from fedward.experiments.spec import make_spec


def colour(classes: int = 7, shape: tuple[int, ...] = (3, 12, 10)) -> sim.FederatedData:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(60, *shape, generator=generator)
    labels = torch.arange(60) % classes
    split = sim.Split(inputs=inputs, labels=labels)
    return sim.federate(sim.Dataset(name="own", train=split, test=split, classes=classes), 3)


def simulation(model: object, data: sim.FederatedData | None = None) -> Simulation:
    return Simulation(
        model=model, data=data or colour(), rule=rules.Mean(), clients=clients.Gradient(batch_size=4), threads=1
    )


@pytest.mark.parametrize("name", ["mlp", "linear", "small-cnn", "lenet"])
def test_models_are_built_for_the_data(name: str) -> None:
    shape = (3, 18, 16)
    run = simulation(sim.MODELS[name], colour(7, shape))
    (record,) = run.run(1)
    assert record.loss is not None
    assert next(reversed(run.parameters().values())).shape == (7,)


def test_the_spec_builds_for_the_data() -> None:
    spec = make_spec({"data": "fashion-mnist-subset", "model": "mlp:hidden=8", "clients": 5, "byzantine": 0})
    assert sum(v.numel() for v in spec.simulation(rule=rules.Mean()).parameters().values()) == 784 * 8 + 8 + 80 + 10


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (
            lambda: nn.Sequential(nn.Flatten(), nn.Linear(360, 3)),
            r"gives \(1, 3\) .* 7 classes need logits of shape \(1, 7\)",
        ),
        (lambda: nn.Conv2d(3, 7, 3), r"gives \(1, 7, 10, 8\) for one sample"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 7)), r"cannot take a sample of shape \(3, 12, 10\)"),
        (lambda: nn.LSTM(10, 7), r"cannot take a sample of shape|gives tuple for one sample"),
        (sim.MODELS["siren-cifar-cnn"], r"siren-cifar-cnn cannot take samples of shape \(3, 12, 10\)"),
        (lambda depth: nn.Linear(depth, 7), r"makes no model of samples of shape \(3, 12, 10\): .*depth"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_runs(model: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        simulation(model)


def test_trying_the_model_leaves_no_trace() -> None:
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(360), nn.Dropout(0.5), nn.Linear(360, 7))
    model[1].eval()
    before = torch.default_generator.get_state()
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    simulation(model)
    assert [part.training for part in model] == [True, False, True, True]
    assert torch.equal(before, torch.default_generator.get_state())
    assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())
