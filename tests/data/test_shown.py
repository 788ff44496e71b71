"""Data that somebody looks at in a terminal is a line."""

import torch

from fedward.data import Dataset, FederatedData, Split


def test_data_are_shown_without_their_numbers() -> None:
    split = Split(inputs=torch.zeros(5000, 2, 3), labels=torch.zeros(5000, dtype=torch.int64))
    dataset = Dataset(name="mine", train=split, test=split, classes=1)
    dealt = FederatedData(dataset=dataset, shards=(torch.arange(1000), torch.arange(4000)))
    assert repr(split) == "Split(5,000 samples of (2, 3))"
    assert repr(dealt) == "FederatedData(mine: 2 clients, 1,000 to 4,000 samples each)"
    assert repr(FederatedData(dataset=dataset, shards=())) == "FederatedData(mine: 0 clients)"
    assert len(repr(dataset)) < 150
