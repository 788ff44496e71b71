"""Mixers: pre-aggregations as row-mixing matrices, decided from statistics."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .chain import ScalingMixer
from .registry import register
from .rule import Context, median
from .stack import Updates

__all__ = ["ClipNorm"]


@register("clip-norm", paper="Sun et al. 2019", example={"radius": "median"})
@dataclass(frozen=True, kw_only=True)
class ClipNorm(ScalingMixer):
    """Scale rows that are longer than the radius down to it.

    x_i min(1, radius / |x_i|); a zero row stays. ``ClipNorm(radius="median") >> Mean()`` is ClipMean.

    Args:
        radius: a length, or "median" for the median norm of the rows.

    Raises:
        ValueError: a radius that is neither positive nor "median".
    """

    radius: float | str

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.radius, str) != (self.radius == "median") or (
            not isinstance(self.radius, str) and not self.radius > 0
        ):
            raise ValueError(f'the radius is a positive number or "median", got {self.radius!r}')

    def factors(self, updates: Updates, context: Context) -> Tensor:
        norms = updates.norms()
        radius = median(norms) if isinstance(self.radius, str) else self.radius
        return clip_factors(norms, radius)


def clip_factors(norms: Tensor, radius: float) -> Tensor:
    """min(1, radius / norm), and 1 for a zero row: (n,)."""
    return torch.where(norms > radius, radius / norms, torch.ones_like(norms))
