"""Attacks on the data that byzantine clients train on."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..registry import register
from ..stack import Updates
from .base import Attack, View


@register("label-flip", paper="Tolpegin et al. 2020")
@dataclass(frozen=True, kw_only=True)
class LabelFlip(Attack):
    """Train on flipped labels, l -> classes - 1 - l, and send what comes out.

    A data attack: the simulator hands the byzantine clients' batches to `poison`. On rows alone nothing is left to do,
    so `forge` passes them on.
    """

    def forge(self, view: View) -> Updates:
        return view.own

    def poison(self, inputs: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
        return inputs, classes - 1 - labels
