"""Clusterings of angles: what the order of clients must not decide, and rows of any length."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import fedward as fw
from fedward import mixers, rules
from fedward.rules.clustering import larger_group, majority_cluster
from fedward.stack import cosines
from tests.oracles import clusters

LINKAGES = ("single", "complete", "average")
RULES = [
    *(rules.CosineClustering(linkage=k) for k in LINKAGES),  # type: ignore[arg-type]  # a tuple of words
    *(rules.ClippedClustering(linkage=k) for k in LINKAGES),  # type: ignore[arg-type]
    rules.FLAME(noise=0.0),
    mixers.Normalize() >> rules.CosineClustering(),
]


def stacks(n: int) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(n)
    drawn = torch.from_numpy(rng.normal(size=(n, 4)))
    zero, zeros, twins = drawn.clone(), drawn.clone(), drawn.clone()
    zero[0], zeros[: n // 2] = 0, 0
    twins[-1] = twins[0]
    return {
        "drawn": drawn,
        "one zero row": zero,
        "zero rows": zeros,
        "two rows the same": twins,
        "one direction": drawn[:1] * torch.arange(1, n + 1)[:, None],
        "one column": drawn[:, :1],
        "orthogonal": torch.eye(n, dtype=torch.float64),
        "nothing": torch.zeros(n, 4, dtype=torch.float64),
    }


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_the_order_of_clients_decides_nothing(rule: fw.Rule, n: int) -> None:
    for name, G in stacks(n).items():
        expected = fw.Aggregator(rule)(G)
        for seed in range(4):
            order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
            found = fw.Aggregator(rule)(G[order])
            assert torch.equal(found.accepted, expected.accepted[order]), name
            torch.testing.assert_close(found.output, expected.output, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("linkage", LINKAGES)
def test_groups_equal_the_oracle_where_distances_tie(linkage: str) -> None:
    for n in (2, 3, 4, 6):
        for name, G in stacks(n).items():
            kept = larger_group(cosines(G @ G.T), G.norm(dim=1), linkage)
            assert kept.tolist() == clusters.cosine_bipartition(G.numpy(), linkage)[0], (n, name)


def test_zero_rows_are_a_group_of_their_own() -> None:
    G = torch.randn(12, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 2
    G[[0, 5, 7]] = 0
    for linkage in LINKAGES:
        result = fw.Aggregator(rules.CosineClustering(linkage=linkage))(G)  # type: ignore[arg-type]
        assert (~result.accepted).nonzero().flatten().tolist() == [0, 5, 7]


def test_flame_takes_all_that_are_equally_near() -> None:
    assert majority_cluster(torch.eye(5, dtype=torch.float64)).tolist() == [0, 1, 2, 3, 4]


def test_flame_adds_noise_to_rows_longer_than_float32_has_numbers_for() -> None:
    G = torch.randn(8, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    output = rules.FLAME(noise=0.3)(1e78 * G)
    torch.testing.assert_close(output / 1e78, rules.FLAME(noise=0.3)(G), rtol=1e-6, atol=0)


def test_clipped_clustering_remembers_as_many_norms_as_it_says() -> None:
    aggregate = fw.Aggregator(rules.ClippedClustering(remember=12))
    for t in range(4):
        aggregate(torch.randn(5, 7, generator=torch.Generator().manual_seed(t), dtype=torch.float64))
        assert aggregate.state["norms"].numel() == min(5 * (t + 1), 12)
