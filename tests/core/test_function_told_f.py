"""A plain function that is told f needs more rows than f."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

import fedward as fw


def near(G: Tensor, f: int) -> Tensor:
    return G.sort(0).values[: len(G) - f].mean(0)


def test_more_byzantine_rows_than_rows_are_refused() -> None:
    G = torch.arange(20.0).reshape(5, 4)
    assert fw.rule(partial(near, f=4))(G).tolist() == [0, 1, 2, 3]
    with pytest.raises(fw.BoundError, match=r"near, f=5\) needs n >= 6 clients, got 5"):
        fw.rule(partial(near, f=5))(G)
    assert fw.rule(partial(near, f=2), minimum=9).traits().bound.minimum(0) == 9
