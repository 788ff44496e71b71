"""Residual networks and VGG: the counts that are published, what their normalisations do, any shape of image."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fedward.clients import LocalModel
from fedward.models import build_model

COLOUR = (3, 32, 32)
STATED = [
    ("resnet-18", COLOUR, 10, 11_173_962),
    ("resnet-18:norm=group", COLOUR, 10, 11_173_962),
    ("resnet-34", COLOUR, 10, 21_282_122),
    ("resnet-20", COLOUR, 10, 269_722),
    ("resnet-20:norm=group", COLOUR, 10, 269_722),
    ("vgg-11", COLOUR, 10, 9_231_114),
    ("vgg-11:norm=none", COLOUR, 10, 9_225_610),
]


@pytest.mark.parametrize(("text", "shape", "classes", "parameters"), STATED)
def test_stated_counts(text: str, shape: tuple[int, ...], classes: int, parameters: int) -> None:
    with torch.device("meta"):
        model = build_model(text, shape, classes)
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize("text", ["resnet-20", "resnet-20:norm=group"])
@pytest.mark.parametrize(("shape", "classes"), [((1, 28, 28), 62), ((2, 9, 14), 3)])
def test_logits_and_gradients(text: str, shape: tuple[int, ...], classes: int) -> None:
    model = build_model(text, shape, classes)
    logits = model(torch.randn(4, *shape))
    assert logits.shape == (4, classes)
    nn.functional.cross_entropy(logits, torch.tensor([0, 1, 1, 0])).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize(("text", "alone"), [("resnet-20", False), ("resnet-20:norm=group", True)])
def test_a_sample_is_normalised_by_itself_with_groups_alone(text: str, alone: bool) -> None:
    model = build_model(text, (1, 8, 8), 3)
    images = torch.randn(6, 1, 8, 8)
    images[3:] *= 5
    together = model(images)[:3]
    assert torch.allclose(together, model(images[:3]), atol=1e-4) is alone


@pytest.mark.parametrize("name", ["resnet-18", "resnet-20", "vgg-11"])
def test_only_batch_norm_has_running_statistics(name: str) -> None:
    with torch.device("meta"):
        kinds = {norm: build_model(f"{name}:norm={norm}") for norm in ("batch", "group")}
    assert len(list(kinds["batch"].buffers())) > 0
    assert len(list(kinds["group"].buffers())) == 0


def test_running_statistics_are_no_part_of_what_is_sent() -> None:
    local = LocalModel(build_model("resnet-20", (1, 8, 8), 3))
    assert len(local.read()) == sum(p.numel() for p in local.module.parameters())
    # A mean and a variance for each channel of 19 convolutions: 7 of 16, 6 of 32 and 6 of 64.
    assert len(local.read_buffers()) == 2 * (7 * 16 + 6 * 32 + 6 * 64)


def test_the_shortcut_of_resnet_20_has_no_parameters_and_adds_zeros() -> None:
    block = build_model("resnet-20").stages[3]
    assert list(block.shortcut.parameters()) == []
    inputs = torch.randn(2, 16, 6, 6)
    output = block.shortcut(inputs)
    assert output.shape == (2, 32, 3, 3)
    assert torch.equal(output[:, 8:24], inputs[:, :, ::2, ::2])
    assert output[:, :8].abs().sum() == output[:, 24:].abs().sum() == 0


def test_small_images_are_refused_where_they_vanish() -> None:
    with pytest.raises(ValueError, match="takes 32 x 32 or more, got 28 x 28"):
        build_model("vgg-11", (1, 28, 28), 10)
    with pytest.raises(ValueError, match=r"takes images .*got samples of shape \(32,\)"):
        build_model("resnet-18", (32,), 10)
    with pytest.raises(ValueError, match="one of batch, group, got 'layer'"):
        build_model("resnet-18:norm=layer")
