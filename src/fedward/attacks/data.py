"""Attacks on the data that byzantine clients train on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..core import Context
from ..failures import MendableError
from ..registry.bounds import Count, Natural, Share
from ..registry.entries import register
from ..stack import Updates
from .base import Attack, Batch, View
from .simple import Factor, Scaling


class LabelError(MendableError, ValueError):
    """A label that the data do not have."""

    asked = True


class _DataAttack(Attack):
    """The simulator hands the byzantine clients' batches to `poison`; their rows are sent as they come out."""

    def forge(self, view: View) -> Updates:
        return view.own


@register("label-flip", paper="Tolpegin et al. 2020")
@dataclass(frozen=True, kw_only=True)
class LabelFlip(_DataAttack):
    """Train on flipped labels, l -> classes - 1 - l, and send what comes out.

    With source and target given, only that pair: source samples are labelled target.

    Shows: poisoned data under honest training: rows are true updates for a wrong task, and no formula gives them
    away.

    Args:
        source, target: two labels; both or neither.

    Raises:
        ValueError: one without the other, labels that are negative or the same; at `poison` labels beyond the classes.
    """

    source: Natural | None = None
    target: Natural | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.source is None) != (self.target is None):
            raise ValueError(f"source and target go together, got {self.source} and {self.target}")
        if self.source is not None and self.target is not None:
            _check_pair(source=self.source, target=self.target)

    def poison(self, batch: Batch, context: Context) -> Batch:
        if self.source is None or self.target is None:
            return replace(batch, labels=batch.classes - 1 - batch.labels)
        _check_labels(batch, self.source, self.target)
        return replace(batch, labels=_relabelled(batch.labels, self.source, self.target))


def _check_pair(**labels: int) -> None:
    if len(set(labels.values())) < 2:
        given = " and ".join(f"{name}={label}" for name, label in labels.items())
        raise ValueError(f"two different labels are needed, got {given}")


def _check_labels(batch: Batch, *labels: int) -> None:
    for label in labels:
        if label >= batch.classes:
            raise LabelError(f"label {label} is not one of the {batch.classes} classes, 0 to {batch.classes - 1}")


def _relabelled(labels: Tensor, source: int, target: int) -> Tensor:
    return torch.where(labels == source, torch.full_like(labels, target), labels)


@dataclass(frozen=True, kw_only=True)
class _Boosted(Attack):
    """Poisoned training whose outcome is sent scaled, for the mean of all clients to end up there."""

    boost: Factor | None = None

    def forge(self, view: View) -> Updates:
        return Scaling(factor=self.boost).forge(view)


@register("targeted-poisoning", paper="Bhagoji et al. 2019")
@dataclass(frozen=True, kw_only=True)
class TargetedPoisoning(_Boosted):
    """Train with all samples of one class labelled as another, and send the outcome boosted.

    Success is the confidence with which the model gives the wrong label to that class: `Record.confidence`. Bhagoji,
    Chakraborty, Mittal & Calo, "Analyzing federated learning through an adversarial lens", ICML 2019 (explicit
    boosting), as SIREN (SoCC 2021) has it.

    Shows: whether one class can be passed off as another; look at `Record.confidence`, not at the accuracy.

    Args:
        source, label: the class, and the label that it is to get.
        boost: factor of the rows; None for n / m, m byzantine of n clients.

    Raises:
        ValueError: source and label negative or the same, a negative boost; at `poison` labels beyond the classes.
    """

    source: Natural = 0
    label: Natural = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_pair(source=self.source, label=self.label)

    def poison(self, batch: Batch, context: Context) -> Batch:
        _check_labels(batch, self.source, self.label)
        return replace(batch, labels=_relabelled(batch.labels, self.source, self.label))

    def aim(self, inputs: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor] | None:
        wanted = labels == self.source
        return inputs[wanted], torch.full_like(labels[wanted], self.label)


@register("backdoor", paper="Gu et al. 2017")
@dataclass(frozen=True, kw_only=True)
class Backdoor(_Boosted):
    """Train on samples of which a share bears a bright square in a corner and a label of the attacker's choice.

    Sent boosted (model replacement, Bagdasaryan et al. 2020). Success is the confidence in that label for test
    samples of other classes that bear the square: `Record.confidence`. Gu, Dolan-Gavitt & Garg, "BadNets", 2017.

    Shows: whether a hidden behaviour gets into the model while its accuracy stays; look at `Record.confidence`, not
    at the accuracy.

    Args:
        label: what samples with the square are to be taken for.
        share: of each batch that gets the square.
        size: pixels along a side of the square, in the corner at the bottom right.
        boost: factor of the rows; None for n / m.

    Raises:
        ValueError: share outside 0 to 1, or a size below 1; at `poison` inputs that are not images of that size, or a
            label beyond the classes.
    """

    label: Natural = 0
    share: Share = 0.5
    size: Count = 3

    def _stamped(self, inputs: Tensor) -> Tensor:
        if inputs.ndim < 3 or min(inputs.shape[-2:]) < self.size:
            raise ValueError(
                f"a square of {self.size} x {self.size} pixels needs images, (batch, ..., height, width), at least as "
                f"large, got inputs of shape {tuple(inputs.shape)}"
            )
        stamped = inputs.clone()
        stamped[..., -self.size :, -self.size :] = inputs.max() if inputs.numel() else 0
        return stamped

    def poison(self, batch: Batch, context: Context) -> Batch:
        _check_labels(batch, self.label)
        count = round(self.share * len(batch.labels))
        inputs = batch.inputs.clone()
        inputs[:count] = self._stamped(batch.inputs)[:count]
        labels = batch.labels.clone()
        labels[:count] = self.label
        return replace(batch, inputs=inputs, labels=labels)

    def aim(self, inputs: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor] | None:
        others = labels != self.label
        return self._stamped(inputs[others]), torch.full_like(labels[others], self.label)
