"""Layers whose parameters' gradients are told apart by client: made of what went in and the gradient of what came out.

Each function writes one batch's gradients of weight and bias where they are asked for; None stands for a parameter that
the layer has not, or that is not trained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

_Written = Tensor | None

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def why_not(layer: nn.Module) -> str:
    """What keeps the gradients of a layer's parameters from being told apart by client; nothing if nothing does."""
    kind = type(layer).__name__
    if type(layer) not in WRITERS:
        return f"{kind}, whose parameters' gradients are not told apart by client"
    if isinstance(layer, _CONVOLUTIONS) and (layer.padding_mode != "zeros" or isinstance(layer.padding, str)):
        return f"{kind} with padding other than by numbers of zeros"
    if isinstance(layer, nn.Embedding) and (layer.max_norm is not None or layer.scale_grad_by_freq or layer.sparse):
        return f"{kind} that rescales its rows or is sparse"
    return ""


def _linear(layer: nn.Linear, inputs: Tensor, gradient: Tensor, weight: _Written, bias: _Written) -> None:
    inputs, gradient = inputs.flatten(0, -2), gradient.flatten(0, -2)
    if weight is not None and weight.dtype == gradient.dtype:
        torch.mm(gradient.T, inputs, out=weight)
    elif weight is not None:
        weight.copy_(gradient.T @ inputs)
    if bias is not None:
        torch.sum(gradient, 0, dtype=bias.dtype, out=bias)


def _convolution(layer: Any, inputs: Tensor, gradient: Tensor, weight: _Written, bias: _Written) -> None:
    sizes = None if layer.bias is None else [layer.out_channels]
    where = (layer.stride, layer.padding, layer.dilation, False, [0] * len(layer.stride), layer.groups)
    wanted = [False, weight is not None, bias is not None]
    backward: Callable[..., tuple[Tensor, Tensor, Tensor]] = torch.ops.aten.convolution_backward
    _, of_weight, of_bias = backward(gradient, inputs, layer.weight.to(gradient.dtype), sizes, *where, wanted)
    if weight is not None:
        weight.copy_(of_weight)
    if bias is not None:
        bias.copy_(of_bias)


def _embedding(layer: nn.Embedding, inputs: Tensor, gradient: Tensor, weight: _Written, bias: _Written) -> None:
    backward: Callable[..., Tensor] = torch.ops.aten.embedding_dense_backward
    padding = -1 if layer.padding_idx is None else layer.padding_idx
    if weight is not None:
        weight.copy_(backward(gradient, inputs, layer.num_embeddings, padding, False))


def _group_norm(layer: nn.GroupNorm, inputs: Tensor, gradient: Tensor, weight: _Written, bias: _Written) -> None:
    others = [axis for axis in range(inputs.ndim) if axis != 1]
    if weight is not None:
        normalised = nn.functional.group_norm(inputs, layer.num_groups, eps=layer.eps)
        torch.sum(gradient * normalised, others, dtype=weight.dtype, out=weight)
    if bias is not None:
        torch.sum(gradient, others, dtype=bias.dtype, out=bias)


def _layer_norm(layer: nn.LayerNorm, inputs: Tensor, gradient: Tensor, weight: _Written, bias: _Written) -> None:
    others = list(range(inputs.ndim - len(layer.normalized_shape)))
    if weight is not None:
        normalised = nn.functional.layer_norm(inputs, layer.normalized_shape, eps=layer.eps)
        torch.sum(gradient * normalised, others, dtype=weight.dtype, out=weight)
    if bias is not None:
        torch.sum(gradient, others, dtype=bias.dtype, out=bias)


WRITERS: Mapping[type[nn.Module], Callable[..., None]] = {
    nn.Linear: _linear,
    **dict.fromkeys(_CONVOLUTIONS, _convolution),
    nn.Embedding: _embedding,
    nn.GroupNorm: _group_norm,
    nn.LayerNorm: _layer_norm,
}
"""What writes the gradients, by the layer's very class: a subclass may do anything."""
