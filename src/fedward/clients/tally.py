"""`Tally`: what a model makes of samples, and the figures that follow from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, eq=False, kw_only=True)
class Tally:
    """How often a model takes each class for each, and the sum of its losses.

    With C the confusion counts, t_c = C_cc, r_c = sum_k C_ck the samples of class c and p_c = sum_k C_kc those taken
    for it: accuracy is sum_c t_c / sum_c r_c, balanced accuracy the mean of t_c / r_c over classes that have samples,
    and F1 the mean of 2 t_c / (r_c + p_c) over classes that have samples or are predicted (macro F1). Definitions as
    in scikit-learn.

    Attributes:
        confusion: counts by true class (row) and predicted class (column), (classes, classes).
        total_loss: sum of the cross-entropies, in nats.
    """

    confusion: Tensor
    total_loss: float

    @classmethod
    def of(cls, logits: Tensor, labels: Tensor) -> Tally:
        """Of logits (B, classes) and labels (B,)."""
        classes = logits.shape[1]
        pairs = labels * classes + logits.argmax(1)
        return cls(
            confusion=torch.bincount(pairs, minlength=classes * classes).reshape(classes, classes).cpu(),
            total_loss=float(nn.functional.cross_entropy(logits, labels, reduction="sum")),
        )

    @classmethod
    def sum(cls, tallies: Iterable[Tally]) -> Tally:
        """Of all batches of a data set."""
        every = list(tallies)
        return cls(
            confusion=torch.stack([tally.confusion for tally in every]).sum(0),
            total_loss=sum(tally.total_loss for tally in every),
        )

    @property
    def samples(self) -> int:
        """How many."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Share of samples that it gets right."""
        return int(self.confusion.trace()) / self.samples

    @property
    def loss(self) -> float:
        """Mean cross-entropy, in nats."""
        return self.total_loss / self.samples

    @property
    def balanced_accuracy(self) -> float:
        """Mean share of samples that it gets right, over classes."""
        of_class = self.confusion.sum(1)
        there = of_class > 0
        return float((self.confusion.diagonal()[there].double() / of_class[there]).mean())

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, averaged over classes."""
        both = self.confusion.sum(0) + self.confusion.sum(1)
        there = both > 0
        return float((2 * self.confusion.diagonal()[there].double() / both[there]).mean())
