"""State dicts of what clients changed: running statistics in them may be below 0, and no majority is wrong for it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import fedward as fw
from fedward import rules


def changes(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).state_dict()
    whole = {name: torch.tensor(3) for name, tensor in model.items() if not tensor.is_floating_point()}
    return whole | {
        name: torch.randn(tensor.shape, generator=generator) / 10
        for name, tensor in model.items()
        if tensor.is_floating_point()
    }


def test_changes_of_variances_have_their_median() -> None:
    sent = [changes(seed) for seed in range(5)]
    found = fw.Aggregator(rules.Median())(sent)
    for name in ("1.running_mean", "1.running_var"):
        assert found.state_dict()[name].equal(torch.stack([each[name] for each in sent]).median(0).values)
    assert (found.state_dict()["1.running_var"] < 0).any()
    assert found.note == ""


def test_one_client_below_0_among_models_is_wrong() -> None:
    sent = [{name: t.abs() for name, t in changes(seed).items()} for seed in range(5)]
    sent[2]["1.running_var"] = -sent[2]["1.running_var"]
    with pytest.raises(ValueError, match=r"client 2: 1\.running_var is a variance, and below 0"):
        fw.Aggregator(rules.Median())(sent)
