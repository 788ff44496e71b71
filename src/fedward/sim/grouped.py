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

_Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class UngroupableError(Exception):
    """The model has parts whose gradients cannot be told apart by client."""


class GroupedGradients:
    """Gradients of the cross-entropy on several batches of one size, each on its own, at the same parameters.

    Forward and backward, which only tell samples apart, are done on all batches at once, and stop at the outputs of
    the layers; the gradients of a layer's parameters are then products of its inputs and its outputs' gradients, batch
    by batch. That saves most of the calls, which is what small models spend their time on.

    Raises:
        UngroupableError: the model has parameters elsewhere than in linear layers and convolutions.
    """

    def __init__(self, local: LocalModel) -> None:
        self.local = local
        edges = [0]
        for parameter in local.parameters:
            edges.append(edges[-1] + parameter.numel())
        self._places = {id(p): slice(*edge) for p, edge in zip(local.parameters, pairwise(edges), strict=True)}
        trained = [m for m in local.module.modules() if any(p.requires_grad for p in m.parameters(recurse=False))]
        self._layers = [m for m in trained if type(m) in _LAYERS]
        held = [id(p) for layer in self._layers for p in layer.parameters() if p.requires_grad]
        if sorted(held) != sorted(self._places):
            raise UngroupableError("parameters elsewhere than in linear layers and convolutions, or shared by layers")
        if any(isinstance(layer, _Convolution) and not _is_plain(layer) for layer in self._layers):
            raise UngroupableError("a convolution with padding other than by numbers of zeros")

    def __call__(self, batches: Sequence[tuple[Tensor, Tensor]], out: Sequence[Tensor]) -> Tensor:
        """Write the gradient of each batch into its row of ``out``, (d,) each; the losses, (k,).

        Raises:
            UngroupableError: the model uses a layer more than once, or not at all.
        """
        count, size = len(batches), len(batches[0][1])
        inputs, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
        with self._watched() as calls:
            losses = nn.functional.cross_entropy(self.local.module(inputs), labels, reduction="none")
        calls.sort(key=lambda call: self._layers.index(call[0]))
        if [layer for layer, _, _ in calls] != self._layers:
            raise UngroupableError("a layer is used more than once, or not at all")
        gradients = torch.autograd.grad(losses.sum() / size, [edge for _, _, edge in calls])
        with torch.no_grad():
            for (layer, given, _), gradient in zip(calls, gradients, strict=True):
                for row, *part in zip(out, given.chunk(count), gradient.chunk(count), strict=True):
                    self._write(layer, part[0], part[1], row)
        return losses.detach().view(count, size).mean(1)

    @contextmanager
    def _watched(self) -> Iterator[list[tuple[nn.Module, Tensor, GradientEdge]]]:
        """What goes into each layer meanwhile, and where the gradient of what comes out of it will pass."""
        calls: list[tuple[nn.Module, Tensor, GradientEdge]] = []

        def watch(layer: nn.Module, args: tuple[Any, ...], output: Tensor) -> None:
            calls.append((layer, args[0].detach(), get_gradient_edge(output)))

        handles = [layer.register_forward_hook(watch) for layer in self._layers]
        try:
            yield calls
        finally:
            for handle in handles:
                handle.remove()

    def _write(self, layer: nn.Module, inputs: Tensor, gradient: Tensor, row: Tensor) -> None:
        """One batch's gradients of a layer's parameters."""
        weight, bias = (self._places.get(id(p)) for p in (layer.weight, layer.bias))
        if isinstance(layer, nn.Linear):
            inputs, gradient = inputs.flatten(0, -2), gradient.flatten(0, -2)
            if weight:
                torch.mm(gradient.T, inputs, out=row[weight].view_as(layer.weight))
            if bias:
                torch.sum(gradient, 0, out=row[bias])
            return
        of_weight, of_bias = _of_convolution(layer, inputs, gradient, weight=weight is not None, bias=bias is not None)
        if weight:
            row[weight] = of_weight.reshape(-1)
        if bias:
            row[bias] = of_bias


def _is_plain(layer: _Convolution) -> bool:
    return layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def _of_convolution(layer: Any, inputs: Tensor, gradient: Tensor, *, weight: bool, bias: bool) -> tuple[Tensor, Tensor]:
    sizes = None if layer.bias is None else [layer.out_channels]
    where = (layer.stride, layer.padding, layer.dilation, False, [0] * len(layer.stride), layer.groups)
    backward: Callable[..., tuple[Tensor, Tensor, Tensor]] = torch.ops.aten.convolution_backward
    _, of_weight, of_bias = backward(gradient, inputs, layer.weight, sizes, *where, [False, weight, bias])
    return of_weight, of_bias
