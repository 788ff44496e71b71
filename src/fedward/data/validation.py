"""A validation split: training samples that are tested on in place of the test set."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..registry.bounds import whole_share
from .dataset import Dataset, Split
from .lazy import Lazy

_SEED = 1  # not that of a run: all that are compared are tested on the same samples


def held_out(dataset: Dataset, share: float) -> Dataset:
    """The data set without its test set: a share of the training samples is tested on, and nobody trains on it.

    Hyper-parameters that are chosen by tests on it have never seen the test set. Which samples are held out depends on
    the data set and the share alone.

    Args:
        dataset: the data set; it is left as it is.
        share: above 0 and below 1; rounded down, one sample at least.

    Raises:
        ValueError: another share, or nothing would be left to train on.
    """
    total = len(dataset.train)
    if not 0 < share < 1:
        raise ValueError(f"a validation split is a share of the training data above 0 and below 1, got {share}")
    count = max(whole_share(share, total), 1)
    if count >= total:
        raise ValueError(f"a validation split of {share} of {total} training samples leaves none to train on")
    order = torch.randperm(total, generator=torch.Generator().manual_seed(_SEED))
    return replace(
        dataset,
        name=f"{dataset.name} (validation {share:g})",
        train=_part(dataset.train, order[count:].sort().values),
        test=_part(dataset.train, order[:count].sort().values),
    )


def _part(split: Split, places: Tensor) -> Split:
    """Some of the samples of a split."""
    inputs = split.inputs
    owners = None if split.owners is None else split.owners[places]
    if isinstance(inputs, Tensor):
        return Split(inputs=inputs[places], labels=split.labels[places], owners=owners)

    def one(number: int) -> Tensor:
        return inputs[places[number : number + 1]][0]

    return Split(inputs=Lazy(one, len(places)), labels=split.labels[places], owners=owners)
