"""Models for text: TextRNN against its formulas, counts, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from fedward.models import build_model

STATED = [
    ("text-rnn", (32,), 4, 3_837_212),
    ("text-transformer", (32,), 4, 742_532),
]


@pytest.mark.parametrize(("name", "shape", "classes", "parameters"), STATED)
def test_stated_counts(name: str, shape: tuple[int, ...], classes: int, parameters: int) -> None:
    assert sum(p.numel() for p in build_model(name, shape, classes).parameters()) == parameters


@pytest.mark.parametrize("name", ["text-rnn:embedding=6,hidden=5", "text-transformer:width=6,heads=2,depth=1"])
def test_logits_and_gradients(name: str) -> None:
    model = build_model(name, (7,), 3, vocabulary=11)
    tokens = torch.arange(28).view(4, 7) % 11
    logits = model(tokens)
    assert logits.shape == (4, 3)
    nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()
    assert all(p.grad is not None for p in model.parameters())
    assert sum(p.grad.abs().sum() > 0 for p in model.parameters()) >= len(list(model.parameters())) - 1
    with pytest.raises(IndexError):
        model(tokens + 11)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def lstm(steps: list[np.ndarray], part: dict[str, np.ndarray], suffix: str) -> list[np.ndarray]:
    """One direction of an LSTM, gates in the order i, f, g, o: the hidden state after every step."""
    size = part[f"weight_hh_l0{suffix}"].shape[1]
    h, c = np.zeros(size), np.zeros(size)
    outputs = []
    for x in steps:
        gates = part[f"weight_ih_l0{suffix}"] @ x + part[f"bias_ih_l0{suffix}"]
        gates = gates + part[f"weight_hh_l0{suffix}"] @ h + part[f"bias_hh_l0{suffix}"]
        i, f, g, o = np.split(gates, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return outputs


def test_text_rnn_is_what_the_formulas_say() -> None:
    torch.manual_seed(0)
    model = build_model("text-rnn:embedding=6,hidden=5", (7,), 3, vocabulary=11).double().eval()
    tokens = torch.tensor([[3, 1, 4, 1, 5, 9, 2]])
    steps = [model.words.weight[t].detach().numpy() for t in tokens[0].tolist()]
    for layer in (model.first, model.second):
        part = {name: value.numpy() for name, value in layer.state_dict().items()}
        forward = lstm(steps, part, "")
        backward = lstm(steps[::-1], part, "_reverse")[::-1]
        steps = [np.concatenate(pair) for pair in zip(forward, backward, strict=True)]
    expected = model.output.weight.detach().numpy() @ steps[-1] + model.output.bias.detach().numpy()
    np.testing.assert_allclose(model(tokens)[0].detach().numpy(), expected, rtol=1e-12, atol=1e-14)


def test_the_transformer_sees_the_order_of_words() -> None:
    torch.manual_seed(0)
    model = build_model("text-transformer:width=6,heads=2,depth=1", (4,), 3, vocabulary=11).eval()
    a, b = model(torch.tensor([[1, 2, 3, 4], [4, 3, 2, 1]]))
    assert not torch.allclose(a, b)
    assert torch.allclose(model(torch.tensor([[4, 3, 2, 1]]))[0], b, atol=1e-6)


def test_images_and_widths_that_do_not_fit_are_refused() -> None:
    for name in ("text-rnn", "text-transformer"):
        with pytest.raises(ValueError, match=r"takes texts of L tokens, samples of shape \(L,\), got \(1, 28, 28\)"):
            build_model(name, (1, 28, 28), 10)
    with pytest.raises(ValueError, match="width is a multiple of heads, got 64 and 5"):
        build_model("text-transformer:heads=5")
