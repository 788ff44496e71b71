"""A share of so many rows, rounded down, is what it is by hand, whatever floats make of the product."""

from __future__ import annotations

import torch

from fedward import attacks, rules
from fedward.core import how_many


def test_a_whole_number_of_rows_is_not_one_fewer() -> None:
    for percent in range(1, 100):
        assert how_many(percent / 100, 100) == percent
    for percent in range(200):
        rule = rules.DnC(f=50, filter=percent / 100)
        assert 150 - rule.most_accepted(150) == percent * 50 // 100, f"filter = {percent / 100}"
        assert ("translation" in rules.DnC(f=100, filter=percent / 100).traits().properties) == (percent != 1)


def test_as_many_clients_as_the_share_says_send_the_row_itself() -> None:
    honest, own = torch.randn(101, 3).double(), torch.randn(100, 3).double()
    for percent in (7, 14, 28, 29, 55, 56, 57, 58):
        rows = attacks.ByzMean(split=percent / 100)(honest, own)
        assert int((rows == rows[0]).all(1).sum()) == percent
