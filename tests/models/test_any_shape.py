"""Every model, built for data of other shapes and classes than it was invented for; counts that papers state."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fedward.models import build_model, check_model, make_model

GREY = (1, 28, 28)
COLOUR = (3, 32, 32)

STATED = {
    ("signguard-cnn", GREY, 10, 51_710),
    ("signguard-cnn", COLOUR, 10, 52_110),  # 400 weights more in the first layer
    ("siren-cnn", GREY, 10, 3_382_346),
    ("siren-cnn", COLOUR, 10, 4_827_338),
    ("siren-cifar-cnn", COLOUR, 10, 122_570),
    ("desgd-cnn", GREY, 10, 80_202),
    ("small-cnn", COLOUR, 10, 89_834),
    ("lenet", GREY, 10, 61_706),
    ("lenet", COLOUR, 10, 62_006),
    ("mlp", GREY, 10, 50_890),
    ("mlp", COLOUR, 100, 203_172),
    ("linear", GREY, 10, 7_850),
    ("linear", (7,), 3, 24),
}
IMAGES = sorted({name for name, *_ in STATED})


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("name", "shape", "classes", "parameters"), sorted(STATED))
def test_stated_counts(name: str, shape: tuple[int, ...], classes: int, parameters: int) -> None:
    assert count(build_model(name, shape, classes)) == parameters


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize(("shape", "classes"), [(COLOUR, 100), (GREY, 62), ((2, 27, 33), 2)])
def test_logits_and_gradients_at_any_shape(name: str, shape: tuple[int, ...], classes: int) -> None:
    model = build_model(name, shape, classes)
    generator = torch.Generator().manual_seed(0)
    logits = model(torch.randn(4, *shape, generator=generator))
    assert logits.shape == (4, classes)
    assert not torch.allclose(logits.sum(1), torch.ones(4), atol=1e-3)  # no softmax
    nn.functional.cross_entropy(logits, torch.tensor([0, 1, 1, 0])).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("name", sorted({*IMAGES} - {"mlp", "linear"}))
def test_what_is_no_image_or_too_small_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} takes images .*got samples of shape \(32,\)"):
        build_model(name, (32,), 10)
    with pytest.raises(ValueError, match=rf"{name} cannot take samples of shape \(1, 1, 1\)"):
        build_model(name, (1, 1, 1), 10)


def test_what_the_text_says_counts_more_than_the_data() -> None:
    assert build_model("mlp:classes=3,hidden=5", (4,), 10)[-1].out_features == 3
    assert build_model("mlp:hidden=5", (4,), 10)[1].in_features == 4


class ByShape(nn.Module):
    """Somebody's own, which cannot be made without knowing the data."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(shape[0], classes)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.layer(inputs)


def test_own_factories_take_the_facts_by_name_or_nothing() -> None:
    assert make_model(ByShape, (5,), 2).layer.weight.shape == (2, 5)
    assert make_model(lambda classes: nn.Linear(1, classes), (5,), 2).out_features == 2
    assert make_model(lambda: nn.Linear(1, 9), (5,), 2).out_features == 9
    with pytest.raises(ValueError, match="makes dict, and a model is"):
        make_model(dict, (5,), 2)


def test_a_factory_by_path_that_must_know_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    home = types.ModuleType("own_nets")
    home.ByShape = ByShape
    monkeypatch.setitem(sys.modules, "own_nets", home)
    check_model("own_nets.ByShape")
    assert build_model("own_nets.ByShape", (5,), 2).layer.weight.shape == (2, 5)
    with pytest.raises(ValueError, match="needs shape"):
        build_model("own_nets.ByShape")
