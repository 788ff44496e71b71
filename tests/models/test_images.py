import pytest
import torch
from torch import nn

from fedward.models import MODELS, SignGuardCNN, build_model


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


COUNTS = {
    "signguard-cnn": 51_710,
    "siren-cnn": 3_382_346,
    "desgd-cnn": 80_202,
    "mlp": 50_890,
    "linear": 7_850,
    "lenet": 61_706,
}
"""For 28 x 28 grey images in ten classes, which is what these are built for where nothing is said."""


@pytest.mark.parametrize(("name", "parameters"), COUNTS.items())
def test_parameter_counts(name: str, parameters: int) -> None:
    assert count(build_model(name)) == parameters


def test_signguard_cnn_layer_by_layer() -> None:
    layers = [m for m in SignGuardCNN().modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert [count(layer) for layer in layers] == [208, 1_168, 4_640, 34_680, 10_164, 850]


@pytest.mark.parametrize("name", COUNTS)
def test_logits_and_gradients(name: str) -> None:
    model = build_model(name)
    logits = model(torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(0)))
    assert logits.shape == (3, 10)
    # Logits, not probabilities: a softmax would make every row sum to 1, a log-softmax every exp.
    assert not torch.allclose(logits.sum(1), torch.ones(3), atol=1e-3)
    assert not torch.allclose(logits.exp().sum(1), torch.ones(3), atol=1e-3)
    nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2])).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_dropout_follows_both_hidden_layers() -> None:
    layers = list(SignGuardCNN().classifier)
    hidden = [i for i, layer in enumerate(layers) if isinstance(layer, nn.Linear)][:-1]
    assert [type(layers[i + 1]) for i in hidden] == [nn.ReLU, nn.ReLU]
    assert [layers[i + 2].p for i in hidden] == [0.5, 0.5]


def test_dropout_argument() -> None:
    images = torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    off, on = SignGuardCNN(dropout=0.0), SignGuardCNN()
    assert torch.equal(off(images), off(images))
    assert not torch.equal(on(images), on(images))
    assert torch.equal(on.eval()(images), on(images))
    with pytest.raises(ValueError, match=r"1\.5"):
        SignGuardCNN(dropout=1.5)


def test_build_model_gives_a_new_model_each_time() -> None:
    assert build_model("linear") is not build_model("linear")


@pytest.mark.parametrize(
    ("name", "near"), [("signgard_cnn", "signguard-cnn"), ("SirenCNM", "siren-cnn"), ("mpl", "mlp")]
)
def test_unknown_name_lists_the_valid_ones_and_the_nearest(name: str, near: str) -> None:
    with pytest.raises(ValueError, match=f"did you mean '{near}'") as caught:
        build_model(name)
    assert f"Valid names: {near}, " in str(caught.value)
    assert f"and {len(MODELS) - 5} others (fedward list models)" in str(caught.value)


def test_unknown_name_without_a_near_one() -> None:
    with pytest.raises(ValueError, match=r"unknown model .xyz.\. Valid names: .* and \d+ others"):
        build_model("xyz")
