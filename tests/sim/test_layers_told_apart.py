"""Every layer whose gradients are told apart by client, against autograd, and what is said of those that are not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fedward.clients import Gradient, LocalModel, Shard, Task
from fedward.models import build_model
from fedward.sim.grouped import GroupedGradients, UngroupableError
from fedward.sim.parallel import Parallel

CLASSES = 3


class Words(nn.Module):
    def __init__(self, **given: object) -> None:
        super().__init__()
        self.words = nn.Embedding(9, 4, **given)
        self.norm = nn.LayerNorm((5, 4))
        self.output = nn.Linear(20, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.output(self.norm(self.words(tokens)).flatten(1))


class Unbatched(nn.Module):
    """Embeds places once for all samples, so that they are nobody's own."""

    def __init__(self) -> None:
        super().__init__()
        self.places = nn.Embedding(5, 4)
        self.output = nn.Linear(20, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.output((self.places(torch.arange(5)) + tokens[..., None]).flatten(1))


def images(last: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), last, nn.ReLU(), nn.Flatten(), nn.Linear(54, CLASSES))


def sequences(last: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Flatten(2), nn.Conv1d(2, 6, 3, dilation=2), last, nn.Flatten(), nn.Linear(30, CLASSES))


def frozen_bias() -> nn.Module:
    model = images(nn.GroupNorm(3, 6))
    model[1].bias.requires_grad_(False)
    model[0].requires_grad_(False)
    return model


GIVEN = {"tokens": (5,), "images": (2, 3, 3)}
TOLD_APART = {
    "group norm": (lambda: images(nn.GroupNorm(3, 6)), "images"),
    "group norm, no bias": (lambda: images(nn.GroupNorm(1, 6, affine=False)), "images"),
    "group norm over 1-D": (lambda: sequences(nn.GroupNorm(2, 6)), "images"),
    "group norm in part frozen": (frozen_bias, "images"),
    "layer norm": (lambda: images(nn.LayerNorm((3, 3))), "images"),
    "layer norm, no bias": (lambda: images(nn.LayerNorm(3, bias=False)), "images"),
    "embedding": (Words, "tokens"),
    "embedding with padding": (lambda: Words(padding_idx=2), "tokens"),
    "transformer": (lambda: build_model("text-transformer:width=8,heads=2,dropout=0", (5,), CLASSES, 9), "tokens"),
    "resnet-20": (lambda: build_model("resnet-20:norm=group", (2, 3, 3), CLASSES), "images"),
}
NOT = {
    "batch norm": (lambda: images(nn.BatchNorm2d(6)), "images", "1 is BatchNorm2d, whose parameters' gradients"),
    "own weight": (lambda: nn.Sequential(nn.PReLU()), "images", "0 is PReLU"),
    "lstm": (lambda: build_model("text-rnn:embedding=3,hidden=2", (5,), CLASSES, 9), "tokens", "first is LSTM"),
    "clipped embedding": (lambda: Words(max_norm=1.0), "tokens", "words is Embedding that rescales its rows"),
    "same padding": (lambda: nn.Sequential(nn.Conv2d(2, 3, 3, padding="same")), "images", "0 is Conv2d with padding"),
}


def batch(kind: str, samples: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (samples,), generator=generator)
    if kind == "tokens":
        return torch.randint(0, 9, (samples, *GIVEN[kind]), generator=generator), labels
    return torch.randn(samples, *GIVEN[kind], generator=generator), labels


@pytest.mark.parametrize("name", TOLD_APART)
def test_the_gradients_are_autograd_s(name: str) -> None:
    make, kind = TOLD_APART[name]
    torch.manual_seed(1)
    model = make()
    for parameter in model.parameters():  # normalisations begin with ones and zeros, which would hide a mistake
        nn.init.normal_(parameter, std=0.5)
    local = LocalModel(model)
    batches = [batch(kind, 4, seed) for seed in range(3)]
    out = torch.full((3, len(local.initial)), torch.nan)
    local.train()
    together = [torch.cat(parts) for parts in zip(*batches, strict=True)]
    losses = GroupedGradients(local)(*together, list(out))
    for row, loss, (inputs, labels) in zip(out, losses, batches, strict=True):
        expected, its_loss = local.gradient(inputs, labels)
        torch.testing.assert_close(row, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
        torch.testing.assert_close(loss, its_loss)


@pytest.mark.parametrize("name", NOT)
def test_what_is_not_told_apart_is_named(name: str) -> None:
    make, _, why = NOT[name]
    with pytest.raises(UngroupableError, match=why):
        GroupedGradients(LocalModel(make()))


def rounds(backend: Parallel, kind: str, count: int = 2) -> None:
    inputs, labels = batch(kind, 40, 5)
    parameters = backend.initial()
    tasks = [
        Task(client=k, parameters=parameters, shard=Shard(inputs, labels, torch.arange(k * 8, k * 8 + 8)))
        for k in range(4)
    ]
    for _ in range(count):
        backend.messages(Gradient(batch_size=4), tasks, torch.zeros(4, len(parameters)))


def test_a_pass_holds_no_more_than_there_is_room_for() -> None:
    backend = Parallel(TOLD_APART["group norm"][0](), threads=1)
    taken = 2 * 9 + 6 * 9 + 54  # the image, what the convolution makes of it, and the same as features
    for room, together, samples in [(7 * taken, False, 300), (8 * taken, True, 8), (10**9, True, 300)]:
        backend = Parallel(TOLD_APART["group norm"][0](), threads=1)
        backend._activations = room
        rounds(backend, "images")
        assert backend.together is together
        assert backend.samples_at_once == samples
        assert together or backend.apart.startswith("a batch of 4 fills a pass")


def test_what_cannot_be_shared_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="fedward")
    backend = Parallel(NOT["lstm"][0](), threads=1)
    rounds(backend, "tokens")
    assert backend.together is False
    assert backend.apart.startswith("first is LSTM")
    unbatched = Parallel(Unbatched(), threads=1)
    rounds(unbatched, "tokens")
    assert unbatched.together is False
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert said[0].startswith("clients work one by one, passes are not shared: first is LSTM")
    assert "inputs a sample" in said[1] or "two batches at once" in said[1]
    shared = Parallel(TOLD_APART["group norm"][0](), threads=1)
    rounds(shared, "images")
    assert shared.together
    assert shared.apart is None
    assert len(caplog.records) == 2
