"""How columns are shared out: as evenly as can be, and without an array of all of them."""

from __future__ import annotations

import pytest
import torch

from fedward.distributed.sharded import even_widths


@pytest.mark.parametrize(("d", "processes"), [(10, 3), (7, 7), (12, 4), (1, 1), (1001, 16)])
def test_widths_are_those_of_pytorchs_own_split(d: int, processes: int) -> None:
    assert even_widths(d, processes) == [len(part) for part in torch.arange(d).tensor_split(processes)]


def test_a_trillion_columns_take_no_memory() -> None:
    assert even_widths(10**12 + 1, 2) == [5 * 10**11 + 1, 5 * 10**11]
