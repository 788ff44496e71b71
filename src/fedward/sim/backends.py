"""Backends: how the honest work of many clients is carried out."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from ..clients import Gradient
from ..stack import Layout
from .data import Split

_EVALUATION_BATCH = 1000


@dataclass(frozen=True, eq=False)
class Job:
    """One client's work in one round."""

    inputs: Tensor
    labels: Tensor
    seed: int
    """For what is random in the model itself, such as dropout."""


class Backend(Protocol):
    """Runs clients. `Loop` is the reference that any other must agree with."""

    layout: Layout
    description: str
    """The model in words, for checkpoints to tell models apart."""

    def initial(self) -> Tensor:
        """The parameters that the model came with: (d,)."""

    def messages(self, algorithm: Gradient, parameters: Tensor, jobs: Sequence[Job], out: Tensor) -> list[float]:
        """Write what each client sends into its row of ``out``, (len(jobs), d), and return the losses."""

    def evaluate(self, parameters: Tensor, split: Split) -> tuple[float, float]:
        """Accuracy and mean loss of the model with these parameters."""

    def confidence(self, parameters: Tensor, split: Split) -> float:
        """Mean probability that the model with these parameters gives to the labels."""


class Loop:
    """One client after another, on one copy of the model."""

    def __init__(self, model: nn.Module, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.model = copy.deepcopy(model).to(self.device)
        self.parameters = {k: p for k, p in self.model.named_parameters() if p.requires_grad}
        self.layout = Layout.of(self.parameters)
        self.description = " ".join(repr(model).split())
        running = [k for k, b in self.model.named_buffers() if b.is_floating_point()]
        if running:
            raise ValueError(
                f"the model has running statistics ({running[0]}, {len(running)} buffers in all), which no rule would "
                "guard: use GroupNorm or LayerNorm in place of BatchNorm"
            )
        self._initial = torch.cat([p.detach().reshape(-1) for p in self.parameters.values()])
        # Convolutions over small channels are up to twice as fast on the CPU with channels last.
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs

    def initial(self) -> Tensor:
        return self._initial

    def messages(self, algorithm: Gradient, parameters: Tensor, jobs: Sequence[Job], out: Tensor) -> list[float]:
        self._load(parameters)
        self.model.train()
        losses = []
        cuda = self.device.type == "cuda"
        with torch.random.fork_rng(devices=[self.device] if cuda else []):
            for job, row in zip(jobs, out, strict=True):
                torch.default_generator.manual_seed(job.seed)
                if cuda:
                    torch.cuda.manual_seed(job.seed)
                losses.append(algorithm.message(self.model, job.inputs, job.labels, row))
        return losses

    def evaluate(self, parameters: Tensor, split: Split) -> tuple[float, float]:
        self._load(parameters)
        self.model.eval()
        correct, loss = 0, 0.0
        with torch.inference_mode():
            for start in range(0, len(split), _EVALUATION_BATCH):
                labels = split.labels[start : start + _EVALUATION_BATCH].to(self.device)
                logits = self.model(split.inputs[start : start + _EVALUATION_BATCH].to(self.device))
                correct += int((logits.argmax(1) == labels).sum())
                loss += float(nn.functional.cross_entropy(logits, labels, reduction="sum"))
        return correct / len(split), loss / len(split)

    def confidence(self, parameters: Tensor, split: Split) -> float:
        self._load(parameters)
        self.model.eval()
        total = 0.0
        with torch.inference_mode():
            for start in range(0, len(split), _EVALUATION_BATCH):
                labels = split.labels[start : start + _EVALUATION_BATCH].to(self.device)
                logits = self.model(split.inputs[start : start + _EVALUATION_BATCH].to(self.device))
                total += float(logits.softmax(1).gather(1, labels[:, None]).sum())
        return total / max(len(split), 1)

    def _load(self, parameters: Tensor) -> None:
        with torch.no_grad():
            for name, value in self.layout.unflatten(parameters).items():
                self.parameters[name].copy_(value)
