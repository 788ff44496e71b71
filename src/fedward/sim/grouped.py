"""Gradients of several clients from one pass through the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from ..clients import LocalModel
from .layers import WRITERS, why_not


class UngroupableError(Exception):
    """The model has parts whose gradients cannot be told apart by client."""


class GroupedGradients:
    """Gradients of the cross-entropy on several batches of one size, each on its own, at the same parameters.

    Forward and backward, which only tell samples apart, are done on all batches at once, and stop at the outputs of
    the layers; the gradients of a layer's parameters are then made of its inputs and its outputs' gradients, batch
    by batch. That saves most of the calls, which is what small models spend their time on.

    Raises:
        UngroupableError: the model has parameters elsewhere than in layers that `fedward.sim.layers` knows.
    """

    def __init__(self, local: LocalModel) -> None:
        self.local = local
        self.entries = 0
        """How much goes into the layers in a pass, in numbers a sample."""
        edges = [0]
        for parameter in local.parameters:
            edges.append(edges[-1] + parameter.numel())
        self._places = {id(p): slice(*edge) for p, edge in zip(local.parameters, pairwise(edges), strict=True)}
        self._layers: list[nn.Module] = []
        held: list[int] = []
        for name, part in local.module.named_modules():
            own = [p for p in part.parameters(recurse=False) if p.requires_grad]
            if own and (reason := why_not(part)):
                raise UngroupableError(f"{name or 'the model'} is {reason}")
            if own:
                self._layers.append(part)
                held += map(id, own)
        if sorted(held) != sorted(self._places):
            raise UngroupableError("layers share parameters")

    def __call__(self, inputs: Tensor, labels: Tensor, out: Sequence[Tensor]) -> Tensor:
        """Write the gradient of each batch into its row of ``out``, (d,) each; the losses, (k,).

        Args:
            inputs, labels: the batches, one after the other, all of one size.
            out: a row for each batch.

        Raises:
            UngroupableError: the model uses a layer more than once, in another way, without gradients or not at all.
        """
        count = len(out)
        size = len(labels) // count
        with self._watched() as calls:
            losses = self.local.loss(inputs, labels, reduction="none")
        calls.sort(key=lambda call: self._layers.index(call[0]))
        if [layer for layer, _, _ in calls] != self._layers:
            raise UngroupableError("a layer is used more than once, or not at all")
        if any(len(given) % count for _, given, _ in calls):
            raise UngroupableError("a layer is given something else than so many inputs a sample")
        self.entries = sum(given.numel() for _, given, _ in calls) // (count * size)
        gradients = torch.autograd.grad(losses.sum() / size, [edge for _, _, edge in calls], allow_unused=True)
        if any(gradient is None for gradient in gradients):
            raise UngroupableError("what comes out of a layer is not used")
        with torch.no_grad():
            for (layer, given, _), gradient in zip(calls, gradients, strict=True):
                self._write(layer, given.chunk(count), gradient.chunk(count), out)
        return losses.detach().view(count, size).mean(1)

    @contextmanager
    def _watched(self) -> Iterator[list[tuple[nn.Module, Tensor, GradientEdge]]]:
        """What goes into each layer meanwhile, and where the gradient of what comes out of it will pass."""
        calls: list[tuple[nn.Module, Tensor, GradientEdge]] = []

        def watch(layer: nn.Module, args: tuple[Any, ...], named: dict[str, Any], output: Tensor) -> None:
            if len(args) != 1 or named:
                raise UngroupableError(f"{type(layer).__name__} is called otherwise than with its input alone")
            if not output.requires_grad:
                raise UngroupableError("what comes out of a layer has no gradient")
            calls.append((layer, args[0].detach(), get_gradient_edge(output)))

        handles = [layer.register_forward_hook(watch, with_kwargs=True) for layer in self._layers]
        try:
            yield calls
        finally:
            for handle in handles:
                handle.remove()

    def _write(self, layer: Any, inputs: Sequence[Tensor], gradients: Sequence[Tensor], out: Sequence[Tensor]) -> None:
        """Every batch's gradients of a layer's parameters."""
        write: Callable[..., None] = WRITERS[type(layer)]
        parameters: list[Any] = [getattr(layer, name, None) for name in ("weight", "bias")]
        for row, given, gradient in zip(out, inputs, gradients, strict=True):
            if given.is_floating_point():
                given = given.to(gradient.dtype)  # as the layer itself takes it, where precision is reduced
            written = [row[self._places[id(p)]].view_as(p) if id(p) in self._places else None for p in parameters]
            write(layer, given, gradient, *written)
