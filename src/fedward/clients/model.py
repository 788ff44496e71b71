"""`LocalModel`: a module that clients work on, its parameters read and written as rows."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..stack import Layout
from .tally import Tally


class Inputs(Protocol):
    """A tensor of samples, or what is taken apart like one, batch by batch."""

    @property
    def device(self) -> torch.device:
        """Where they are."""

    def __getitem__(self, chosen: Any, /) -> Tensor:
        """Some of them, by a slice or a tensor of numbers."""


BATCH_NORM = ("mean", "robust", "frozen")
PRECISIONS = ("float32", "bfloat16")
EVALUATION_BATCH = 1000
"""Samples that are evaluated at a time."""


class Dropout(nn.Module):
    """`nn.Dropout` with random streams of its own: the k-th of them for the k-th part of a batch.

    PyTorch's draws from a generator that all threads share, which None stands for here. The masks of one stream are
    those of `nn.Dropout` after ``torch.manual_seed``.
    """

    def __init__(self, p: float, streams: Sequence[torch.Generator | None]) -> None:
        super().__init__()
        self.p = p
        self.streams = streams

    def forward(self, inputs: Tensor) -> Tensor:
        """The inputs, of which each is 0 with probability p, and scaled by 1 / (1 - p) otherwise."""
        if not self.training or self.p == 0:
            return inputs
        kept = torch.empty_like(inputs, dtype=torch.bool)
        for part, stream in zip(self._parts(kept), self.streams, strict=True):
            part.bernoulli_(1 - self.p, generator=stream)
        scale = 1 / (1 - self.p) if self.p < 1 else 0.0
        return inputs * kept * scale

    def _parts(self, kept: Tensor) -> Sequence[Tensor]:
        """The rows of each stream.

        Raises:
            ValueError: rows are not those of so many batches, as of a mask that is one for all samples.
        """
        count = len(self.streams)
        if count == 1:
            return (kept,)
        if kept.ndim == 0 or len(kept) % count:
            rows = "a single number" if kept.ndim == 0 else f"{len(kept)} rows"
            raise ValueError(f"a mask of {rows} is not one for each of {count} parts of a batch")
        return kept.chunk(count)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """Where copies of a model work, and how.

    Args:
        device: where they are.
        batch_norm: what becomes of running statistics: "mean" and "robust", they follow a client's batches, and the
            server takes a mean or medians of what clients send; "frozen", they stay as the module has them and
            normalise training too. A mean is not robust: what an accepted client says of its statistics counts.
        precision: what it trains in: "float32", or "bfloat16" where PyTorch's autocast takes that; parameters,
            gradients and evaluation are float32 in both.

    Raises:
        ValueError: another policy or precision.
    """

    device: torch.device | str = "cpu"
    batch_norm: str = "mean"
    precision: str = "float32"

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision is one of {', '.join(PRECISIONS)}, got {self.precision!r}")
        if self.batch_norm not in BATCH_NORM:
            raise ValueError(f"batch_norm is one of {', '.join(BATCH_NORM)}, got {self.batch_norm!r}")


USUAL = Setup()


class LocalModel:
    """A module to work on, its parameters and running statistics read and written as rows.

    Args:
        module: copied.
        setup: where it works, and how.

    Attributes:
        smoothing: of labels, as the algorithm that works on it has it.
    """

    def __init__(self, module: nn.Module, setup: Setup = USUAL) -> None:
        self.precision = setup.precision
        self.smoothing = 0.0
        self.device = torch.device(setup.device)
        self.batch_norm = setup.batch_norm
        self.streams: list[torch.Generator | None] = [None]
        self.module = _with_streams(copy.deepcopy(module), self.streams).to(self.device)
        self.shares_generator = True
        """Whether the model may draw from PyTorch's own generator: then one client works at a time."""
        named = {k: p for k, p in self.module.named_parameters() if p.requires_grad}
        self.layout = Layout.of(named, buffers=None)
        self.parameters = list(named.values())
        # Convolutions over small channels are up to twice as fast on the CPU with channels last. But there PyTorch's
        # GroupNorm crashes in its backward pass where what it is given needs no gradient, as after frozen layers.
        frozen = len(named) < sum(1 for _ in self.module.parameters())
        if not (frozen and any(isinstance(part, nn.GroupNorm) for part in self.module.modules())):
            self.module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
        running = {k: b for k, b in self.module.named_buffers() if b.is_floating_point()}
        self.buffer_layout = Layout.of(running, buffers=None) if running else None
        self._running = list(running.values())
        self._counters = [(b, b.clone()) for b in self.module.buffers() if not b.is_floating_point()]
        self.initial = self.read()
        self.initial_buffers = self.read_buffers()

    def load(self, parameters: Tensor, buffers: Tensor | None = None) -> None:
        """Take on these parameters, (d,), and running statistics, (b,); those that it came with if None."""
        with torch.no_grad():
            values = self.layout.unflatten(parameters).values()
            for parameter, value in zip(self.parameters, values, strict=True):
                parameter.copy_(value)
            if self.buffer_layout is not None:
                named = self.buffer_layout.unflatten(self.initial_buffers if buffers is None else buffers)
                for buffer, value in zip(self._running, named.values(), strict=True):
                    buffer.copy_(value)
            for counter, value in self._counters:
                counter.copy_(value)

    def read(self) -> Tensor:
        """Its parameters: a new (d,) row."""
        return torch.cat([p.detach().reshape(-1) for p in self.parameters])

    def read_buffers(self) -> Tensor:
        """Its running statistics: a new (b,) row; b is 0 for a model without any."""
        nothing = torch.zeros(0, dtype=torch.float32, device=self.device)  # for a model without any
        return torch.cat([nothing, *(b.detach().reshape(-1) for b in self._running)])

    def stream(self, seed: int) -> torch.Generator:
        """A random stream for dropout; `streams` are those of the parts of a batch."""
        return torch.Generator(self.device).manual_seed(seed)

    @contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        """What is random in the model follows from the seed; PyTorch's own generator is as before afterwards."""
        cuda = [self.device] if self.device.type == "cuda" else []
        self.streams[:] = [self.stream(seed)]
        try:
            with torch.random.fork_rng(devices=cuda, enabled=self.shares_generator):
                if self.shares_generator:
                    torch.default_generator.manual_seed(seed)
                if cuda:
                    with torch.cuda.device(self.device):  # which need not be the current one
                        torch.cuda.manual_seed(seed)
                yield
        finally:
            self.streams[:] = [None]

    def train(self) -> None:
        """Get ready to train."""
        self.module.train()
        if self.batch_norm == "frozen":
            for part in self.module.modules():
                if isinstance(part, nn.modules.batchnorm._BatchNorm):
                    part.eval()

    def loss(self, inputs: Tensor, labels: Tensor, reduction: str = "mean") -> Tensor:
        """The cross-entropy that is trained with, labels smoothed and precision reduced as they are to be."""
        if self.precision == "float32":
            logits = self.module(inputs)
        else:
            with torch.autocast(self.device.type, torch.bfloat16):
                logits = self.module(inputs).float()
        return nn.functional.cross_entropy(logits, labels, reduction=reduction, label_smoothing=self.smoothing)

    def gradient(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient of the cross-entropy, (d,), and the loss; the parameters stay as they are."""
        loss = self.loss(inputs, labels)
        # Zeros for parameters that the loss does not depend on, as training leaves them where they are.
        gradients = torch.autograd.grad(loss, self.parameters, allow_unused=True, materialize_grads=True)
        return torch.cat([g.reshape(-1) for g in gradients]), loss.detach()

    def evaluate(self, inputs: Inputs, labels: Tensor) -> Tally:
        """What it makes of samples, without dropout."""
        return Tally.sum(self.tally(inputs[part], labels[part]) for part in evaluation_parts(len(labels)))

    def tally(self, inputs: Tensor, labels: Tensor) -> Tally:
        """What it makes of one batch."""
        return Tally.of(self._logits(inputs), labels.to(self.device))

    def confidence(self, inputs: Inputs, labels: Tensor) -> float:
        """Mean probability that it gives to the labels; 0 of no samples."""
        total = 0.0
        for part in evaluation_parts(len(labels)):
            probabilities = self._logits(inputs[part]).softmax(1)
            total += float(probabilities.gather(1, labels[part].to(self.device)[:, None]).sum())
        return total / max(len(labels), 1)

    def _logits(self, inputs: Tensor) -> Tensor:
        self.module.eval()
        with torch.inference_mode():
            logits: Tensor = self.module(inputs.to(self.device))
        return logits


def evaluation_parts(samples: int) -> list[slice]:
    """The batches that so many samples are evaluated in."""
    return [slice(start, start + EVALUATION_BATCH) for start in range(0, samples, EVALUATION_BATCH)]


def _with_streams(module: nn.Module, streams: Sequence[torch.Generator | None]) -> nn.Module:
    """The module with every `nn.Dropout` replaced by a `Dropout` with these streams."""
    if type(module) is nn.Dropout:
        return Dropout(module.p, streams)
    for name, child in module.named_children():
        setattr(module, name, _with_streams(child, streams))
    return module
