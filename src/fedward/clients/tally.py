"""`Tally`: what a model makes of samples, and the figures that follow from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor, nn

BINS = 15
"""Bins of confidence that the calibration error is measured in, as Guo et al. 2017 have it."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Tally:
    """How often a model takes each class for each, and the sum of its losses.

    With C the confusion counts, t_c = C_cc, r_c = sum_k C_ck the samples of class c and p_c = sum_k C_kc those taken
    for it: accuracy is sum_c t_c / sum_c r_c, balanced accuracy the mean of t_c / r_c over classes that have samples,
    and F1 the mean of 2 t_c / (r_c + p_c) over classes that have samples or are predicted (macro F1). Definitions as
    in scikit-learn.

    A sample's confidence is the largest of its probabilities; bin b of B = 15 has those with (b - 1) / B < confidence
    <= b / B, n_b of N samples. The expected calibration error is sum_b n_b / N |accuracy in b - mean confidence in b|
    (Guo, Pleiss, Sun & Weinberger, "On calibration of modern neural networks", ICML 2017, equation 3).

    Attributes:
        confusion: counts by true class (row) and predicted class (column), (classes, classes).
        total_loss: sum of the cross-entropies, in nats.
        right: samples that it gets right, by bin of confidence: (15,) float64.
        confident: sum of the confidences, by bin: (15,) float64.
    """

    confusion: Tensor
    total_loss: float
    right: Tensor
    confident: Tensor

    @classmethod
    def of(cls, logits: Tensor, labels: Tensor) -> Tally:
        """Of logits (B, classes) and labels (B,)."""
        classes = logits.shape[1]
        taken = logits.argmax(1)
        pairs = labels * classes + taken
        # In float64 and on the CPU, where sums have an order.
        confidence = logits.softmax(1).amax(1).cpu().double()
        bins = (confidence.nan_to_num() * BINS).ceil().long().clamp(1, BINS) - 1
        hits = (taken == labels).cpu().double()
        return cls(
            confusion=torch.bincount(pairs, minlength=classes * classes).reshape(classes, classes).cpu(),
            total_loss=float(nn.functional.cross_entropy(logits, labels, reduction="sum")),
            right=torch.bincount(bins, weights=hits, minlength=BINS),
            confident=torch.bincount(bins, weights=confidence, minlength=BINS),
        )

    @classmethod
    def sum(cls, tallies: Iterable[Tally]) -> Tally:
        """Of all batches of a data set."""
        every = list(tallies)
        return cls(
            confusion=torch.stack([tally.confusion for tally in every]).sum(0),
            total_loss=sum(tally.total_loss for tally in every),
            right=torch.stack([tally.right for tally in every]).sum(0),
            confident=torch.stack([tally.confident for tally in every]).sum(0),
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

    @property
    def by_class(self) -> tuple[float | None, ...]:
        """Share of the samples of each class that it gets right; None of a class without samples."""
        of_class = self.confusion.sum(1).tolist()
        right = self.confusion.diagonal().tolist()
        return tuple(hits / samples if samples else None for hits, samples in zip(right, of_class, strict=True))

    @property
    def calibration_error(self) -> float | None:
        """Expected calibration error, in 0..1; None where the model says nothing finite of some sample."""
        error = float((self.right - self.confident).abs().sum()) / self.samples
        return error if isfinite(error) else None

    def among(self, mixes: Tensor) -> Tensor:
        """Accuracy for clients whose samples are other mixes of the classes: that of each class, by the client's share.

        With S the mixes and r_c the share of class c that it gets right, sum_c S_kc r_c / sum_c S_kc of client k.
        Classes of which there is no test sample do not count; a client that has no others gets NaN.

        Args:
            mixes: how many samples of each class each client has: (clients, classes). The model may know more classes.

        Returns:
            The accuracies: (clients,) float64.
        """
        known = self.confusion[: mixes.shape[1]]
        of_class = known.sum(1)
        there = of_class > 0
        counts = mixes[:, there].double()
        right = known.diagonal()[there].double() / of_class[there]
        return (counts @ right) / counts.sum(1)
