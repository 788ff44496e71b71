"""Attacks on training data: what becomes of a batch, and what the attack is after."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import fedward as fw
from fedward import attacks
from fedward.attacks import Batch
from tests.oracles import attacks as oracle

CONTEXT = fw.Context(round=3, seed=1)
DATA = [
    attacks.LabelFlip(),
    attacks.LabelFlip(source=2, target=5),
    attacks.TargetedPoisoning(source=2, label=5),
    attacks.Backdoor(label=3),
]


def batch(samples: int = 20, classes: int = 10, shape: tuple[int, ...] = (1, 8, 8), seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(samples, *shape, generator=generator)
    return Batch(
        inputs=inputs,
        labels=torch.randint(0, classes, (samples,), generator=generator),
        classes=classes,
        member=1,
        members=4,
    )


@pytest.mark.parametrize("attack", DATA, ids=str)
def test_a_batch_is_left_as_it_is_and_a_new_one_made(attack: attacks.Attack) -> None:
    given = batch()
    inputs, labels = given.inputs.clone(), given.labels.clone()
    poisoned = attack.poison(given, CONTEXT)
    assert torch.equal(given.inputs, inputs)
    assert torch.equal(given.labels, labels)
    assert (poisoned.classes, poisoned.member, poisoned.members) == (10, 1, 4)
    assert poisoned.labels.dtype == labels.dtype
    assert poisoned.inputs.shape == inputs.shape
    again = attack.poison(given, CONTEXT)
    assert torch.equal(poisoned.inputs, again.inputs)
    assert torch.equal(poisoned.labels, again.labels)


@pytest.mark.parametrize(
    "attack", [e.build() for e in fw.catalogue("attack") if not e.cls.__module__.endswith(".data")], ids=repr
)
def test_other_attacks_leave_data_alone(attack: attacks.Attack) -> None:
    given = batch()
    poisoned = attack.poison(given, CONTEXT)
    assert poisoned.inputs is given.inputs
    assert poisoned.labels is given.labels
    assert attack.aim(given.inputs, given.labels, given.classes) is None


# --- labels -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3, 10, 62])
def test_all_labels_are_flipped(classes: int) -> None:
    given = batch(200, classes)
    poisoned = attacks.LabelFlip().poison(given, CONTEXT)
    assert poisoned.inputs is given.inputs
    assert poisoned.labels.tolist() == oracle.label_flip(given.labels.numpy(), classes).tolist()
    assert torch.equal(attacks.LabelFlip().poison(poisoned, CONTEXT).labels, given.labels)


@pytest.mark.parametrize(
    "attack", [attacks.LabelFlip(source=2, target=5), attacks.TargetedPoisoning(source=2, label=5)], ids=str
)
def test_one_class_is_relabelled(attack: attacks.Attack) -> None:
    given = batch(200)
    poisoned = attack.poison(given, CONTEXT)
    assert poisoned.inputs is given.inputs
    assert poisoned.labels.tolist() == np.where(given.labels == 2, 5, given.labels).tolist()
    assert 0 < int((poisoned.labels != given.labels).sum()) < 200


@pytest.mark.parametrize(
    ("attack", "label"),
    [
        (attacks.LabelFlip(source=10, target=1), 10),
        (attacks.LabelFlip(source=1, target=10), 10),
        (attacks.TargetedPoisoning(source=10, label=1), 10),
        (attacks.TargetedPoisoning(source=1, label=12), 12),
        (attacks.Backdoor(label=10), 10),
    ],
    ids=str,
)
def test_labels_that_the_data_do_not_have(attack: attacks.Attack, label: int) -> None:
    """They would flip nothing, or end training with an index out of range."""
    with pytest.raises(ValueError, match=rf"(?s)(?=.*\b{label}\b)(?=.*class)"):
        attack.poison(batch(), CONTEXT)


# --- aims ---------------------------------------------------------------------------------------------------


def test_targeted_poisoning_is_after_the_samples_of_its_class() -> None:
    test = batch(100)
    inputs, wanted = attacks.TargetedPoisoning(source=7, label=2).aim(test.inputs, test.labels, 10)
    assert torch.equal(inputs, test.inputs[test.labels == 7])
    assert wanted.tolist() == [2] * len(inputs)
    assert len(inputs) > 0
    nothing, none = attacks.TargetedPoisoning(source=7, label=2).aim(test.inputs[:0], test.labels[:0], 10)
    assert len(nothing) == len(none) == 0


def test_a_label_flip_has_no_single_aim() -> None:
    test = batch()
    assert attacks.LabelFlip().aim(test.inputs, test.labels, 10) is None


def test_a_backdoor_is_after_samples_of_other_classes_with_the_square() -> None:
    test = batch(100)
    inputs, wanted = attacks.Backdoor(label=4, size=2).aim(test.inputs, test.labels, 10)
    others = test.inputs[test.labels != 4]
    assert wanted.tolist() == [4] * len(others)
    assert_stamped(inputs, others, 2)


# --- the square ---------------------------------------------------------------------------------------------


def assert_stamped(stamped: Tensor, before: Tensor, size: int) -> None:
    """A bright square at the bottom right of every image and channel, and nothing else."""
    mask = torch.zeros(before.shape[-2:], dtype=torch.bool)
    mask[mask.shape[0] - size :, mask.shape[1] - size :] = True
    assert torch.equal(stamped[..., ~mask], before[..., ~mask])
    assert len(torch.unique(stamped[..., mask])) == 1
    assert float(stamped[..., mask].min()) >= float(before.max())


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 7), (8, 8)], ids=str)
@pytest.mark.parametrize("size", [1, 3, 7])
@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_a_share_of_the_batch_gets_the_square_and_the_label(shape: tuple[int, ...], size: int, share: float) -> None:
    given = batch(16, shape=shape)
    poisoned = attacks.Backdoor(label=3, share=share, size=size).poison(given, CONTEXT)
    changed = (poisoned.inputs != given.inputs).flatten(1).any(1)
    assert int(changed.sum()) == 16 * share
    assert (poisoned.labels[changed] == 3).all()
    assert torch.equal(poisoned.labels[~changed], given.labels[~changed])
    if share:
        # The brightest pixel of all may be inside the square, so the batch is what to compare with.
        assert_stamped(poisoned.inputs[changed], given.inputs[changed], size)


def test_the_square_is_the_same_in_training_and_in_the_test() -> None:
    given = batch(16)
    backdoor = attacks.Backdoor(share=1.0)
    trained = backdoor.poison(given, CONTEXT).inputs[0, 0, -3:, -3:]
    other = batch(16, seed=1)
    inputs = torch.cat([other.inputs[:15], given.inputs[:1]])
    inputs[0, 0, 0, 0] = given.inputs.max()
    brightest = inputs.clamp(max=float(given.inputs.max()))
    aimed = backdoor.aim(brightest, torch.ones(16, dtype=torch.int64), 10)
    assert torch.equal(aimed[0][0, 0, -3:, -3:], trained)


@pytest.mark.parametrize(
    ("shape", "words"),
    [((20,), "image"), ((), "image"), ((1, 2, 8), "(?s)(?=.*3)(?=.*2)"), ((3, 8, 2), "(?s)(?=.*3)(?=.*2)")],
    ids=str,
)
def test_a_square_needs_images_that_it_fits_in(shape: tuple[int, ...], words: str) -> None:
    """On samples that are vectors it would be stamped across samples."""
    with pytest.raises(ValueError, match=words):
        attacks.Backdoor(size=3).poison(batch(shape=shape), CONTEXT)
    test = batch(shape=shape)
    with pytest.raises(ValueError, match=words):
        attacks.Backdoor(size=3).aim(test.inputs, test.labels, 10)
