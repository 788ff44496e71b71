"""Backends: how the honest work of many clients is carried out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from torch import Tensor, nn

from ..clients import Answer, Client, LocalModel, Setup, Task, carry_out
from ..clients.model import USUAL
from ..clients.tally import Tally
from ..data.dataset import Split
from ..stack import Layout


class Backend(Protocol):
    """Runs clients. `Loop` is the reference that any other must agree with."""

    layout: Layout
    buffer_layout: Layout | None
    """Of the running statistics, if the model has any."""
    description: str
    """The model in words, for checkpoints to tell models apart."""

    def initial(self) -> Tensor:
        """The parameters that the model came with: (d,)."""

    def initial_buffers(self) -> Tensor | None:
        """The running statistics that the model came with, (b,); None if it has none."""

    def messages(self, algorithm: Client, tasks: Sequence[Task], out: Tensor) -> list[Answer]:
        """What comes of each client's round. Those that send something fill the rows of ``out`` (n, d) in order."""

    def evaluate(self, parameters: Tensor, split: Split, buffers: Tensor | None = None) -> Tally:
        """What the model with these parameters makes of samples."""

    def confidence(self, parameters: Tensor, split: Split, buffers: Tensor | None = None) -> float:
        """Mean probability that the model with these parameters gives to the labels."""


class Loop:
    """One client after another, on one copy of the model."""

    def __init__(self, model: nn.Module, setup: Setup = USUAL) -> None:
        self.local = LocalModel(model, setup)
        self.layout = self.local.layout
        self.buffer_layout = self.local.buffer_layout
        self.description = " ".join(repr(model).split())
        self.counters = [b.clone() for b in self.local.module.buffers() if not b.is_floating_point()]
        """Buffers that are no running statistics, as the model came with them: training may change the module's."""

    def initial(self) -> Tensor:
        return self.local.initial

    def initial_buffers(self) -> Tensor | None:
        return self.local.initial_buffers if self.local.initial_buffers.numel() else None

    def messages(self, algorithm: Client, tasks: Sequence[Task], out: Tensor) -> list[Answer]:
        return fill(out, (carry_out(algorithm, self.local, task) for task in tasks))

    def evaluate(self, parameters: Tensor, split: Split, buffers: Tensor | None = None) -> Tally:
        self.local.load(parameters, buffers)
        return self.local.evaluate(split.inputs, split.labels)

    def confidence(self, parameters: Tensor, split: Split, buffers: Tensor | None = None) -> float:
        self.local.load(parameters, buffers)
        return self.local.confidence(split.inputs, split.labels)


def fill(out: Tensor, answers: Iterable[Answer]) -> list[Answer]:
    """The answers, with the rows of those that send something in the rows of ``out`` in order."""
    filled = []
    rows = iter(out)
    for answer in answers:
        if answer.row is not None:
            place = next(rows)
            if place.data_ptr() != answer.row.data_ptr():  # gradients may have been computed right there
                place.copy_(answer.row)
            answer = replace(answer, row=place)
        filled.append(answer)
    return filled
