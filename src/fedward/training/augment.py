"""Augmentation of images, all samples of a batch at once, where the batch is."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def crop_and_flip(images: Tensor, generator: torch.Generator, crop: int = 4, flip: bool = True) -> Tensor:
    """Each image moved by up to ``crop`` pixels each way, black where it leaves, and mirrored or not: CIFAR's way.

    As if padded with zeros by ``crop`` on all sides, and a window of the old size cut out at a place that is drawn
    uniformly; then mirrored from left to right with probability 1/2.

    Args:
        images: (B, C, H, W), on any device.
        generator: on the CPU, so that all devices have the same images.
        crop: 0 or more.
        flip: whether some are mirrored.

    Raises:
        ValueError: these are no images.
    """
    return moved(images, draw_moves(len(images), generator, crop, flip), crop)


def draw_moves(count: int, generator: torch.Generator, crop: int = 4, flip: bool = True) -> Tensor:
    """What `crop_and_flip` draws for so many images: places of windows down and right, 0 or 1 for a mirror, (B, 3)."""
    down, right = torch.randint(0, 2 * crop + 1, (2, count), generator=generator)
    mirrored = torch.randint(0, 2, (count,), generator=generator) * flip
    return torch.stack([down, right, mirrored], 1)


def moved(images: Tensor, moves: Tensor, crop: int) -> Tensor:
    """What `crop_and_flip` makes of images by what is drawn for each.

    Args:
        images: (B, C, H, W), on any device.
        moves: (B, 3), as `draw_moves` has them.
        crop: as they were drawn with.

    Raises:
        ValueError: these are no images.
    """
    if images.ndim != 4:
        raise ValueError(f"images are (B, C, H, W), got {tuple(images.shape)}: crop and flip images only")
    channels, height, width = images.shape[1:]
    down, right, mirrored = moves.to(images.device).T[:, :, None]
    along = torch.arange(width, device=images.device)
    rows = down + torch.arange(height, device=images.device)
    columns = right + along.where(mirrored == 0, along.flip(0))
    padded = nn.functional.pad(images, (crop, crop, crop, crop))
    # Pixels by their numbers in a padded image: many times faster than by channel, row and column.
    pixels = rows[:, :, None] * padded.shape[3] + columns[:, None, :]
    chosen = pixels.flatten(1)[:, None].expand(-1, channels, -1)
    return padded.flatten(2).gather(2, chosen).reshape(images.shape)
