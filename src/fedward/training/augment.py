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
    if images.ndim != 4:
        raise ValueError(f"images are (B, C, H, W), got {tuple(images.shape)}: crop and flip images only")
    count, channels, height, width = images.shape
    down, right = torch.randint(0, 2 * crop + 1, (2, count, 1), generator=generator)
    mirrored = torch.randint(0, 2, (count, 1), generator=generator).bool() & flip
    rows = down + torch.arange(height)
    columns = right + torch.arange(width).where(~mirrored, torch.arange(width).flip(0))
    padded = nn.functional.pad(images, (crop, crop, crop, crop))
    which = torch.arange(count, device=images.device).view(-1, 1, 1, 1)
    depth = torch.arange(channels, device=images.device).view(1, -1, 1, 1)
    rows, columns = rows.to(images.device), columns.to(images.device)
    return padded[which, depth, rows[:, None, :, None], columns[:, None, None, :]]
