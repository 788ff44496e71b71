"""A view carried to other stacks is the same view of those; what is made of nothing known is not carried."""

from __future__ import annotations

import pytest
import torch

from fedward.stack import Dense, Extended, Joined, Rooted, Updates, carried, materialise

F64 = torch.float64


def stack(n: int, d: int, seed: int) -> Dense:
    return Dense(torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=F64))


def spread(block: torch.Tensor) -> torch.Tensor:
    return block.amax(0) - block.amin(0)


def nested(G: Updates, H: Updates) -> Updates:
    mixed = Joined(G, H).mix(torch.arange(40, dtype=F64).reshape(5, 8) - 17)
    chosen = mixed.take(torch.tensor([4, 1, 1])).scale(torch.tensor([2.0, 0.5, 0.0], dtype=F64))
    return Rooted(Extended(chosen, spread), ("a", "b", "c", "d"))


def test_whatever_is_nested_is_made_of_the_other_stacks_likewise() -> None:
    G, H, A, B = stack(5, 11, 0), stack(3, 11, 1), stack(5, 4, 2), stack(3, 4, 3)
    found = carried(nested(G, H), {G: A, H: B})
    assert found is not None
    assert found.ids == ("a", "b", "c", "d")
    assert torch.equal(materialise(found), materialise(nested(A, B)))


def test_factors_that_follow_from_the_rows_are_not_worked_out_anew() -> None:
    G, A = stack(5, 11, 0), stack(5, 4, 2)
    longest = G.take(G.norms().argmax()[None])
    found = carried(longest, {G: A})
    assert found is not None
    assert torch.equal(materialise(found)[0], A.read(0, 4)[int(G.norms().argmax())])
    assert int(G.norms().argmax()) != int(A.norms().argmax())


@pytest.mark.parametrize(
    "own", [Dense(torch.ones(5, 11)), stack(5, 11, 0).anchored(torch.ones(11)).take(torch.arange(5))]
)
def test_rows_of_ones_own_are_not_carried(own: Updates) -> None:
    G, A = stack(5, 11, 0), stack(5, 4, 2)
    assert carried(own, {G: A}) is None
    assert carried(Joined(G, own), {G: A}) is None
