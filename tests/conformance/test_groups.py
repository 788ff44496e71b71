"""GroupMajority: who is in a group with whom, and whose row is its."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import fedward as fw
from fedward import mixers, rules
from fedward.stack import Dense, materialise


@pytest.mark.parametrize(("n", "r"), [(9, 3), (10, 3), (11, 3), (4, 9), (5, 1)])
def test_groups_are_of_neighbours_and_the_last_may_be_short(n: int, r: int) -> None:
    G = torch.eye(n, dtype=torch.float64)
    view = mixers.GroupMajority(r=r).view(Dense(G), fw.Context())
    assert torch.equal(materialise(view), G[::r])  # all rows differ: the first of each group


def test_the_majority_of_a_group_is_exact_and_outlives_the_largest_liar() -> None:
    for dtype in (torch.float32, torch.float64):
        G = torch.randn(9, 400, generator=torch.Generator().manual_seed(0)).to(dtype)
        G[1] = G[2] = G[0]
        G[3] = 3e38
        G[5] = G[4]
        G[8] = G[7]
        G[6] = -1e30
        view = mixers.GroupMajority(r=3).view(Dense(G, block=33), fw.Context())
        assert torch.equal(materialise(view), G[[0, 4, 7]])


@pytest.mark.parametrize("missing", [[0], [4], [0, 1, 2], [2, 3, 9]], ids=str)
@pytest.mark.parametrize("absent", [True, False], ids=["absent", "sends NaN"])
def test_nobody_who_is_missing_moves_others_to_another_group(missing: list[int], absent: bool) -> None:
    """Six groups of three with a liar in the middle of each."""
    honest = torch.randn(6, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    G = honest.repeat_interleave(3, 0)
    liars = list(range(1, 18, 3))
    G[liars] = 100 * torch.arange(1, 7, dtype=torch.float64)[:, None].expand(6, 7)
    there = [k for k in range(18) if k not in missing]
    if absent:
        result = fw.Aggregator(mixers.GroupMajority(r=3) >> rules.Mean())(G[there], ids=there)
    else:
        G[missing] = torch.nan
        result = fw.Aggregator(mixers.GroupMajority(r=3) >> rules.Mean())(G)
    firsts = {}
    for k in there:
        votes = [j for j in there if j // 3 == k // 3]
        most = max(votes, key=lambda j: (sum(torch.equal(G[j], G[i]) for i in votes), -j))
        firsts[k // 3] = G[most]
    torch.testing.assert_close(result.output, torch.stack([*firsts.values()]).mean(0))


@pytest.mark.parametrize(
    "ids", [[*"abcdefghi"], [(k, 0) for k in range(9)], np.arange(9).tolist(), [*np.arange(9)]], ids=str
)
def test_groups_of_all_clients_are_of_neighbours_whatever_they_are_called(ids: list[Any]) -> None:
    G = torch.eye(9, dtype=torch.float64)
    view = mixers.GroupMajority(r=3).view(Dense(G, ids=ids), fw.Context())
    assert torch.equal(materialise(view), G[::3])


def test_a_client_is_in_a_group_for_each_class() -> None:
    G = torch.eye(8, dtype=torch.float64)
    ids = [(client, of) for of in (0, 1) for client in range(4)]
    view = mixers.GroupMajority(r=2).view(Dense(G, ids=ids), fw.Context())
    assert torch.equal(materialise(view), G[[0, 4, 2, 6]])


@pytest.mark.parametrize("first", [1, 100])
def test_groups_begin_with_the_number_of_the_first_client(first: int) -> None:
    """Each client of a group but the first sends what the first one does; the liars, the last of each, do not."""
    honest = torch.randn(3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    G = honest.repeat_interleave(3, 0)
    G[2::3] = 50
    ids = range(first, first + 9)
    aggregate = fw.Aggregator(mixers.GroupMajority(r=3, first=first) >> rules.Mean())
    torch.testing.assert_close(aggregate(G, ids=ids).output, honest.mean(0))


def test_numbers_that_put_nobody_beside_another_are_refused() -> None:
    G = torch.eye(9, dtype=torch.float64)
    with pytest.raises(fw.BoundError, match=r"no two of 9 clients, 1000, 1007, 1014 and so on, have numbers of one"):
        fw.Aggregator(mixers.GroupMajority(r=3) >> rules.Mean())(G, ids=range(1000, 1063, 7))


def test_a_vote_is_bitwise() -> None:
    row = torch.randn(400, generator=torch.Generator().manual_seed(0)).double()
    near = row * (1 + 1e-5)
    G = torch.stack([near, row, row])
    assert torch.equal(materialise(mixers.GroupMajority(r=3).view(Dense(G), fw.Context())), row[None])
