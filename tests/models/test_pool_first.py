"""A pool before its ReLU: training is the same to the last bit as with the ReLU first, ties and NaN included."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fedward.models import build_model


def relu_first(module: nn.Module) -> nn.Module:
    """The same network with every pool and ReLU in the order in which papers write them."""
    for name, child in module.named_children():
        setattr(module, name, relu_first(child))
    if isinstance(module, nn.Sequential):
        layers = list(module)
        for k in range(len(layers) - 1):
            if isinstance(layers[k], nn.MaxPool2d) and isinstance(layers[k + 1], nn.ReLU):
                module[k], module[k + 1] = layers[k + 1], layers[k]
    return module


def trained(model: nn.Module, batches: list[tuple[Tensor, Tensor]], channels_last: bool) -> list[Tensor]:
    """Logits and parameters after every step."""
    if channels_last:
        model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    seen = []
    for inputs, labels in batches:
        torch.manual_seed(7)  # of dropout
        logits = model(inputs)
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, labels).backward()
        seen += [logits.detach().clone(), *(p.grad.clone() for p in model.parameters())]
        optimizer.step()
        seen += [p.detach().clone() for p in model.parameters()]
    return seen


def batches(kind: str, shape: tuple[int, ...]) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(3)
    made = []
    for _ in range(4):
        inputs = torch.randn(8, *shape, generator=generator)
        if kind == "ties":  # equal neighbours, black areas, few grey values
            inputs = inputs.round().repeat_interleave(2, -1)[..., : shape[-1]]
            inputs[:, :, : shape[-2] // 2] = 0
        made.append((inputs, torch.randint(0, 10, (8,), generator=generator)))
    if kind == "nan":
        made[-1][0][2, 0, 3:9, 4] = torch.nan
        made[-1][0][3, 0, 5, 5] = torch.inf
    return made


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("kind", ["plain", "ties", "nan"])
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("signguard-cnn", (1, 28, 28)),
        ("desgd-cnn", (1, 28, 28)),
        ("desgd-cnn", (3, 32, 32)),
        ("small-cnn", (3, 17, 20)),
    ],
)
def test_the_order_of_pool_and_relu_changes_no_bit(
    name: str, shape: tuple[int, ...], kind: str, channels_last: bool
) -> None:
    torch.manual_seed(1)
    fast = build_model(name, shape, 10)
    torch.manual_seed(1)
    plain = relu_first(build_model(name, shape, 10))
    assert str(fast) != str(plain)
    given = batches(kind, shape)
    for a, b in zip(trained(fast, given, channels_last), trained(plain, given, channels_last), strict=True):
        assert torch.equal(a.nan_to_num(7.5), b.nan_to_num(7.5))
        assert torch.equal(a.isnan(), b.isnan())
