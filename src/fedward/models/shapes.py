"""What a model is built for: the shape of a sample, and how many features of it are left after some layers."""

from __future__ import annotations

from math import prod

import torch
from torch import nn

__all__ = ["GREY", "Shape", "features_of", "image", "size_of"]

Shape = tuple[int, ...]
"""Of one sample, without the batch: (C, H, W) of an image, (L,) of a text of L tokens."""

GREY: Shape = (1, 28, 28)
"""MNIST and its relatives, the shape where none is given."""


def image(name: str, shape: Shape) -> tuple[int, int, int]:
    """Channels, height and width.

    Raises:
        ValueError: it is no shape of an image.
    """
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(
            f"{name} takes images (channels, height, width), got samples of shape {shape}: "
            "for these, mlp and linear take any numbers, text-rnn and text-transformer tokens"
        )
    channels, height, width = shape
    return channels, height, width


def size_of(shape: Shape) -> int:
    """How many numbers a sample has."""
    return prod(shape)


def features_of(name: str, layers: nn.Module, shape: Shape) -> int:
    """How many features these layers make of a sample of this shape, flattened. They must draw nothing at random.

    Raises:
        ValueError: the sample is too small for them.
    """
    try:
        with torch.no_grad():
            return int(layers(torch.zeros(1, *shape)).numel())
    except RuntimeError as error:
        raise ValueError(
            f"{name} cannot take samples of shape {shape}, their images are too small for its layers "
            f"({str(error).partition(chr(10))[0]}): take larger images, or mlp or linear"
        ) from None
