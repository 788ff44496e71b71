"""Dealing a data set to clients."""

import dataclasses

import pytest
import torch
from torch import Tensor

from fedward.data.dataset import Dataset, Split
from fedward.data.dealing import federate
from fedward.data.partition import IID, SFraction

# Dealing


def plain(total: int = 30) -> Dataset:
    split = Split(inputs=torch.zeros(total, 1, 2, 2), labels=torch.arange(total) % 3)
    return Dataset(name="plain", train=split, test=split, classes=3)


def test_federate_is_iid_by_default_and_seeded() -> None:
    state = torch.random.get_rng_state()
    dataset = plain()
    first, same, other = (federate(dataset, 4, seed=seed) for seed in (0, 0, 1))
    assert first.n == 4
    assert first.dataset is dataset
    assert [len(shard) for shard in first.shards] == [8, 8, 7, 7]
    assert sorted(torch.cat(first.shards).tolist()) == list(range(30))
    assert all(torch.equal(a, b) for a, b in zip(first.shards, same.shards, strict=True))
    assert not torch.equal(first.shards[0], other.shards[0])
    expected = IID().split(dataset.train.labels, 4, torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(first.shards, expected, strict=True))
    assert torch.equal(state, torch.random.get_rng_state())


def test_federate_uses_the_partition_it_is_given() -> None:
    dataset = plain()
    federated = federate(dataset, 3, SFraction(s=0))
    assert sorted(torch.cat(federated.shards).tolist()) == list(range(30))
    assert all(len(dataset.train.labels[shard].unique()) <= 2 for shard in federated.shards)


@dataclasses.dataclass(frozen=True)
class Fixed:
    """A partition that returns what it is told."""

    parts: tuple[Tensor, ...]

    def split(self, labels: Tensor, clients: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        return self.parts


@pytest.mark.parametrize(
    ("parts", "pattern"),
    [
        ([[0, 1, 2]], "returned 1 parts for 2 clients"),
        ([[0, 1, 2], []], "client 1 of 2 must get one or more samples.*use fewer clients"),
        ([[0, 1], [1, 2]], r"exactly once; it dealt 4 indices, 3 of them distinct, from 0 to 2"),
        ([[0], [1]], r"0 to 2 exactly once; it dealt 2 indices, 2 of them distinct, from 0 to 1"),
        ([[0, 1], [3]], "from 0 to 3"),
        ([[0, 1], [-1]], "from -1 to 1"),
        ([[[0, 1]], [2]], r"client 0 of 2 must get .*1-D int64 indices, got shape \(1, 2\)"),
        ([[0.0, 1.0], [2]], r"client 0 of 2 .*torch\.float32"),
    ],
)
def test_federate_checks_what_a_partition_returns(parts: list[list[int]], pattern: str) -> None:
    tensors = tuple(torch.tensor(part) if part else torch.zeros(0, dtype=torch.int64) for part in parts)
    with pytest.raises(ValueError, match=pattern):
        federate(plain(3), 2, Fixed(tensors))


def test_split_checks_itself() -> None:
    labels = torch.zeros(3, dtype=torch.int64)
    assert len(Split(inputs=torch.zeros(3, 1, 2, 2), labels=labels)) == 3
    with pytest.raises(ValueError, match=r"3 labels do not fit inputs \(2, 1\)"):
        Split(inputs=torch.zeros(2, 1), labels=labels)
    with pytest.raises(ValueError, match=r"must be 1-D int64, got 1-D torch\.int32"):
        Split(inputs=torch.zeros(3, 1), labels=labels.int())
