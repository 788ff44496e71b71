"""Who holds what, written by hand: what no client can train on is said before anything runs."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fedward.data import Dataset, FederatedData, Split

SPLIT = Split(inputs=torch.zeros(12, 4), labels=torch.arange(12) % 3)
DATA = Dataset(name="made", train=SPLIT, test=SPLIT, classes=3)
FULL = torch.arange(12).tensor_split(3)


@pytest.mark.parametrize(
    ("last", "why"),
    [
        (torch.empty(0, dtype=torch.int64), "client 2 of 3 holds no samples: leave it out, or give it some"),
        (torch.tensor([11, 12]), r"client 2 of 3 holds sample 12, of 12 from 0 to 11"),
        (torch.tensor([-1, 3]), r"client 2 of 3 holds sample -1, of 12 from 0 to 11"),
        (torch.tensor([1, 2], dtype=torch.int32), r"client 2 of 3 .* 1-D int64 tensor, got \(2,\) of torch.int32"),
        (torch.tensor([1.0]), "1-D int64 tensor, got .* of torch.float32"),
        (torch.arange(12) > 8, "1-D int64 tensor, got .* of torch.bool"),
        (torch.tensor(3), r"1-D int64 tensor, got \(\) of torch.int64"),
        (torch.tensor([[1, 2]]), r"1-D int64 tensor, got \(1, 2\) of torch.int64"),
        ([1, 2], "1-D int64 tensor, got list"),
    ],
)
def test_what_no_client_can_hold_is_refused_with_its_number(last: Any, why: str) -> None:
    with pytest.raises(ValueError, match=rf"FederatedData: .*{why}"):
        FederatedData(dataset=DATA, shards=(*FULL[:2], last))


def test_samples_may_be_held_by_several_or_by_nobody() -> None:
    held = FederatedData(dataset=DATA, shards=(torch.arange(12), torch.tensor([3]), torch.tensor([3, 3])))
    assert held.n == 3
    assert FederatedData(dataset=DATA, shards=()).n == 0
