"""What an evaluator tries on the server's model leaves that model as it was: modes, buffers, parameters."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fedward import RootEvaluator
from fedward.stack import Dense

INPUTS = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(0, 2, (20,), generator=torch.Generator().manual_seed(1))


def normalised() -> nn.Sequential:
    """A model in training, but for a frozen layer."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.BatchNorm1d(4), nn.Linear(4, 2)).train()
    model[3].eval()
    return model


def modes(model: nn.Module) -> list[bool]:
    return [part.training for part in model.modules()]


def held(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_trying_steps_leaves_each_part_in_its_mode() -> None:
    model = normalised()
    before = modes(model)
    evaluator = RootEvaluator(model, INPUTS, LABELS, step=1.0)
    evaluator.losses(Dense(torch.zeros(2, sum(p.numel() for p in model.parameters()))))
    assert modes(model) == before
    with pytest.raises(RuntimeError):
        RootEvaluator(model, INPUTS[:, :2], LABELS, step=1.0).error_rates(Dense(torch.zeros(1, 42)))
    assert modes(model) == before, "an error leaves them, too"


def test_the_server_s_own_gradient_moves_no_running_statistics() -> None:
    model = normalised()
    before = held(model)
    update = RootEvaluator(model, INPUTS, LABELS, step=-0.1).update()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    nn.functional.cross_entropy(model(INPUTS), LABELS).backward()
    assert torch.equal(update, torch.cat([p.grad.flatten() for p in model.parameters()]))
