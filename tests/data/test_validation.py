"""A validation split: training samples nobody trains on, and no sample of the test set."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fedward.data.dataset import Dataset, Split
from fedward.data.lazy import Lazy
from fedward.data.validation import held_out
from fedward.experiments.spec import SpecError, make_spec

N = 50
INPUTS = torch.arange(N, dtype=torch.float32)[:, None]
DATA = Dataset(
    name="numbers",
    train=Split(inputs=INPUTS, labels=torch.arange(N) % 5, owners=torch.arange(N) % 7),
    test=Split(inputs=-1 - INPUTS[:9], labels=torch.zeros(9, dtype=torch.int64)),
    classes=5,
)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.98])
def test_the_training_data_are_parted(share: float) -> None:
    found = held_out(DATA, share)
    assert len(found.test) == max(int(share * N), 1)
    together = torch.cat([found.train.inputs[:], found.test.inputs[:]])[:, 0]
    assert sorted(together.tolist()) == list(range(N))  # every training sample once, and none of the test set
    for part in (found.train, found.test):
        numbers = part.inputs[:][:, 0].long()
        assert torch.equal(part.labels, numbers % 5)
        assert part.owners is not None
        assert torch.equal(part.owners, numbers % 7)
    assert found.name != DATA.name  # so that a checkpoint of the one is not resumed with the other
    assert torch.equal(held_out(DATA, share).test.inputs[:], found.test.inputs[:])


def test_samples_that_do_not_lie_in_memory_are_read_when_they_are_asked_for() -> None:
    read: list[int] = []

    def one(number: int) -> torch.Tensor:
        read.append(number)
        return INPUTS[number]

    lazy = replace(DATA, train=Split(inputs=Lazy(one, N), labels=DATA.train.labels))
    found = held_out(lazy, 0.2)
    assert len(read) <= 3  # one sample of each part, for its shape
    assert torch.equal(found.test.inputs[:], held_out(DATA, 0.2).test.inputs[:])


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
def test_other_shares_are_refused(share: float) -> None:
    with pytest.raises(ValueError, match="above 0 and below 1"):
        held_out(DATA, share)


def test_a_share_that_leaves_nothing_is_refused() -> None:
    one = replace(DATA, train=Split(inputs=INPUTS[:1], labels=DATA.train.labels[:1]))
    with pytest.raises(ValueError, match="leaves none to train on"):
        held_out(one, 0.5)


def test_a_run_is_tested_on_it() -> None:
    quick = {"data": "fashion-mnist-subset", "model": "linear", "rule": "mean", "attack": "no-attack", "clients": 10}
    plain = make_spec({**quick, "byzantine": 2}).simulation().data.dataset
    held = make_spec({**quick, "byzantine": 2, "validation": 0.25}).simulation().data
    assert len(held.dataset.test) == len(plain.train) // 4
    assert sum(map(len, held.shards)) == len(plain.train) - len(plain.train) // 4
    assert held.dataset.name != plain.name
    with pytest.raises(SpecError, match="validation"):
        make_spec({**quick, "validation": 1.0})
